"""Rows of the mirrored objects are written, each at the revision that was read: one writer for all.

An event's statement is made of it, too (`apply_event`). The caller owns the transaction (a
statement in autocommit mode is one); nothing here commits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.objects.column import Columns, Row
from shared.objects.declaration import Content, Items, MirroredObject
from shared.objects.difference import Fields
from shared.repository import column_sql as sql
from shared.repository.statement import object_statement
from shared.truth import Interval

_ids_decoder = msgspec.json.Decoder(list[str])


class Write(NamedTuple):
    """One row to write: at the revision that was read before, or None where there was no row.

    `fields`: the change of a row to record, empty for a confirmation, and where there was no row:
    then the whole content is its change.
    """

    content: Content
    as_of: Interval
    at_revision: int | None
    fields: Fields


def write_for_run(
    connection: Connection[Any], mirrored: MirroredObject, rows: str, run_id: str
) -> set[str]:
    """Write encoded rows for a run and return the ids that were written.

    The ids that are not returned were changed, or inserted, by somebody else since they were read.
    """
    parameters = {"rows": rows, "run_id": run_id}
    row = _WRITE_FOR_RUN.of(mirrored).execute(connection, parameters).fetchone()
    assert row is not None
    return set(_ids_decoder.decode(row[0] or "[]"))


def written(mirrored: MirroredObject, only: str = "") -> str:
    """Write rows, each only where its row is still the one that was read before.

    Optimistic: `at_revision` null inserts where there is no row, a number replaces exactly that
    revision. Items, the change row and the ledger row follow from the rows that were written, in
    the same statement and so in the same transaction. Whoever changes a subscription's items
    changes its revision, so a revision that matches makes this statement's snapshot of the items
    the true one. The ids are named once more as an array: so the index is asked for them, even by a
    plan that was made while the table was empty and any order of joining cost the same.

    `only`: the end of the query that yields what comes in.
    """
    updates = sql.singly(
        (f'"{column.name}" = {sql.written(column, "r")}' for column in mirrored.columns[1:]), 8
    )
    return f"""
WITH incoming AS (
    SELECT given.*, r.*
    FROM json_to_recordset(%(rows)s::json) AS given (
        content json, items json, fields jsonb, lower bigint, upper bigint, at_revision bigint
    )
    CROSS JOIN LATERAL json_to_record(given.content) AS r (
        {sql.record(mirrored.columns, 8)}
    ){only}
),
inserted AS (
    INSERT INTO stripe.{mirrored.table} (
        {sql.listed([*sql.names(mirrored.columns), "as_of", "revision"], 8)}
    )
    SELECT
        {sql.listed((sql.written(column, "r") for column in mirrored.columns), 8)},
        tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)),
        coalesce({sql.last_revision("r.id")}, 0) + 1
    FROM incoming AS r
    WHERE r.at_revision IS NULL
    ON CONFLICT (id) DO NOTHING
    RETURNING id, revision
),
updated AS (
    UPDATE stripe.{mirrored.table} AS o SET
        {updates},
        missing_in_stripe_since = NULL,
        as_of = tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)),
        revision = o.revision + 1
    FROM incoming AS r
    WHERE o.id = r.id
        AND o.revision = r.at_revision
        AND o.id = ANY(ARRAY(SELECT i.id FROM incoming AS i))
    RETURNING o.id, o.revision
),
written AS (
    SELECT i.id, i.revision, r.items, {_INITIAL} AS fields
    FROM inserted AS i
    JOIN incoming AS r USING (id)
    UNION ALL
    SELECT u.id, u.revision, r.items, r.fields
    FROM updated AS u
    JOIN incoming AS r USING (id)
),
{_items_of_rows(mirrored.items)}{_changed(mirrored)}"""


_INITIAL = """(
        SELECT jsonb_object_agg(f.name, jsonb_build_array(NULL, f.value))
        FROM (
            SELECT c.key, c.value FROM json_each(r.content) AS c
            UNION ALL
            SELECT 'items.' || (i ->> 'id'), i FROM json_array_elements(r.items) AS i
        ) AS f (name, value)
    )"""
"""The change of a row that was not there: everything that is not null, and each item whole."""


def _items_of_rows(items: Items | None) -> str:
    """Return what gives the rows `written` their items, and no others.

    What may have to go is asked for by an array alone: with a join to the rows beside it, a plan
    may search the whole array once for each row.
    """
    if items is None:
        return ""
    return f"""touched AS (
    SELECT id, items FROM written WHERE items IS NOT NULL
),
incoming_items AS (
    SELECT t.id AS parent_id, i.*
    FROM touched AS t
    CROSS JOIN LATERAL json_to_recordset(t.items) AS i (
        {sql.record(items.columns, 8)}
    )
),
removed_items AS (
    DELETE FROM stripe.{items.table} AS o
    WHERE o.{items.parent} = ANY(ARRAY(SELECT id FROM touched))
        AND o.id NOT IN (SELECT i.id FROM incoming_items AS i)
),
written_items AS (
    INSERT INTO stripe.{items.table} (
        {sql.listed([items.parent, *sql.names(items.columns)], 8)}
    )
    SELECT
        {sql.listed(["t.id", *(sql.written(column, "i") for column in items.columns)], 8)}
    FROM touched AS t
    JOIN incoming_items AS i ON i.parent_id = t.id
    ON CONFLICT (id) DO UPDATE SET
        {sql.updates(items)}
),
"""


def _changed(mirrored: MirroredObject) -> str:
    """Return what keeps a change of each row `written` of which `fields` says one."""
    return f"""changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, event_id, run_id, fields)
    SELECT
        '{mirrored.name}', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, w.fields
    FROM written AS w
    WHERE w.fields IS NOT NULL
)"""


_WRITE_FOR_RUN = object_statement(
    write_for_run,
    lambda mirrored: (
        f"""{written(mirrored)}
SELECT json_agg(id)::text FROM written
"""
    ),
)


def mark_missing(
    connection: Connection[Any],
    mirrored: MirroredObject,
    object_id: str,
    at_revision: int,
    *,
    since: int,
    as_of: Interval,
    run_id: str,
) -> bool:
    """Mark a row whose id Stripe does not know; False where it was changed since it was read.

    `since` (epoch) and `as_of` are Stripe's time: an event from before then changes nothing back.
    """
    parameters = {
        "id": object_id,
        "at_revision": at_revision,
        "since": since,
        "lower": as_of.lower,
        "upper": as_of.upper,
        "run_id": run_id,
    }
    return _MARK_MISSING.of(mirrored).execute(connection, parameters).fetchone() is not None


_MARK_MISSING = object_statement(
    mark_missing,
    lambda mirrored: (
        f"""
WITH written AS (
    UPDATE stripe.{mirrored.table} SET
        missing_in_stripe_since = to_timestamp(%(since)s::bigint),
        as_of = tstzrange(to_timestamp(%(lower)s::bigint), to_timestamp(%(upper)s::bigint)),
        revision = revision + 1
    WHERE id = %(id)s AND revision = %(at_revision)s AND missing_in_stripe_since IS NULL
    RETURNING
        id,
        revision,
        jsonb_build_object(
            'missing_in_stripe_since', jsonb_build_array(NULL, %(since)s::bigint)
        ) AS fields
),
{_changed(mirrored)}
SELECT id FROM written
"""
    ),
)


def encode(writes: Iterable[Write], mirrored: MirroredObject) -> str:
    """Return rows as the JSON that the writer takes."""
    return msgspec.json.encode([_encoded(write, mirrored) for write in writes]).decode()


class _Given(msgspec.Struct, omit_defaults=True, gc=False):
    """One row as the statement takes it: its content without what is null."""

    content: Any
    lower: int
    upper: int
    at_revision: int | None = None
    fields: Fields = {}
    items: list[Any] | None = None


def _encoded(write: Write, mirrored: MirroredObject) -> _Given:
    """Return one row as the statement takes it.

    Items are left out where they are as they were: they are then not touched.
    """
    content, fields = write.content, write.fields
    row = _as_object(mirrored.decoded, content.row)
    given = _Given(row, *write.as_of, write.at_revision, fields)
    touched = write.at_revision is None or any(name.startswith("items.") for name in fields)
    if mirrored.items is not None and content.items is not None and touched:
        given.items = [_as_object(mirrored.items.decoded, item) for item in content.items]
    return given


def _as_object(columns: Columns, row: Row) -> Any:
    """Return a row as the JSON object that the statements take."""
    found = _struct(columns)(*row)
    for name in columns.as_json:
        if (value := getattr(found, name)) is not None:
            setattr(found, name, msgspec.Raw(value.encode()))
    return found


@cache
def _struct(columns: Columns) -> Any:
    """Return a Struct of a row's values, which costs less than a dict."""
    members: list[Any] = [(name, Any, None) for name in columns.names]
    return msgspec.defstruct("row", members, omit_defaults=True, gc=False)
