"""The SQL of a mirrored object's tables, derived from its declaration.

Names come from declarations in this project alone, never from input, so they are put into the text
as they are (quoted); every value is a parameter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from psycopg import Connection, RawCursor

from shared.columns import Column, Type
from shared.mirrored import Items, MirroredObject

_READ = {
    Type.TIMESTAMP: "extract(epoch FROM {0})::bigint",
    Type.METADATA: "{0}::text",
    Type.JSON: "{0}::text",
    Type.DECIMAL: "{0}::text",
}
_IN_JSON = {
    Type.TEXT: "text",
    Type.REFERENCE: "text",
    Type.BOOLEAN: "boolean",
    Type.INTEGER: "bigint",
    Type.DECIMAL: "numeric",
    Type.TIMESTAMP: "bigint",
    Type.METADATA: "jsonb",
    Type.JSON: "jsonb",
}


_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class Statement:
    """A SQL text with named placeholders, translated to PostgreSQL's own once and for all.

    psycopg parses a text longer than 4,096 characters anew at each execution, which took a third
    of the time of an event.
    """

    def __init__(self, text: str) -> None:
        self._names = tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
        numbers = {name: f"${number}" for number, name in enumerate(self._names, 1)}
        self._text = _PLACEHOLDER.sub(lambda match: numbers[match[1]], text).encode()

    def execute(
        self, connection: Connection[Any], parameters: dict[str, Any]
    ) -> RawCursor[tuple[Any, ...]]:
        """Execute it and return the cursor; a parameter that is not given is NULL."""
        cursor: RawCursor[tuple[Any, ...]] = RawCursor(connection)
        return cursor.execute(self._text, [parameters.get(name) for name in self._names])


@dataclass(frozen=True, kw_only=True)
class Statements:
    """The statements for one mirrored object."""

    held: Statement
    window: Statement
    many: Statement
    boundaries: Statement
    newest: Statement
    write: Statement
    mark_missing: Statement


@cache
def statements(mirrored: MirroredObject) -> Statements:
    """Return the statements for one declaration."""
    return Statements(
        held=Statement(_held(mirrored)),
        window=Statement(_window(mirrored)),
        many=Statement(_many(mirrored)),
        boundaries=Statement(_boundaries(mirrored)),
        newest=Statement(_newest(mirrored)),
        write=Statement(_write(mirrored)),
        mark_missing=Statement(_mark_missing(mirrored)),
    )


def _read(column: Column, table: str) -> str:
    return _READ.get(column.type, "{0}").format(f'{table}."{column.name}"')


def _selected(mirrored: MirroredObject) -> str:
    """Columns of Held: the row, its items as JSON text, as_of, revision, missing since."""
    own = ",\n    ".join(_read(column, "o") for column in mirrored.columns)
    return f"""
    {own},
    {_items_selected(mirrored.items)},
    extract(epoch FROM lower(o.as_of))::bigint,
    extract(epoch FROM upper(o.as_of))::bigint,
    o.revision,
    extract(epoch FROM o.missing_in_stripe_since)::bigint"""


def _items_selected(items: Items | None) -> str:
    if items is None:
        return "NULL::text"
    columns = ", ".join(_read(column, "i") for column in items.columns)
    return f"""(
        SELECT json_agg(json_build_array({columns}) ORDER BY i.id COLLATE "C")
        FROM stripe.{items.table} AS i
        WHERE i.{items.parent} = o.id
    )::text"""


def _held(mirrored: MirroredObject) -> str:
    return f"""
SELECT
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),{_selected(mirrored)}
FROM (SELECT 1) AS always
LEFT JOIN stripe.{mirrored.table} AS o ON o.id = %(id)s
"""


def _window(mirrored: MirroredObject) -> str:
    return f"""
SELECT{_selected(mirrored)}
FROM stripe.{mirrored.table} AS o
WHERE o.created >= to_timestamp(%(gte)s::bigint)
    AND o.created < to_timestamp(%(lt)s::bigint)
"""


def _many(mirrored: MirroredObject) -> str:
    return f"""
SELECT{_selected(mirrored)}
FROM stripe.{mirrored.table} AS o
WHERE o.id = ANY(%(ids)s::text[])
"""


def _boundaries(mirrored: MirroredObject) -> str:
    return f"""
SELECT DISTINCT extract(epoch FROM created)::bigint AS boundary
FROM (
    SELECT created, row_number() OVER (ORDER BY created) AS number
    FROM stripe.{mirrored.table}
    WHERE created IS NOT NULL
) AS numbered
WHERE number % %(every)s::bigint = 0
ORDER BY boundary
"""


def _newest(mirrored: MirroredObject) -> str:
    return f"""
SELECT id
FROM stripe.{mirrored.table}
WHERE created IS NOT NULL AND missing_in_stripe_since IS NULL
ORDER BY created DESC
LIMIT %(count)s::bigint
"""


def _recordset(columns: tuple[Column, ...], more: str) -> str:
    typed = [f'"{column.name}" {_IN_JSON[column.type]}' for column in columns]
    return ", ".join([*typed, more] if more else typed)


def _written(column: Column, table: str) -> str:
    name = f'{table}."{column.name}"'
    return f"to_timestamp({name})" if column.type is Type.TIMESTAMP else name


def _write(mirrored: MirroredObject) -> str:
    """Write many rows, each only where its row is still the one that was read before.

    Optimistic: `at_revision` null inserts where there is no row, a number replaces exactly that
    revision. Items, the change row and the ledger row follow from the rows that were written, in
    the same statement and so in the same transaction. Whoever changes a subscription's items
    changes its revision, so a revision that matches makes this statement's snapshot of the items
    the true one.
    """
    names = ", ".join(f'"{column.name}"' for column in mirrored.columns)
    values = ", ".join(_written(column, "r") for column in mirrored.columns)
    updates = ",\n        ".join(
        f'"{column.name}" = {_written(column, "r")}' for column in mirrored.columns[1:]
    )
    typed = _recordset(
        mirrored.columns,
        "items json, fields jsonb, lower bigint, upper bigint, at_revision bigint",
    )
    return f"""
WITH incoming AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r({typed})
),
inserted AS (
    INSERT INTO stripe.{mirrored.table} ({names}, as_of, revision)
    SELECT {values}, tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)), 1
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
    values = ", ".join(_written(column, "i") for column in items.columns)
    updates = ", ".join(
        f'"{name}" = EXCLUDED."{name}"'
        for name in (items.parent, *(column.name for column in items.columns[1:]))
    )
    return f"""incoming_items AS (
    SELECT w.id AS parent_id, i.*
    FROM written AS w
    JOIN incoming AS r USING (id)
    CROSS JOIN LATERAL json_to_recordset(r.items) AS i({_recordset(items.columns, "")})
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


def _mark_missing(mirrored: MirroredObject) -> str:
    return f"""
WITH marked AS (
    UPDATE stripe.{mirrored.table}
    SET missing_in_stripe_since = to_timestamp(%(since)s::bigint), revision = revision + 1
    WHERE id = %(id)s AND revision = %(at_revision)s AND missing_in_stripe_since IS NULL
    RETURNING id, revision
),
changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, run_id, fields)
    SELECT
        '{mirrored.name}', id, revision, %(run_id)s::uuid,
        jsonb_build_object(
            'missing_in_stripe_since', jsonb_build_array(NULL, %(since)s::bigint)
        )
    FROM marked
)
SELECT id, revision FROM marked
"""
