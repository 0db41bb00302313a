"""A window's rows, in the cheapest form that can be compared exactly. Reads only.

They come in the shape of Stripe's own JSON. So one decoder reads both sides, and whether they are
equal is one comparison without any Python object beyond theirs. All rows come as one text: a row of
its own for each costs twice as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.objects.column import Column, Type
from shared.objects.declaration import Held, MirroredObject
from shared.repository import column_sql as sql
from shared.repository.fingerprints import lookup, row_hash
from shared.repository.rows import read_held
from shared.repository.statement import object_statement
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
    `rows` are all others, newest first, but for the `irregular`: what Stripe could never have sent
    and somebody else has written (an infinite time, a fraction of a second, metadata that is no
    text).
    """

    known: dict[str, Known]
    rows: dict[str, WindowRow]
    irregular: dict[str, Held]

    def copy(self) -> WindowRows:
        """Return the same, to be taken from on its own."""
        return WindowRows(dict(self.known), dict(self.rows), dict(self.irregular))


class _Head(msgspec.Struct):
    id: str


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
    found = _READ_WINDOW.of(mirrored).execute(connection, bounds).fetchone()
    return _decoded(connection, mirrored, found)


_READ_WINDOW = object_statement(
    read_window,
    lambda mirrored: _text(
        mirrored,
        f"""o.created >= to_timestamp(%(gte)s::bigint)
    AND o.created < to_timestamp(%(lt)s::bigint){sql.is_compared(mirrored, "o")}""",
    ),
)


def read_again(
    connection: Connection[Any], mirrored: MirroredObject, ids: Sequence[str], seed: int
) -> WindowRows:
    """Return the rows of these ids, with all that is in them."""
    which = {"ids": list(ids), "seed": seed, "recall": False}
    found = _READ_AGAIN.of(mirrored).execute(connection, which).fetchone()
    return _decoded(connection, mirrored, found)


_READ_AGAIN = object_statement(
    read_again, lambda mirrored: _text(mirrored, "o.id = ANY(%(ids)s::text[])")
)


def _decoded(
    connection: Connection[Any], mirrored: MirroredObject, found: Sequence[str | None] | None
) -> WindowRows:
    assert found is not None
    known = {one.id: one for one in _known_decoder.decode(found[0] or "[]")}
    text = found[1] or "[]"
    try:
        decoded = _decoder(mirrored.decoded.struct).decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _singly(connection, mirrored, text)._replace(known=known)
    return WindowRows(known, {row.content.id: row for row in decoded}, {})


def _singly(connection: Connection[Any], mirrored: MirroredObject, text: str) -> WindowRows:
    """Read the rows one by one; those that cannot be decoded are read again, as columns."""
    plain: dict[str, WindowRow] = {}
    irregular: list[str] = []
    for row in _raw_decoder.decode(text):
        name = _head_decoder.decode(row.content).id
        try:
            row.content = mirrored.decoder.decode(row.content)
        except msgspec.DecodeError:
            irregular.append(name)
        else:
            plain[name] = row
    return WindowRows({}, plain, read_held(connection, mirrored, irregular))


@cache
def _decoder(content: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder of rows with such contents."""
    row: Any = msgspec.defstruct(
        "window_row", [("content", content)], bases=(WindowRow,), array_like=True, gc=False
    )
    return msgspec.json.Decoder(list[row])


_known_decoder = msgspec.json.Decoder(list[Known])
_raw_decoder = _decoder(msgspec.Raw)
_head_decoder = msgspec.json.Decoder(_Head)


_READ = {
    # What Stripe cannot have said (infinity, a fraction of a second) cannot be decoded: the row is
    # then read singly.
    Type.TIMESTAMP: "CASE WHEN stripe.is_whole({0}) THEN date_part('epoch', {0})::bigint"
    " WHEN {0} IS NOT NULL THEN 9223372036854775807 END",
    # A list may name whole objects, a row never does.
    Type.REFERENCES: """CASE WHEN {0} = '[]' THEN {0}
        WHEN {0} = 'null' OR {0} @? '$[*] ? (@.type() != "string")' THEN '"null"' ELSE {0} END""",
}
"""What is not read as `column_sql.shown` shows it."""

_Tree = dict[str, "str | _Tree"]


def _text(mirrored: MirroredObject, which: str) -> str:
    """Return two texts of JSON arrays, the second newest first; NULL for none.

    What is known to be equal to a body: `[id, created, revision, status, length, hash]`, if
    `recall` is true. All others: `[lower, upper, revision, missing since, hash, object]`.
    """
    tree = _tree(mirrored.columns, "o")
    if (items := mirrored.items) is not None:
        tree["items"] = {
            "data": f"""(
                                SELECT coalesce(
                                    json_agg(
                                        {_object(_tree(items.columns, "i"), 40)}
                                        ORDER BY i.id COLLATE "C"
                                    ),
                                    '[]'
                                )
                                FROM stripe.{items.table} AS i
                                WHERE i.{items.parent} = o.id
                            )"""
        }
    status = f'o."{mirrored.access}"' if mirrored.access else "NULL::text"
    return f"""
SELECT
    json_agg(
        json_build_array(
            o.id, date_part('epoch', o.created)::bigint, o.revision, {status},
            f.body_length, f.body_hash
        )
    ) FILTER (WHERE f.object_id IS NOT NULL)::text,
    json_agg(
        json_build_array(
            {sql.seconds_before("lower(o.as_of)")},
            {sql.seconds_after("upper(o.as_of)")},
            o.revision,
            {sql.shown(sql.MISSING, "o")},
            h.row_hash,
            {_object(tree, 12)}
        )
        ORDER BY o.created DESC
    ) FILTER (WHERE f.object_id IS NULL)::text
FROM stripe.{mirrored.table} AS o
CROSS JOIN LATERAL (
    SELECT {row_hash(mirrored)} AS row_hash
    OFFSET 0
) AS h
{lookup()}
WHERE {which}
"""


def _tree(columns: tuple[Column, ...], table: str) -> _Tree:
    """Return each column's expression at its place in Stripe's JSON."""
    tree: _Tree = {}
    for column in columns:
        *path, name = column.source.split(".")
        inner = tree
        for step in path:
            deeper = inner.setdefault(step, {})
            assert isinstance(deeper, dict)
            inner = deeper
        read = _READ.get(column.type)
        inner[name] = read.format(f'{table}."{column.name}"') if read else sql.shown(column, table)
    return tree


def _object(tree: _Tree, indent: int) -> str:
    outer, inner = " " * indent, " " * (indent + 4)
    members = sql.singly(
        (
            f'{_object(value, indent + 8) if isinstance(value, dict) else value} AS "{name}"'
            for name, value in tree.items()
        ),
        indent + 8,
    )
    return f"""(
{inner}SELECT row_to_json(r)
{inner}FROM (SELECT
{inner}    {members}
{inner}) AS r
{outer})"""
