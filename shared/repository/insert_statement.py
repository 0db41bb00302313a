"""The statement that inserts what the database lacks, straight from Stripe's own shape.

A first run inserts every object of an account. So nothing is made of such an object in the process
but its JSON: its rows, its change row and what the report says of it follow from that here.
"""

from __future__ import annotations

from shared.objects.column import Column, Type
from shared.objects.declaration import Items, MirroredObject
from shared.repository import column_sql as sql
from shared.repository.drifts import LAST_WORD

_BESIDE = (
    "as_of_lower bigint, as_of_upper bigint, drift_consequence text, drift_monthly_amount jsonb,"
    " drift_monthly_after jsonb, drift_not_computed jsonb, drift_place text"
)


def insert_text(mirrored: MirroredObject) -> str:
    """Return the statement: `rows` and `beside` are arrays of JSON, an object of each for a row.

    Rows that somebody else has inserted by now are left as they are, and their ids returned.
    """
    columns = mirrored.columns
    members, joins, values = _record(columns, "r")
    items = ""
    if mirrored.items is not None:
        members += ', "items" json'
        items = """,
        r."items" -> 'data' AS items"""
    has_status = any(column.name == "status" for column in columns)
    status = "jsonb_build_object('status', jsonb_build_array(NULL, w.status))"
    customer = f'w."{mirrored.customer}"' if mirrored.customer is not None else "NULL"
    initial = [sql.initial(column, "w") for column in columns]
    return f"""
WITH incoming AS MATERIALIZED (
    SELECT
        {_values(columns, values)},
        r.as_of_lower, r.as_of_upper, r.drift_consequence, r.drift_monthly_amount,
        r.drift_monthly_after, r.drift_not_computed, r.drift_place{items}
    FROM ROWS FROM (
        json_to_recordset(%(rows)s::json) AS ({members}),
        json_to_recordset(%(beside)s::json) AS ({_BESIDE})
    ) AS r{joins}
),
inserted AS (
    INSERT INTO stripe.{mirrored.table} ({sql.names(columns)}, as_of, revision)
    SELECT
        {", ".join(sql.written(column, "r") for column in columns)},
        tstzrange(to_timestamp(r.as_of_lower), to_timestamp(r.as_of_upper)),
        coalesce({sql.last_revision("r.id")}, 0) + 1
    FROM incoming AS r
    ON CONFLICT (id) DO NOTHING
    RETURNING id, revision
),
written AS MATERIALIZED (
    SELECT r.*, inserted.revision FROM incoming AS r JOIN inserted USING (id)
),
{_items_written(mirrored.items)}changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, run_id, fields)
    SELECT
        '{mirrored.name}', w.id, w.revision, %(run_id)s::uuid,
        (
            '{{' || concat_ws(
                ', ',
                {_lines(initial)}{", t.members" if mirrored.items is not None else ""}
            ) || '}}'
        )::jsonb
    FROM written AS w{_ITEMS_TOLD if mirrored.items is not None else ""}
),
told AS (
    INSERT INTO stripe.drifts AS d (
        run_id, object, object_id, kind, consequence, fields, customer_id, monthly_amount,
        monthly_after, not_computed, place, ends_access, action, spooled, found_at
    )
    SELECT
        %(run_id)s::uuid, '{mirrored.name}', w.id, 'missing_in_database', w.drift_consequence,
        {status if has_status else "jsonb_build_object()"}, {customer}, w.drift_monthly_amount,
        w.drift_monthly_after, w.drift_not_computed, w.drift_place, false, 'repaired', NULL,
        to_timestamp(%(found_at)s::bigint)
    FROM written AS w
{LAST_WORD})
SELECT id FROM incoming EXCEPT ALL SELECT id FROM inserted
"""


_ITEMS_TOLD = """
    LEFT JOIN (
        SELECT parent_id, string_agg(told, ', ') AS members
        FROM items
        GROUP BY parent_id
    ) AS t ON t.parent_id = w.id"""


def _items_written(items: Items | None) -> str:
    if items is None:
        return ""
    members, joins, values = _record(items.columns, "i")
    names = sql.names(items.columns)
    updates = ", ".join(
        f'"{name}" = EXCLUDED."{name}"'
        for name in (items.parent, *(column.name for column in items.columns[1:]))
    )
    told = [sql.member(column, "i") for column in items.columns]
    return f"""bare_items AS MATERIALIZED (
    SELECT
        w.id AS parent_id,
        {_values(items.columns, values)}
    FROM written AS w
    CROSS JOIN LATERAL json_to_recordset(w.items) AS i({members}){joins}
),
items AS MATERIALIZED (
    SELECT
        i.*,
        to_json('items.' || i.id)::text || ': [null, {{' || concat_ws(
            ', ',
            {_lines(told)}
        ) || '}}]' AS told
    FROM bare_items AS i
),
written_items AS (
    INSERT INTO stripe.{items.table} ({items.parent}, {names})
    SELECT i.parent_id, {", ".join(sql.written(column, "i") for column in items.columns)}
    FROM items AS i
    ON CONFLICT (id) DO UPDATE SET {updates}
),
"""


def _values(columns: tuple[Column, ...], values: dict[str, str]) -> str:
    return _lines([f'{values[column.name]} AS "{column.name}"' for column in columns])


def _lines(parts: list[str]) -> str:
    return ",\n        ".join(parts)


def _record(columns: tuple[Column, ...], alias: str) -> tuple[str, str, dict[str, str]]:
    """Return the members of a JSON object, the joins that open what is nested, and each value."""
    joins: list[str] = []
    values: dict[str, str] = {}
    members = _members([(c.source.split("."), c) for c in columns], alias, joins, values)
    return members, "".join(joins), values


def _members(
    fields: list[tuple[list[str], Column]], alias: str, joins: list[str], values: dict[str, str]
) -> str:
    members: list[str] = []
    nested: dict[str, list[tuple[list[str], Column]]] = {}
    for path, column in fields:
        if len(path) > 1:
            nested.setdefault(path[0], []).append((path[1:], column))
            continue
        members.append(f'"{path[0]}" {sql.IN_JSON[column.type]}')
        value = f'{alias}."{path[0]}"'
        # Stripe may leave it out, a row never does.
        empty = f"coalesce({value}, '{{}}')"
        values[column.name] = empty if column.type is Type.METADATA else value
    for name, inner in nested.items():
        members.append(f'"{name}" json')
        place = len(joins)
        joins.append("")
        deeper = _members(inner, f"{alias}_{name}", joins, values)
        joins[place] = (
            f'\n    LEFT JOIN LATERAL json_to_record({alias}."{name}")'
            f" AS {alias}_{name}({deeper}) ON true"
        )
    return ", ".join(members)
