"""The SQL of a mirrored object's tables, derived from its declaration.

Names come from declarations in this project alone, never from input, so they are put into the text
as they are (quoted); every value is a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from shared.objects.column import Type
from shared.objects.declaration import Items, MirroredObject
from shared.repository import column_sql as sql
from shared.repository import compared
from shared.repository.statement import Statement
from shared.repository.window_statement import BY_ID, IN_WINDOW, window_text
from shared.repository.write_statement import write_text


@dataclass(frozen=True, kw_only=True)
class Statements:
    """The statements for one mirrored object."""

    held: Statement
    window: Statement
    window_again: Statement
    many: Statement
    marks: Statement
    recorded: Statement
    boundaries: Statement
    number: Statement
    newest: Statement
    beyond: Statement
    write: Statement
    write_single: Statement
    mark_missing: Statement


@cache
def statements(mirrored: MirroredObject) -> Statements:
    """Return the statements for one declaration."""
    return Statements(
        held=Statement(_held(mirrored)),
        window=Statement(window_text(mirrored, IN_WINDOW)),
        window_again=Statement(window_text(mirrored, BY_ID)),
        many=Statement(_many(mirrored)),
        marks=Statement(_marks(mirrored)),
        recorded=Statement(_RECORDED),
        boundaries=Statement(_boundaries(mirrored)),
        number=Statement(f"SELECT count(*) FROM stripe.{mirrored.table}"),
        newest=Statement(_newest(mirrored)),
        beyond=Statement(_beyond(mirrored)),
        write=Statement(write_text(mirrored)),
        write_single=Statement(write_text(mirrored, single=True)),
        mark_missing=Statement(_mark_missing(mirrored)),
    )


def _selected(mirrored: MirroredObject) -> str:
    """Columns of Held: the row, its items as JSON text, as_of, revision, missing since."""
    own = ",\n    ".join(sql.held(column, "o") for column in mirrored.columns)
    return f"""
    {own},
    {_items_selected(mirrored.items)},{_TIMES}"""


_TIMES = f"""
    {sql.seconds_before("lower(o.as_of)")},
    {sql.seconds_after("upper(o.as_of)")},
    o.revision,
    {sql.shown(sql.MISSING, "o")}"""

_NAMED = "o.id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)))"


def _items_selected(items: Items | None, *, as_text: bool = True) -> str:
    kind = "text" if as_text else "json"
    if items is None:
        return f"NULL::{kind}"
    columns = ", ".join(sql.held(column, "i") for column in items.columns)
    return f"""(
        SELECT json_agg(json_build_array({columns}) ORDER BY i.id COLLATE "C")
        FROM stripe.{items.table} AS i
        WHERE i.{items.parent} = o.id
    )::{kind}"""


def _held(mirrored: MirroredObject) -> str:
    return f"""
SELECT
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    {compared.began(mirrored)},{_selected(mirrored)}
FROM (SELECT 1) AS always
LEFT JOIN stripe.{mirrored.table} AS o ON o.id = %(id)s
"""


def _many(mirrored: MirroredObject) -> str:
    own = ", ".join(sql.held(column, "o") for column in mirrored.columns)
    items = _items_selected(mirrored.items, as_text=False)
    return f"""
SELECT json_agg(
    json_build_array(json_build_array({own}), {items},{_TIMES})
)::text
FROM stripe.{mirrored.table} AS o
WHERE {_NAMED}
"""


def _marks(mirrored: MirroredObject) -> str:
    return f"""
SELECT
    o.id,
    CASE WHEN isfinite(o.created) THEN floor(extract(epoch FROM o.created))::bigint END,
    {sql.seconds_before("lower(o.as_of)")},
    {sql.seconds_after("upper(o.as_of)")}
FROM stripe.{mirrored.table} AS o
WHERE {_NAMED}
"""


def _boundaries(mirrored: MirroredObject) -> str:
    # Rows that no list names fill no page; too many of them between two cuts would fill memory.
    listed = ["missing_in_stripe_since IS NULL"]
    if "deleted" in mirrored.decoded.index:
        listed.append("NOT deleted")
    if "test_clock" in mirrored.decoded.index:
        listed.append("test_clock IS NULL")
    return f"""
SELECT DISTINCT extract(epoch FROM created)::bigint AS boundary
FROM (
    SELECT
        created, is_listed,
        count(*) FILTER (WHERE is_listed) OVER upwards AS listed,
        count(*) FILTER (WHERE NOT is_listed) OVER upwards AS unlisted
    FROM (
        SELECT created, {" AND ".join(listed)} AS is_listed
        FROM stripe.{mirrored.table}
        WHERE isfinite(created)
    ) AS told
    WINDOW upwards AS (ORDER BY created ROWS UNBOUNDED PRECEDING)
) AS numbered
WHERE CASE
    WHEN is_listed THEN listed % %(every)s::bigint = 0
    ELSE unlisted % (3 * %(every)s::bigint) = 0
END
ORDER BY boundary
"""


_RECORDED = """
SELECT DISTINCT ON (o.object_id) o.object_id, (o.fields #>> '{created,1}')::bigint
FROM stripe.changes AS o
WHERE o.object_id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)))
    AND o.object = %(object)s
    AND o.fields #>> '{created,1}' IS NOT NULL
ORDER BY o.object_id, o.revision DESC, o.id DESC
"""


def _newest(mirrored: MirroredObject) -> str:
    clock = "AND test_clock IS NULL" if "test_clock" in mirrored.decoded.index else ""
    return f"""
SELECT id
FROM stripe.{mirrored.table}
WHERE isfinite(created) AND missing_in_stripe_since IS NULL {clock}
ORDER BY created DESC
LIMIT %(count)s::bigint
"""


def _beyond(mirrored: MirroredObject) -> str:
    no_clock = " OR o.test_clock IS NULL" if "test_clock" in mirrored.decoded.index else " OR true"
    return f"""
SELECT
    count(*) FILTER (WHERE is_absent),
    json_agg(id ORDER BY id) FILTER (WHERE NOT is_absent)::text
FROM (
    SELECT
        o.id,
        CASE WHEN o.missing_in_stripe_since IS NOT NULL
            THEN o.missing_in_stripe_since = lower(o.as_of){no_clock}
            ELSE {_is_emptied(mirrored)} END AS is_absent
    FROM stripe.{mirrored.table} AS o
    WHERE o.created IS NULL
        OR o.created < to_timestamp(0)
        OR o.created >= to_timestamp(%(end)s::bigint)
) AS beyond
"""


def _is_emptied(mirrored: MirroredObject) -> str:
    """Return what `MirroredObject.is_emptied` says of a row."""
    if "deleted" not in mirrored.decoded.index:
        return "false"
    wanted = ["o.deleted"]
    for column in mirrored.columns:
        name = f'o."{column.name}"'
        if column.keeps and column.type is Type.TIMESTAMP:
            wanted.append(f"({name} IS NULL OR {sql.is_whole(name)})")
        elif column.type is Type.METADATA:
            wanted.append(f"{name} = '{{}}'")
        elif not column.keeps and column.name not in {"id", "deleted"}:
            wanted.append(f"{name} IS NULL")
    return f"({' AND '.join(wanted)})"


def _mark_missing(mirrored: MirroredObject) -> str:
    return f"""
WITH marked AS (
    UPDATE stripe.{mirrored.table}
    SET missing_in_stripe_since = to_timestamp(%(since)s::bigint),
        as_of = tstzrange(to_timestamp(%(lower)s::bigint), to_timestamp(%(upper)s::bigint)),
        revision = revision + 1
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
