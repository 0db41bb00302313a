"""What somebody with psql may do to any row of any mirrored object."""

from psycopg import sql

from shared.objects.catalogue import MIRRORED
from shared.objects.column import Column, Type
from tests.objects import ALL_TABLES

OTHER = {
    Type.TEXT: "coalesce({0}, '') || 'x'",
    Type.REFERENCE: "coalesce({0}, '') || 'x'",
    Type.BOOLEAN: "NOT coalesce({0}, false)",
    Type.INTEGER: "coalesce({0}, 0) + 1",
    Type.DECIMAL: "coalesce({0}, 0) + 0.01",
    Type.TIMESTAMP: "coalesce({0}, to_timestamp(7)) + interval '1 second'",
    Type.REFERENCES: "coalesce({0}, '[]') || '\"di_other\"'",
    Type.METADATA: "coalesce({0}, '{{}}') || '{{\"another\": \"x\"}}'",
    Type.JSON: '\'{{"other": "void"}}\'',
}
"""Another value of a column, whatever it holds."""


def change_all() -> str:
    """Return SQL that changes every column of every row but the ids; decimals to none at all."""
    values = {**OTHER, Type.DECIMAL: "'NaN'"}
    columns = {mirrored.table: mirrored.columns for mirrored in MIRRORED}
    for mirrored in MIRRORED:
        if mirrored.items is not None:
            columns[mirrored.items.table] = mirrored.items.columns
    statements = []
    for table, of in columns.items():
        changed = ", ".join(
            f'"{one.name}" = ' + values[one.type].format(f'"{one.name}"')
            for one in of
            if one.name != "id"
        )
        statements.append(f"UPDATE stripe.{table} SET {changed}")  # noqa: S608
    return "; ".join(statements)


DELETE_ALL = "; ".join(f"DELETE FROM stripe.{table}" for table in ALL_TABLES)  # noqa: S608
TRUNCATE_ALL = "TRUNCATE " + ", ".join(f"stripe.{table}" for table in ALL_TABLES)
RENAME_ALL = "; ".join(
    [
        *(f"DELETE FROM stripe.{one.items.table}" for one in MIRRORED if one.items),  # noqa: S608
        *(f"UPDATE stripe.{one.table} SET id = 'x_' || gen_random_uuid()" for one in MIRRORED),  # noqa: S608
        *(f"DELETE FROM stripe.{one.table} WHERE id LIKE 'x_%'" for one in MIRRORED),  # noqa: S608
    ]
)


def update(table: str, column: Column, key: str) -> sql.Composed:
    """Return SQL that gives one column another value; its parameter is the value of `key`."""
    return sql.SQL("UPDATE stripe.{} SET {} = {} WHERE {} = %s").format(
        sql.Identifier(table),
        sql.Identifier(column.name),
        sql.SQL(OTHER[column.type].format(f'"{column.name}"')),
        sql.Identifier(key),
    )
