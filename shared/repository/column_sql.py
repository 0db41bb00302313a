"""How a declared column is spelled in SQL: its type in JSON, how it is read, how it is written.

Names come from declarations in this project alone, never from input, so they are put into the text
as they are (quoted); every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.objects.column import AS_JSON, Column, Type, Value
from shared.objects.declaration import Items, MirroredObject

MISSING = Column("missing_in_stripe_since", Type.TIMESTAMP)
"""The mark of a row whose id Stripe does not know; no field of Stripe's."""

IN_JSON = {
    Type.TEXT: "text",
    Type.REFERENCE: "text",
    Type.BOOLEAN: "boolean",
    Type.INTEGER: "bigint",
    # As text, for a change row shows an amount as Stripe spells it.
    Type.DECIMAL: "text",
    Type.TIMESTAMP: "bigint",
    **dict.fromkeys(AS_JSON, "jsonb"),
}
"""The types of a JSON object's members."""


_WIDTH = 96


def listed(parts: Iterable[str], indent: int) -> str:
    """Return a list, as many of it on a line as fit, all but the first indented."""
    lines: list[str] = []
    line = ""
    for part in parts:
        if line and indent + len(line) + 2 + len(part) > _WIDTH:
            lines.append(line)
            line = part
        else:
            line = f"{line}, {part}" if line else part
    return f",\n{' ' * indent}".join([*lines, line])


def singly(parts: Iterable[str], indent: int) -> str:
    """Return a list with each part on a line of its own, all but the first indented."""
    return f",\n{' ' * indent}".join(parts)


def _literal(value: Value) -> str:
    """Return a value that a declaration names, as SQL."""
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


def is_compared(mirrored: MirroredObject, table: str) -> str:
    """Return the further condition of rows that a window looks for, empty where that is each.

    One that lists may never name is looked for once its object was found equal in a list. Another
    that a list names after all is read when it does.
    """
    if mirrored.unlisted is None:
        return ""
    column, value = mirrored.unlisted
    # No EXISTS: the planner may read all fingerprints for it.
    return f"""
    AND ({table}."{column}" IS DISTINCT FROM {_literal(value)} OR (
        SELECT seen.object_id FROM stripe.fingerprints AS seen WHERE seen.object_id = {table}.id
    ) IS NOT NULL)"""


def last_revision(object_id: str) -> str:
    """Return the last revision that an id is known to have had, NULL for none.

    A row that was removed by hand and comes back goes on from there: no revision of one id is ever
    another row's, so no answer that was asked for before the removal replaces what came after it.
    """
    return f"""(
            SELECT c.revision
            FROM stripe.changes AS c
            WHERE c.object_id = {object_id}
            ORDER BY c.revision DESC
            LIMIT 1
        )"""


def record(columns: tuple[Column, ...], indent: int, *more: str) -> str:
    """Return what json_to_record takes for the row of an object: a list of columns."""
    typed = [f'"{column.name}" {IN_JSON[column.type]}' for column in columns]
    return listed([*typed, *more], indent)


def names(columns: tuple[Column, ...]) -> list[str]:
    """Return the columns' names, as INSERT takes them."""
    return [f'"{column.name}"' for column in columns]


def updates(items: Items) -> str:
    """Return what ON CONFLICT sets of an item."""
    keys = (items.parent, *(column.name for column in items.columns[1:]))
    return singly((f'"{name}" = EXCLUDED."{name}"' for name in keys), 8)


def written(column: Column, record: str) -> str:
    """Return what is written into the column from a record of JSON."""
    name = f'{record}."{column.name}"'
    if column.type is Type.TIMESTAMP:
        return f"to_timestamp({name})"
    return f"{name}::numeric" if column.type is Type.DECIMAL else name


def shown(column: Column, table: str) -> str:
    """Return a column's value as people and programs read it: epoch seconds, JSON as JSON.

    What Stripe cannot have said is shown so that it equals nothing that Stripe can say: a time
    with a fraction as text, to the microsecond; an infinite one as the largest or smallest number;
    JSON's null, which is not the column's, as text.
    """
    name = f'{table}."{column.name}"'
    if column.type is Type.TIMESTAMP:
        return f"stripe.seconds({name})"
    if column.type is Type.DECIMAL:
        return f"{name}::text"
    if column.type in AS_JSON:
        return f"""CASE WHEN {name} = 'null' THEN '"null"' ELSE {name} END"""
    return name


def seconds_before(time: str) -> str:
    """Return epoch seconds, rounded down: where an interval begins."""
    return f"floor(extract(epoch FROM {time}))::bigint"


def seconds_after(time: str) -> str:
    """Return epoch seconds, rounded up: where an interval ends."""
    return f"ceil(extract(epoch FROM {time}))::bigint"


def held(column: Column, table: str) -> str:
    """Return a column's value as a `Row` has it: as it is shown, but JSON as text."""
    return f'{table}."{column.name}"::text' if column.type in AS_JSON else shown(column, table)


def held_row(mirrored: MirroredObject) -> str:
    """Return the row `o` as a JSON array, which is a `Held`."""
    items = "'[]'::json"
    if (of := mirrored.items) is not None:
        items = f"""coalesce(
                (
                    SELECT json_agg(
                        json_build_array(
                            {listed((held(column, "i") for column in of.columns), 28)}
                        )
                        ORDER BY i.id COLLATE "C"
                    )
                    FROM stripe.{of.table} AS i
                    WHERE i.{of.parent} = o.id
                ),
                '[]'
            )"""
    return f"""json_build_array(
            json_build_array(
                {listed((held(column, "o") for column in mirrored.columns), 16)}
            ),
            {items},
            json_build_array(
                {seconds_before("lower(o.as_of)")},
                {seconds_after("upper(o.as_of)")}
            ),
            o.revision,
            {shown(MISSING, "o")}
        )"""
