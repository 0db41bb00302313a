"""Whose the schema is, and whether this role sees all of its rows. Reads the catalogue alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from psycopg import Connection

from shared.database.fault import ROW_SECURITY
from shared.errors import SchemaMismatch

LEDGER: Final = "schema_migrations"
_LEDGER_COLUMNS: Final = {"name", "checksum", "applied_at"}
_MOST_NAMED: Final = 5

_KINDS: Final = {
    "r": "a table",
    "p": "a table",
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
}

_SIGNS: Final[tuple[tuple[str, str], ...]] = (
    (r"table:f", "foreign tables of a wrapper (Supabase's Stripe wrapper makes such)"),
    (
        r"_?migrations:(hash|executed_at)|\w+:(_raw_data|_last_synced_at)|_sync_\w+|_managed_webhooks",
        "the sync engine of Supabase or Stripe",
    ),
    (r"\w+:_fivetran_\w+", "Fivetran"),
    (r"_airbyte_\w+|\w+:_(airbyte|ab)_\w+", "Airbyte"),
    (r"\w+:_sdc_\w+", "a Singer tap (Stitch, Meltano)"),
    (r"_dlt_\w+|\w+:_dlt_\w+", "dlt"),
    (r"djstripe_\w+", "dj-stripe"),
    (r"pay_\w+", "the gem Pay"),
    (r"\w+:uuid_ts", "Segment"),
    (r"_prisma_migrations", "an application that uses Prisma"),
    (r"schema_migrations:(version|dirty)|ar_internal_metadata", "an application's own migrations"),
    (r"alembic_version|django_migrations|flyway_\w+|knex_\w+|__\w+_migrations",
     "an application's own migrations"),
)  # fmt: skip
"""Names that tell whose tables they are: of a table, or `table:column`."""

_OURS: Final = {"runs", "drifts", "changes", "subscription_items"}


class Relation(NamedTuple):
    """A table or what stands in for one; `is_filtered`: by row level security, for this role."""

    name: str
    kind: str
    is_filtered: bool
    columns: list[str]


class Schema(NamedTuple):
    """The schema as it is; None for its name where there is none."""

    name: str | None
    relations: dict[str, Relation]

    @property
    def is_ours(self) -> bool:
        """Whether our own list of migrations is in it."""
        ledger = self.relations.get(LEDGER)
        return ledger is not None and set(ledger.columns) >= _LEDGER_COLUMNS


def read_schema(connection: Connection[Any]) -> Schema:
    """Return what is in the schema. Every role may ask."""
    row = connection.execute("SELECT to_regnamespace('stripe')::text").fetchone()
    rows = connection.execute(
        """
        SELECT
            c.relname::text,
            c.relkind::text,
            row_security_active(c.oid),
            ARRAY(
                SELECT a.attname::text
                FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                ORDER BY a.attnum
            )
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = to_regnamespace('stripe')
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        ORDER BY c.relname COLLATE "C"
        """
    ).fetchall()
    return Schema(row[0] if row else None, {one[0]: Relation(*one) for one in rows})


def require_ours(schema: Schema) -> None:
    """Raise SchemaMismatch, saying whose it looks like, where others keep their tables in it."""
    if schema.is_ours or not schema.relations:
        return
    if schema.relations.keys() >= _OURS:
        raise SchemaMismatch(
            f"the schema {schema.name} holds tables of ours without {LEDGER}, the list of what was"
            " done to them: restore that table, or run `migrate` on an empty schema"
        )
    names = list(schema.relations)
    more = len(names) - _MOST_NAMED
    named = ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    raise SchemaMismatch(
        f"the schema {schema.name} is not ours: it holds {named}, which look like"
        f" {_looks_like(schema.relations.values())}; nothing is changed in it: name another schema"
        " with STRIPE_SCHEMA, or another database with DATABASE_URL"
    )


def require_whole(schema: Schema, tables: Collection[str]) -> None:
    """Raise SchemaMismatch where one of our tables is filtered for this role, or is no table."""
    ours = [relation for name, relation in schema.relations.items() if name in tables]
    odd = [f"{one.name} is {_KINDS[one.kind]}" for one in ours if one.kind not in "rp"]
    if odd:
        raise SchemaMismatch(
            f"in the schema {schema.name} {', '.join(odd)} where a table of ours should be: put"
            " the table back, for whatever filters or rewrites rows is never compared"
        )
    filtered = [one.name for one in ours if one.is_filtered]
    if filtered:
        raise SchemaMismatch(f"{ROW_SECURITY} ({', '.join(filtered)})")


def require_there(schema: Schema, tables: Collection[str]) -> None:
    """Raise SchemaMismatch where a table that a migration made is gone."""
    gone = sorted(set(tables) - schema.relations.keys())
    if gone:
        raise SchemaMismatch(
            f"the schema {schema.name} lacks {', '.join(gone)}, which a migration had made: restore"
            " it from a backup"
        )


def made_tables(sql: Iterable[str]) -> set[str]:
    """Return the names of the tables that migrations make."""
    return {name for text in sql for name in re.findall(r"(?m)^CREATE TABLE \w+\.(\w+)", text)}


def _looks_like(relations: Iterable[Relation]) -> str:
    marks = [
        mark
        for one in relations
        for mark in (
            one.name,
            f"table:{one.kind}",
            *(f"{one.name}:{column}" for column in one.columns),
        )
    ]
    for pattern, who in _SIGNS:
        if any(re.fullmatch(pattern, mark) for mark in marks):
            return who
    return "tables of another program's or somebody's own"
