"""How a declared column is spelled in SQL: its type in JSON, how it is read, how it is written.

Names come from declarations in this project alone, never from input, so they are put into the text
as they are (quoted); every value is a parameter.
"""

from __future__ import annotations

from shared.columns import AS_JSON, Column, Type

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


def record(columns: tuple[Column, ...], *more: str) -> str:
    """Return what json_to_record takes for the row of an object: a list of columns."""
    typed = [f'"{column.name}" {IN_JSON[column.type]}' for column in columns]
    return ", ".join([*typed, *more])


def names(columns: tuple[Column, ...]) -> str:
    """Return the columns' names, as INSERT takes them."""
    return ", ".join(f'"{column.name}"' for column in columns)


def written(column: Column, record: str) -> str:
    """Return what is written into the column from a record of JSON."""
    name = f'{record}."{column.name}"'
    if column.type is Type.TIMESTAMP:
        return f"to_timestamp({name})"
    return f"{name}::numeric" if column.type is Type.DECIMAL else name


def pair(column: Column, table: str, record: str) -> str:
    """Return `[before, after]` of a column, NULL where both are one value in whatever spelling."""
    before, after = shown(column, table), f'{record}."{column.name}"'
    if column.keeps:
        after = f"coalesce({after}, {before})"
    old, new = before, after
    if column.type is Type.DECIMAL:
        old, new = f'{table}."{column.name}"', f"{after}::numeric"
    return f"CASE WHEN {old} IS DISTINCT FROM {new} THEN jsonb_build_array({before}, {after}) END"


def shown(column: Column, table: str) -> str:
    """Return a column's value as people and programs read it: epoch seconds, JSON as JSON."""
    name = f'{table}."{column.name}"'
    if column.type is Type.TIMESTAMP:
        # Stripe knows no infinity: whoever wrote one is overwritten, and no read stumbles over it.
        return (
            f"CASE {name} WHEN 'infinity' THEN 9223372036854775807"
            f" WHEN '-infinity' THEN -9223372036854775808"
            f" ELSE extract(epoch FROM {name})::bigint END"
        )
    if column.type is Type.DECIMAL:
        return f"{name}::text"
    return name


def held(column: Column, table: str) -> str:
    """Return a column's value as a `Row` has it: as it is shown, but JSON as text."""
    return f'{table}."{column.name}"::text' if column.type in AS_JSON else shown(column, table)


def initial(column: Column, record: str) -> str:
    """Return a member of `{field: [null, value]}` as text, NULL where there is no value."""
    return f"""'"{column.name}": [null, ' || {_as_json(column, record)} || ']'"""


def member(column: Column, record: str) -> str:
    """Return a member of `{field: value}` as text, NULL where there is no value."""
    return f"""'"{column.name}": ' || {_as_json(column, record)}"""


def _as_json(column: Column, record: str) -> str:
    name = f'{record}."{column.name}"'
    is_text = IN_JSON[column.type] == "text"
    return f"to_json({name})::text" if is_text else f"{name}::text"
