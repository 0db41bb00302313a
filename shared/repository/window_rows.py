"""A window's rows, in the cheapest form that can be compared exactly. Reads only."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.mirrored import Held, MirroredObject
from shared.repository.mirror_rows import read_many
from shared.repository.statements import statements
from shared.truth import Interval


class WindowRow(msgspec.Struct, array_like=True, gc=False):
    """One row: its interval, its revision, its mark, and its content as if Stripe had sent it.

    `content` is an instance of the declaration's Struct, in the one shape that is compared. Times
    in epoch seconds.
    """

    lower: int
    upper: int
    revision: int
    missing: int | None
    content: Any

    def held(self, mirrored: MirroredObject) -> Held:
        """Return the same as a row of columns."""
        _, row, items = mirrored.content(self.content, checked=False)
        as_of = Interval(self.lower, self.upper)
        return Held(row, items or (), as_of, self.revision, self.missing)


class WindowRows(NamedTuple):
    """The rows of a window by id, newest first; `odd` are those that Stripe could never have sent.

    Somebody else has written these (an infinite time, metadata that is no text).
    """

    rows: dict[str, WindowRow]
    odd: dict[str, Held]


class _Head(msgspec.Struct):
    id: str


class _RawRow(msgspec.Struct, array_like=True):
    lower: int
    upper: int
    revision: int
    missing: int | None
    content: msgspec.Raw


def read_window(
    connection: Connection[Any], mirrored: MirroredObject, gte: int, lt: int
) -> WindowRows:
    """Return all rows whose `created` lies in `[gte, lt)`."""
    found = statements(mirrored).window.execute(connection, {"gte": gte, "lt": lt}).fetchone()
    assert found is not None
    text = found[0]
    if text is None:
        return WindowRows({}, {})
    try:
        rows = _decoder(mirrored).decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _singly(connection, mirrored, text)
    return WindowRows({row.content.id: row for row in rows}, {})


def _singly(connection: Connection[Any], mirrored: MirroredObject, text: str) -> WindowRows:
    """Read the rows one by one; those that cannot be decoded are read again, as columns."""
    rows: dict[str, WindowRow] = {}
    odd: list[str] = []
    for raw in msgspec.json.decode(text, type=list[_RawRow]):
        name = msgspec.json.decode(raw.content, type=_Head).id
        try:
            content = mirrored.decoder.decode(raw.content)
        except msgspec.DecodeError:
            odd.append(name)
        else:
            rows[name] = WindowRow(raw.lower, raw.upper, raw.revision, raw.missing, content)
    return WindowRows(rows, read_many(connection, mirrored, odd))


@cache
def _decoder(mirrored: MirroredObject) -> msgspec.json.Decoder[Any]:
    inner: Any = mirrored.decoded.struct
    row: Any = msgspec.defstruct(
        "window_row", [("content", inner)], bases=(WindowRow,), array_like=True, gc=False
    )
    return msgspec.json.Decoder(list[row])
