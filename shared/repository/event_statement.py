"""The statement that applies the common event in one round trip.

Common is an event that is not done yet, whose snapshot is whole and younger than the latest
comparison, and whose object is not held or held as of a time strictly left of the snapshot's. Then
there is nothing to decide (`shared.truth` would say REPLACE, or CONFIRM where nothing differs), and
the row, its items, the change row and the ledger row are written at once. Else nothing is written,
and what a decision needs comes back.
"""

from __future__ import annotations

from shared.objects.column import AS_JSON, Column
from shared.objects.declaration import Items, MirroredObject
from shared.repository import column_sql as sql
from shared.repository import compared


def event_text(mirrored: MirroredObject) -> str:
    """Return the statement. Its one row: outcome, whether it tried, ledger, comparison, held row.

    The comparison by when the latest one began (epoch), the held row as JSON.

    Outcome: `applied` or `unchanged` where it wrote, else NULL. It tried and did not write where
    another writer was first; then the held row is not told, for it is an old one.

    Everything is read in one snapshot, and the write is guarded by the revision that was read: a
    row that another writer changed meanwhile would be replaced all the same (PostgreSQL goes on
    with the row's newest version), with `before` values that were never replaced. A row that is
    removed by hand meanwhile is inserted again, at a revision beyond that of its removal.
    """
    is_later = "tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)) >> o.as_of"
    if (ending := mirrored.ending) is not None:
        # Nothing comes after a terminal state: Stripe has to be asked.
        is_later += f" AND (%(is_terminal)s::boolean OR NOT {sql.has_ended(ending, 'o')})"
    columns, items = mirrored.columns, mirrored.items
    updates = ",\n        ".join(
        f'"{column.name}" = {_updated(column, columns)}' for column in columns[1:]
    )
    return f"""
WITH newer AS (
    SELECT
        r.*,
        o.revision AS at_revision,
        ARRAY[
            {_pairs(columns, "o", "r")},
            CASE WHEN o.missing_in_stripe_since IS NOT NULL
                THEN jsonb_build_array({sql.shown(_MISSING, "o")}, NULL) END
        ] AS pairs
    FROM json_to_record(%(row)s::json) AS r(
        {sql.record(columns, "items json", "lower bigint", "upper bigint")}
    )
    LEFT JOIN stripe.{mirrored.table} AS o ON o.id = %(id)s::text
    WHERE NOT EXISTS (
            SELECT FROM stripe.events AS e
            WHERE e.id = %(event_id)s::text AND e.outcome <> 'failed'
        )
        AND (o.id IS NULL OR ({is_later}))
        AND NOT {compared.is_history(mirrored, "r.upper")}
),
{_items_read(items)}differing AS (
    SELECT f.name, f.pair
    FROM unnest(
        {_array([column.name for column in columns], more=["missing_in_stripe_since"])},
        (SELECT pairs FROM newer)
    ) AS f(name, pair)
    WHERE f.pair IS NOT NULL{_items_differing(items)}
),
written AS (
    INSERT INTO stripe.{mirrored.table} AS o ({sql.names(columns)}, as_of, revision)
    SELECT
        {", ".join(sql.written(column, "r") for column in columns)},
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
{_items_written(items)}changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, event_id, fields)
    SELECT '{mirrored.name}', w.id, w.revision, %(event_id)s::text, w.fields
    FROM written AS w
    WHERE w.fields IS NOT NULL
),
ledger AS (
    INSERT INTO stripe.events (
        id, type, object_id, created, api_version, source, outcome, payload
    )
    SELECT
        %(event_id)s::text, %(type)s::text, w.id, to_timestamp(%(created)s::bigint),
        %(api_version)s::text, %(source)s::text,
        CASE WHEN w.fields IS NULL THEN 'unchanged' ELSE 'applied' END, %(payload)s::bytea
    FROM written AS w
    ON CONFLICT (id) DO UPDATE SET
        object_id = EXCLUDED.object_id,
        outcome = EXCLUDED.outcome,
        payload = EXCLUDED.payload,
        error = NULL,
        attempts = events.attempts + 1,
        processed_at = now()
)
SELECT
    (SELECT CASE WHEN fields IS NULL THEN 'unchanged' ELSE 'applied' END FROM written),
    EXISTS (SELECT FROM newer),
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    {compared.began(mirrored)},
    CASE WHEN NOT EXISTS (SELECT FROM newer) THEN (
        SELECT {_held(mirrored)}
        FROM stripe.{mirrored.table} AS o
        WHERE o.id = %(id)s::text
    ) END
"""


_MISSING = sql.MISSING


def _updated(column: Column, columns: tuple[Column, ...]) -> str:
    new = f'EXCLUDED."{column.name}"'
    return sql.kept(column, new, "o", "EXCLUDED") if _keeps(column, columns) else new


def _keeps(column: Column, columns: tuple[Column, ...]) -> bool:
    return column.keeps and any(other.name == "deleted" for other in columns)


def _array(names: list[str], *, more: list[str] | None = None, prefix: str = "") -> str:
    return "ARRAY[" + ", ".join(f"'{prefix}{name}'" for name in [*names, *(more or [])]) + "]"


def _pairs(columns: tuple[Column, ...], table: str, record: str) -> str:
    return ",\n            ".join(
        sql.pair(column, table, record, keeps=_keeps(column, columns)) for column in columns
    )


def _items_read(items: Items | None) -> str:
    if items is None:
        return ""
    return f"""incoming_items AS (
    SELECT i.*
    FROM json_to_recordset((SELECT items FROM newer)) AS i({sql.record(items.columns)})
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
        CASE WHEN n.id IS NULL OR o.id IS NULL THEN ARRAY['']
            ELSE {_array([column.name for column in items.columns], prefix=".")} END,
        CASE WHEN n.id IS NULL
            THEN ARRAY[jsonb_build_array({_whole(items.columns, "o", is_held=True)}, NULL)]
        WHEN o.id IS NULL
            THEN ARRAY[jsonb_build_array(NULL, {_whole(items.columns, "n", is_held=False)})]
        ELSE ARRAY[
            {_pairs(items.columns, "o", "n")}
        ] END
    ) AS f(name, pair)
    WHERE f.pair IS NOT NULL
),
"""


def _whole(columns: tuple[Column, ...], table: str, *, is_held: bool) -> str:
    """Return an item as a JSON object, nulls left out (but not those within a column's JSON)."""

    def member(column: Column) -> str:
        value = sql.shown(column, table) if is_held else f'{table}."{column.name}"'
        return f"'{column.name}', {value}"

    plain = ", ".join(member(column) for column in columns if column.type not in AS_JSON)
    parts = [f"jsonb_strip_nulls(jsonb_build_object({plain}))"]
    parts += [
        f"CASE WHEN {table}.\"{column.name}\" IS NULL THEN '{{}}'"
        f" ELSE jsonb_build_object({member(column)}) END"
        for column in columns
        if column.type in AS_JSON
    ]
    return " || ".join(parts)


def _items_differing(items: Items | None) -> str:
    if items is None:
        return ""
    return """
    UNION ALL
    SELECT name, pair FROM differing_items"""


def _items_written(items: Items | None) -> str:
    """Write the items if any of them differs, as `write_statement` does."""
    if items is None:
        return ""
    values = ", ".join(sql.written(column, "i") for column in items.columns)
    updates = ", ".join(
        f'"{name}" = EXCLUDED."{name}"'
        for name in (items.parent, *(column.name for column in items.columns[1:]))
    )
    touched = "EXISTS (SELECT FROM written) AND EXISTS (SELECT FROM differing_items)"
    return f"""removed_items AS (
    DELETE FROM stripe.{items.table} AS o
    WHERE o.{items.parent} = %(id)s::text
        AND {touched}
        AND o.id NOT IN (SELECT i.id FROM incoming_items AS i)
),
written_items AS (
    INSERT INTO stripe.{items.table} ({items.parent}, {sql.names(items.columns)})
    SELECT %(id)s::text, {values}
    FROM incoming_items AS i
    WHERE {touched}
    ON CONFLICT (id) DO UPDATE SET {updates}
),
"""


def _held(mirrored: MirroredObject) -> str:
    """Return the held row as JSON: its columns, its items, as_of, revision, missing since."""
    own = ", ".join(sql.held(column, "o") for column in mirrored.columns)
    items = "NULL"
    if mirrored.items is not None:
        columns = ", ".join(sql.held(column, "i") for column in mirrored.items.columns)
        items = f"""(
            SELECT json_agg(json_build_array({columns}) ORDER BY i.id COLLATE "C")
            FROM stripe.{mirrored.items.table} AS i
            WHERE i.{mirrored.items.parent} = o.id
        )"""
    return f"""json_build_array(
            json_build_array({own}),
            {items},
            json_build_array(
                {sql.seconds_before("lower(o.as_of)")},
                {sql.seconds_after("upper(o.as_of)")}
            ),
            o.revision,
            {sql.shown(_MISSING, "o")}
        )::text"""
