"""An event in one round trip: applied where its snapshot is simply newer, else what is held.

Simply newer is an event that is not done yet, whose snapshot is whole and younger than the latest
comparison, and whose object is not held or held as of a time strictly left of the snapshot's. Then
there is nothing to decide (`shared.truth` would say REPLACE, or CONFIRM where nothing differs), and
the row, its items, the change row and the ledger row are written at once. Else nothing is written,
and what a decision needs comes back.

The caller owns the transaction (a statement in autocommit mode is one); nothing here commits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.objects.column import AS_JSON, Column
from shared.objects.declaration import Content, Held, Items, MirroredObject
from shared.repository import column_sql as sql
from shared.repository import compared, ledger, write
from shared.repository.ledger import Entry
from shared.repository.statement import object_statement
from shared.truth import Interval

_decoder = msgspec.json.Decoder(Held)


class Found(NamedTuple):
    """What a decision about an event needs, read in one snapshot.

    `done`: the event's outcome in the ledger, None if it was never here. `compared`: when the
    latest comparison of all such objects began (epoch), None if there was none.
    """

    done: str | None
    compared: int | None
    held: Held | None


class Attempt(NamedTuple):
    """What one statement made of an event.

    `outcome`: `applied` or `unchanged`, written with everything that belongs to it; None: nothing
    was written. Then `lost`: another writer was first, so try again; or else `found`, what a
    decision needs.
    """

    outcome: str | None
    lost: bool
    found: Found | None


def look(
    connection: Connection[Any], mirrored: MirroredObject, object_id: str, event_id: str | None
) -> Found:
    """Return what the ledger says of the event, and what is held of the object."""
    parameters = {"id": object_id, "event_id": event_id}
    row = _LOOK.of(mirrored).execute(connection, parameters).fetchone()
    assert row is not None
    return _found(*row)


_LOOK = object_statement(
    look,
    lambda mirrored: (
        f"""
SELECT
    {_found_text(mirrored)}
"""
    ),
)


def apply_if_newer(
    connection: Connection[Any],
    mirrored: MirroredObject,
    content: Content,
    incoming: Interval,
    entry: Entry,
    *,
    prepare: bool = True,
) -> Attempt:
    """Write an event's whole snapshot with its change and its ledger row if it is simply newer.

    May be repeated: what is done is not done again. `entry.outcome` is not looked at. `prepare` is
    not for a transaction: where a pooler has lost what was prepared, it would be over. Raises
    psycopg.errors.UniqueViolation, with nothing written, where another process has done the event
    meanwhile; psycopg.DataError or IntegrityError where the content breaks a rule of the database.
    """
    assert content.items is not None, "what is not whole cannot be applied without a question"
    parameters = msgspec.structs.asdict(entry)
    parameters["row"] = _encode(mirrored, content, incoming)
    parameters["id"] = content.id
    parameters["is_terminal"] = mirrored.is_terminal(content.row)
    statement = _APPLY_IF_NEWER.of(mirrored)
    row = statement.execute(connection, parameters, prepare=prepare).fetchone()
    assert row is not None
    outcome, tried, *found = row
    if tried:
        return Attempt(outcome, outcome is None, None)
    return Attempt(None, False, _found(*found))


def _apply_text(mirrored: MirroredObject) -> str:
    """Return the statement. Its one row: outcome, whether it tried, and what `look` returns.

    Outcome: `applied` or `unchanged` where it wrote, else NULL. It tried and did not write where
    another writer was first; then the held row is not told, for it is an old one.

    Everything is read in one snapshot, and the write is guarded by the revision that was read: a
    row that another writer changed meanwhile would be replaced all the same (PostgreSQL goes on
    with the row's newest version), with `before` values that were never replaced. A row that is
    removed by hand meanwhile is inserted again, at a revision beyond that of its removal.
    """
    is_later = "o.id IS NULL OR tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)) >> o.as_of"
    if (ending := mirrored.ending) is not None:
        # Nothing comes after a terminal state: Stripe has to be asked.
        is_later += f"""
            AND (%(is_terminal)s::boolean OR NOT {sql.has_ended(ending, "o")})"""
    columns, items = mirrored.columns, mirrored.items
    updates = sql.singly(
        (f'"{column.name}" = {_updated(column, columns)}' for column in columns[1:]), 8
    )
    more = ["lower bigint", "upper bigint"]
    if items is not None:
        more.append("items json")
    outcome = "CASE WHEN w.fields IS NULL THEN 'unchanged' ELSE 'applied' END"
    return f"""
WITH newer AS (
    SELECT
        r.*,
        o.revision AS at_revision,
        ARRAY[
            {_pairs(columns, "o", "r", 12)},
            CASE WHEN o.missing_in_stripe_since IS NOT NULL
                THEN jsonb_build_array({sql.shown(sql.MISSING, "o")}, NULL) END
        ] AS pairs
    FROM json_to_record(%(row)s::json) AS r (
        {sql.record(columns, 8, *more)}
    )
    LEFT JOIN stripe.{mirrored.table} AS o ON o.id = %(id)s::text
    WHERE NOT EXISTS (
            SELECT FROM stripe.events AS e
            WHERE e.id = %(event_id)s::text AND e.outcome <> 'failed'
        )
        AND ({is_later})
        AND NOT {compared.is_history(mirrored, "r.upper")}
),
{_items_read(items)}differing AS (
    SELECT f.name, f.pair
    FROM unnest(
        ARRAY[
            {_quoted([*(column.name for column in columns), "missing_in_stripe_since"], 12)}
        ],
        (SELECT pairs FROM newer)
    ) AS f (name, pair)
    WHERE f.pair IS NOT NULL{_items_differing(items)}
),
written AS (
    INSERT INTO stripe.{mirrored.table} AS o (
        {sql.listed([*sql.names(columns), "as_of", "revision"], 8)}
    )
    SELECT
        {sql.listed((sql.written(column, "r") for column in columns), 8)},
        tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)),
        coalesce(r.at_revision + 1, {sql.last_revision("r.id")}, 0) + 1
    FROM newer AS r
    ON CONFLICT (id) DO UPDATE SET
        {updates},
        missing_in_stripe_since = NULL,
        as_of = EXCLUDED.as_of,
        revision = o.revision + 1
    WHERE o.revision = (SELECT at_revision FROM newer)
    RETURNING id, revision, (SELECT jsonb_object_agg(name, pair) FROM differing) AS fields
),
{_items_written(items)}{write.changed(mirrored)},
ledger AS (
    {ledger.entered(ledger.one_event("w.id", outcome, "FROM written AS w"))}
)
SELECT
    (SELECT {outcome} FROM written AS w),
    EXISTS (SELECT FROM newer),
    {_found_text(mirrored, "EXISTS (SELECT FROM newer)")}
"""


_APPLY_IF_NEWER = object_statement(apply_if_newer, _apply_text)


def _found(done: str | None, compared_at: int | None, held: str | None) -> Found:
    return Found(done, compared_at, None if held is None else _decoder.decode(held))


def _found_text(mirrored: MirroredObject, unless: str = "") -> str:
    """Return the columns of a `Found`; the held row, as JSON, is not told where `unless` is so."""
    untold = f" AND NOT {unless}" if unless else ""
    return f"""(SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    {compared.began(mirrored)},
    (
        SELECT
        {sql.held_row(mirrored)}::text
        FROM stripe.{mirrored.table} AS o
        WHERE o.id = %(id)s::text{untold}
    )"""


def _updated(column: Column, columns: tuple[Column, ...]) -> str:
    new = f'EXCLUDED."{column.name}"'
    return sql.kept(column, new, "o", "EXCLUDED") if _keeps(column, columns) else new


def _keeps(column: Column, columns: tuple[Column, ...]) -> bool:
    return column.keeps and any(other.name == "deleted" for other in columns)


def _quoted(names: Iterable[str], indent: int) -> str:
    return sql.listed((f"'{name}'" for name in names), indent)


def _pairs(columns: tuple[Column, ...], table: str, record: str, indent: int) -> str:
    pairs = (sql.pair(one, table, record, indent, keeps=_keeps(one, columns)) for one in columns)
    return sql.singly(pairs, indent)


def _items_read(items: Items | None) -> str:
    if items is None:
        return ""
    return f"""incoming_items AS (
    SELECT %(id)s::text AS parent_id, i.*
    FROM json_to_recordset((SELECT items FROM newer)) AS i (
        {sql.record(items.columns, 8)}
    )
),
held_items AS MATERIALIZED (
    SELECT i.*
    FROM stripe.{items.table} AS i
    WHERE i.{items.parent} = %(id)s::text AND EXISTS (SELECT FROM newer)
),
differing_items AS (
    SELECT 'items.' || coalesce(n.id, o.id) || f.name AS name, f.pair
    FROM held_items AS o
    FULL JOIN incoming_items AS n ON n.id = o.id
    CROSS JOIN LATERAL unnest(
        CASE
            WHEN n.id IS NULL OR o.id IS NULL THEN ARRAY['']
            ELSE ARRAY[
                {_quoted((f".{column.name}" for column in items.columns), 16)}
            ]
        END,
        CASE
            WHEN n.id IS NULL
            THEN ARRAY[jsonb_build_array({_whole(items.columns, "o", is_held=True)}, NULL)]
            WHEN o.id IS NULL
            THEN ARRAY[jsonb_build_array(NULL, {_whole(items.columns, "n", is_held=False)})]
            ELSE ARRAY[
                {_pairs(items.columns, "o", "n", 16)}
            ]
        END
    ) AS f (name, pair)
    WHERE f.pair IS NOT NULL
),
"""


def _whole(columns: tuple[Column, ...], table: str, *, is_held: bool) -> str:
    """Return an item as a JSON object, nulls left out (but not those within a column's JSON)."""

    def member(column: Column) -> str:
        value = sql.shown(column, table) if is_held else f'{table}."{column.name}"'
        return f"'{column.name}', {value}"

    plain = sql.singly((member(column) for column in columns if column.type not in AS_JSON), 20)
    parts = [
        f"""jsonb_strip_nulls(jsonb_build_object(
                    {plain}
                ))"""
    ]
    parts += [
        f"CASE WHEN {table}.\"{column.name}\" IS NULL THEN '{{}}'"
        f" ELSE jsonb_build_object({member(column)}) END"
        for column in columns
        if column.type in AS_JSON
    ]
    whole = "\n                || ".join(parts)
    return f"""
                {whole}
            """


def _items_differing(items: Items | None) -> str:
    if items is None:
        return ""
    return """
    UNION ALL
    SELECT name, pair FROM differing_items"""


def _items_written(items: Items | None) -> str:
    """Write the items if any of them differs."""
    if items is None:
        return ""
    return f"""touched AS (
    SELECT w.id FROM written AS w WHERE EXISTS (SELECT FROM differing_items)
),
{write.items_written(items)}"""


def _encode(mirrored: MirroredObject, content: Content, as_of: Interval) -> str:
    row = write.as_object(mirrored.decoded, content.row)
    row["lower"], row["upper"] = as_of
    if mirrored.items is not None:
        columns = mirrored.items.decoded
        row["items"] = [write.as_object(columns, item) for item in content.items or ()]
    return msgspec.json.encode(row).decode()
