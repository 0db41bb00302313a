"""The statement that writes rows of a mirrored object: one for both containers."""

from __future__ import annotations

from shared.objects.declaration import Items, MirroredObject
from shared.repository import column_sql as sql
from shared.repository import compared


def write_text(mirrored: MirroredObject, *, single: bool = False) -> str:
    """Write many rows, each only where its row is still the one that was read before.

    Optimistic: `at_revision` null inserts where there is no row, a number replaces exactly that
    revision. Items, the change row and the ledger row follow from the rows that were written, in
    the same statement and so in the same transaction. Whoever changes a subscription's items
    changes its revision, so a revision that matches makes this statement's snapshot of the items
    the true one. The ids are named once more as an array: so the index is asked for them, even by a
    plan that was made while the table was empty and any order of joining cost the same.

    `ended`: when the event's snapshot ended that is to replace a row; nothing is written where a
    comparison has begun since. NULL for what Stripe was asked for.

    `single`: for one row at a time. Said as a number in the text, because the planner expects a
    hundred rows of JSON and would read a table of up to 15,000 rows from end to end for them; a
    parameter would have it plan anew for each event.
    """
    limit = "\n    LIMIT 1" if single else ""
    names = ", ".join(f'"{column.name}"' for column in mirrored.columns)
    values = ", ".join(sql.written(column, "r") for column in mirrored.columns)
    updates = ",\n        ".join(
        f'"{column.name}" = {sql.written(column, "r")}' for column in mirrored.columns[1:]
    )
    typed = sql.record(
        mirrored.columns,
        "items json, fields jsonb, lower bigint, upper bigint, at_revision bigint",
    )
    return f"""
WITH incoming AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r({typed})
    WHERE NOT {compared.is_history(mirrored, "%(ended)s::bigint")}{limit}
),
inserted AS (
    INSERT INTO stripe.{mirrored.table} ({names}, as_of, revision)
    SELECT
        {values}, tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)),
        coalesce({sql.last_revision("r.id")}, 0) + 1
    FROM incoming AS r
    WHERE r.at_revision IS NULL
    ON CONFLICT (id) DO NOTHING
    RETURNING id, revision
),
updated AS (
    UPDATE stripe.{mirrored.table} AS o
    SET {updates},
        missing_in_stripe_since = NULL,
        as_of = tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)),
        revision = o.revision + 1
    FROM incoming AS r
    WHERE o.id = r.id AND o.revision = r.at_revision
        AND o.id = ANY(ARRAY(SELECT i.id FROM incoming AS i))
    RETURNING o.id, o.revision
),
written AS (
    SELECT id, revision FROM inserted UNION ALL SELECT id, revision FROM updated
),
{_items_written(mirrored.items)}changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, event_id, run_id, fields)
    SELECT '{mirrored.name}', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, r.fields
    FROM written AS w
    JOIN incoming AS r USING (id)
    WHERE r.fields IS NOT NULL
),
ledger AS (
    INSERT INTO stripe.events (
        id, type, object_id, created, api_version, source, outcome, payload
    )
    SELECT
        %(event_id)s::text, %(type)s::text, w.id, to_timestamp(%(created)s::bigint),
        %(api_version)s::text, %(source)s::text, %(outcome)s::text, %(payload)s::bytea
    FROM written AS w
    WHERE %(event_id)s::text IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET
        object_id = EXCLUDED.object_id,
        outcome = EXCLUDED.outcome,
        payload = EXCLUDED.payload,
        error = NULL,
        attempts = events.attempts + 1,
        processed_at = now()
)
SELECT id, revision FROM written
"""


def _items_written(items: Items | None) -> str:
    if items is None:
        return ""
    names = ", ".join(f'"{column.name}"' for column in items.columns)
    values = ", ".join(sql.written(column, "i") for column in items.columns)
    updates = ", ".join(
        f'"{name}" = EXCLUDED."{name}"'
        for name in (items.parent, *(column.name for column in items.columns[1:]))
    )
    return f"""incoming_items AS (
    SELECT w.id AS parent_id, i.*
    FROM written AS w
    JOIN incoming AS r USING (id)
    CROSS JOIN LATERAL json_to_recordset(r.items) AS i({sql.record(items.columns)})
),
removed_items AS (
    DELETE FROM stripe.{items.table} AS o
    USING written AS w
    JOIN incoming AS r USING (id)
    WHERE o.{items.parent} = w.id
        AND r.items IS NOT NULL
        AND o.id NOT IN (SELECT i.id FROM incoming_items AS i)
),
written_items AS (
    INSERT INTO stripe.{items.table} ({items.parent}, {names})
    SELECT i.parent_id, {values} FROM incoming_items AS i
    ON CONFLICT (id) DO UPDATE SET {updates}
),
"""
