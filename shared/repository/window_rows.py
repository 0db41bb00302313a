"""A window's rows, in the cheapest form that can be compared exactly. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.objects.declaration import Held, MirroredObject
from shared.repository.mirror_rows import read_many
from shared.repository.statement import Statement
from shared.repository.statements import statements
from shared.stripe.recognition import Known
from shared.truth import Interval


class WindowRow(msgspec.Struct, array_like=True, gc=False):
    """One row: its interval, revision and mark, its content's hash, and that as if from Stripe.

    `content` is an instance of the declaration's Struct, in the one shape that is compared. Times
    in epoch seconds.
    """

    lower: int
    upper: int
    revision: int
    missing: int | str | None
    hash: int
    content: Any

    def held(self, mirrored: MirroredObject) -> Held:
        """Return the same as a row of columns."""
        _, row, items = mirrored.content(self.content, checked=False)
        as_of = Interval(self.lower, self.upper)
        return Held(row, items or (), as_of, self.revision, self.missing)


class WindowRows(NamedTuple):
    """The rows of a window by id.

    `known` are those that equal a body that was seen before, if it is what Stripe still sends.
    `rows` are all others, newest first, but for the `odd`: what Stripe could never have sent and
    somebody else has written (an infinite time, a fraction of a second, metadata that is no text).
    """

    known: dict[str, Known]
    rows: dict[str, WindowRow]
    odd: dict[str, Held]

    def copy(self) -> WindowRows:
        """Return the same, to be taken from on its own."""
        return WindowRows(dict(self.known), dict(self.rows), dict(self.odd))


class _Head(msgspec.Struct):
    id: str


class _RawRow(msgspec.Struct, array_like=True):
    lower: int
    upper: int
    revision: int
    missing: int | str | None
    hash: int
    content: msgspec.Raw


def read_window(
    connection: Connection[Any],
    mirrored: MirroredObject,
    gte: int,
    lt: int,
    *,
    seed: int = 0,
    recall: bool = True,
) -> WindowRows:
    """Return all rows whose `created` lies in `[gte, lt)`.

    `seed`: what the hashes begin with. Without `recall` nothing is known.
    """
    bounds = {"gte": gte, "lt": lt, "seed": seed, "recall": recall}
    return _read(connection, mirrored, statements(mirrored).window, bounds)


def read_again(
    connection: Connection[Any], mirrored: MirroredObject, ids: Sequence[str], seed: int
) -> WindowRows:
    """Return the rows of these ids, with all that is in them."""
    which = {"ids": list(ids), "seed": seed, "recall": False}
    return _read(connection, mirrored, statements(mirrored).window_again, which)


def _read(
    connection: Connection[Any],
    mirrored: MirroredObject,
    statement: Statement,
    parameters: dict[str, Any],
) -> WindowRows:
    found = statement.execute(connection, parameters).fetchone()
    assert found is not None
    known = {one.id: one for one in _known_decoder.decode(found[0] or "[]")}
    text = found[1] or "[]"
    try:
        rows = _decoder(mirrored).decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _singly(connection, mirrored, text)._replace(known=known)
    return WindowRows(known, {row.content.id: row for row in rows}, {})


def _singly(connection: Connection[Any], mirrored: MirroredObject, text: str) -> WindowRows:
    """Read the rows one by one; those that cannot be decoded are read again, as columns."""
    rows: dict[str, WindowRow] = {}
    odd: list[str] = []
    for raw in _raw_decoder.decode(text):
        name = _head_decoder.decode(raw.content).id
        try:
            content = mirrored.decoder.decode(raw.content)
        except msgspec.DecodeError:
            odd.append(name)
        else:
            rows[name] = WindowRow(
                raw.lower, raw.upper, raw.revision, raw.missing, raw.hash, content
            )
    return WindowRows({}, rows, read_many(connection, mirrored, odd))


_known_decoder = msgspec.json.Decoder(list[Known])
_raw_decoder = msgspec.json.Decoder(list[_RawRow])
_head_decoder = msgspec.json.Decoder(_Head)


@cache
def _decoder(mirrored: MirroredObject) -> msgspec.json.Decoder[Any]:
    inner: Any = mirrored.decoded.struct
    row: Any = msgspec.defstruct(
        "window_row", [("content", inner)], bases=(WindowRow,), array_like=True, gc=False
    )
    return msgspec.json.Decoder(list[row])
