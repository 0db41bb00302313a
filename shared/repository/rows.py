"""Rows of the mirrored objects: read by their ids, counted, and where their windows may be cut.

Names come from declarations in this project alone, never from input, so they are put into the text
as they are (quoted); every value is a parameter. The caller owns the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.objects.column import Type
from shared.objects.declaration import Held, MirroredObject
from shared.repository import column_sql as sql
from shared.repository.statement import object_statement, statement

_held_decoder = msgspec.json.Decoder(list[Held])
_ids_decoder = msgspec.json.Decoder(list[str])


def read_held(
    connection: Connection[Any], mirrored: MirroredObject, ids: Sequence[str]
) -> dict[str, Held]:
    """Return what is held of these ids; an id without a row is left out."""
    row = _READ_HELD.of(mirrored).execute(connection, {"ids": _as_json(ids)}).fetchone()
    assert row is not None
    found = _held_decoder.decode(row[0]) if row[0] is not None else []
    return {str(one.row[0]): one for one in found}


# One text for all: a row of columns each, through psycopg, takes seven times as long. And so do
# ids in an array.
_READ_HELD = object_statement(
    read_held,
    lambda mirrored: (
        f"""
SELECT json_agg(h.row)::text
FROM stripe.{mirrored.table} AS o
CROSS JOIN LATERAL (
    SELECT
        {sql.held_row(mirrored)} AS row
) AS h
WHERE o.id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)))
"""
    ),
)


def recorded_created(
    connection: Connection[Any], mirrored: MirroredObject, ids: Sequence[str]
) -> dict[str, int]:
    """Return the `created` (epoch) that was last recorded of each object, whatever its row says.

    It never changes at Stripe, so a row that says otherwise was written by somebody else.
    """
    parameters = {"ids": _as_json(ids), "object": mirrored.name}
    return dict(_RECORDED_CREATED.execute(connection, parameters).fetchall())


_RECORDED_CREATED = statement(
    recorded_created,
    """
SELECT DISTINCT ON (o.object_id) o.object_id, (o.fields #>> '{created,1}')::bigint
FROM stripe.changes AS o
WHERE o.object_id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)))
    AND o.object = %(object)s
    AND o.fields #>> '{created,1}' IS NOT NULL
ORDER BY o.object_id, o.revision DESC, o.id DESC
""",
)


def number(connection: Connection[Any], mirrored: MirroredObject) -> int:
    """Return how many rows there are to compare."""
    row = _NUMBER.of(mirrored).execute(connection).fetchone()
    assert row is not None
    return int(row[0])


def _number_text(mirrored: MirroredObject) -> str:
    condition = sql.is_compared(mirrored, "o")
    if condition:
        # The index on `created` leads to what is to be looked at.
        condition = f"\nWHERE o.created IS NOT NULL{condition}"
    return f"""
SELECT count(*)
FROM stripe.{mirrored.table} AS o{condition}
"""


_NUMBER = object_statement(number, _number_text)


def newest_ids(connection: Connection[Any], mirrored: MirroredObject, count: int) -> list[str]:
    """Return the ids of the newest rows that Stripe is believed to know.

    Not those of test clocks, which vanish with their clock.
    """
    rows = _NEWEST_IDS.of(mirrored).execute(connection, {"count": count})
    return [row[0] for row in rows]


_NEWEST_IDS = object_statement(
    newest_ids,
    lambda mirrored: (
        f"""
SELECT id
FROM stripe.{mirrored.table}
WHERE isfinite(created)
    AND missing_in_stripe_since IS NULL{_and_on_no_clock(mirrored)}
ORDER BY created DESC
LIMIT %(count)s::bigint
"""
    ),
)


def boundaries(connection: Connection[Any], mirrored: MirroredObject, every: int) -> list[int]:
    """Return the `created` (epoch) of every so-manieth row that a list may name, ascending.

    There windows may be cut. Of rows that no list names every third so many gives one, too: they
    fill no page, but too many of them between two cuts would fill memory.
    """
    rows = _BOUNDARIES.of(mirrored).execute(connection, {"every": every})
    return [row[0] for row in rows]


def _boundaries_text(mirrored: MirroredObject) -> str:
    is_there = ["missing_in_stripe_since IS NULL"]
    if mirrored.is_deletable:
        is_there.append("NOT deleted")
    return f"""
SELECT DISTINCT extract(epoch FROM created)::bigint AS boundary
FROM (
    SELECT
        created,
        is_listed,
        count(*) FILTER (WHERE is_listed) OVER upwards AS listed,
        count(*) FILTER (WHERE NOT is_listed) OVER upwards AS unlisted
    FROM (
        SELECT created, {" AND ".join(is_there)}{_and_on_no_clock(mirrored)} AS is_listed
        FROM stripe.{mirrored.table} AS o
        WHERE isfinite(created){sql.is_compared(mirrored, "o")}
    ) AS told
    WINDOW upwards AS (ORDER BY created ROWS UNBOUNDED PRECEDING)
) AS numbered
WHERE CASE
    WHEN is_listed THEN listed % %(every)s::bigint = 0
    ELSE unlisted % (3 * %(every)s::bigint) = 0
END
ORDER BY boundary
"""


_BOUNDARIES = object_statement(boundaries, _boundaries_text)


class Beyond(NamedTuple):
    """The rows in which no window looks.

    `absent`: how many of them Stripe's lists would leave out anyhow, known missing or deleted.
    `ids` are all others.
    """

    absent: int
    ids: list[str]


def read_beyond(connection: Connection[Any], mirrored: MirroredObject, end: int) -> Beyond:
    """Return the rows without a `created`, and those whose `created` lies outside `[0, end)`."""
    row = _READ_BEYOND.of(mirrored).execute(connection, {"end": end}).fetchone()
    assert row is not None
    return Beyond(row[0], _ids_decoder.decode(row[1] or "[]"))


def _beyond_text(mirrored: MirroredObject) -> str:
    no_clock = "o.test_clock IS NULL" if "test_clock" in mirrored.decoded.index else "true"
    return f"""
SELECT
    count(*) FILTER (WHERE is_absent),
    json_agg(id ORDER BY id) FILTER (WHERE NOT is_absent)::text
FROM (
    SELECT
        o.id,
        CASE
            WHEN o.missing_in_stripe_since IS NOT NULL
            THEN o.missing_in_stripe_since = lower(o.as_of) OR {no_clock}
            ELSE {_is_emptied(mirrored)}
        END AS is_absent
    FROM stripe.{mirrored.table} AS o
    WHERE o.created IS NULL
        OR o.created < to_timestamp(0)
        OR o.created >= to_timestamp(%(end)s::bigint)
) AS beyond
"""


_READ_BEYOND = object_statement(read_beyond, _beyond_text)


def _and_on_no_clock(mirrored: MirroredObject) -> str:
    return " AND test_clock IS NULL" if "test_clock" in mirrored.decoded.index else ""


def _is_emptied(mirrored: MirroredObject) -> str:
    """Return what `MirroredObject.is_emptied` says of a row."""
    if not mirrored.is_deletable:
        return "false"
    wanted = ["o.deleted"]
    for column in mirrored.columns:
        name = f'o."{column.name}"'
        if column.keeps and column.type is Type.TIMESTAMP:
            wanted.append(f"({name} IS NULL OR stripe.is_whole({name}))")
        elif column.type is Type.METADATA:
            wanted.append(f"{name} = '{{}}'")
        elif not column.keeps and column.name not in {"id", "deleted"}:
            wanted.append(f"{name} IS NULL")
    return "({})".format("\n                AND ".join(wanted))


def _as_json(ids: Sequence[str]) -> str:
    """Return ids as the statements take them: an array of text takes psycopg 3 us each."""
    return msgspec.json.encode(ids).decode()
