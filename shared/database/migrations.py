"""Migrations: numbered plain-SQL files, applied by the command `migrate` and by nothing else."""

# ruff: noqa: T201 - a command speaks to a person

from __future__ import annotations

import hashlib
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

import psycopg

from shared.database.connecting import patience_with, unreachable
from shared.database.connection import Connection
from shared.database.fault import describe, patience_after
from shared.database.owner import (
    LEDGER,
    made_tables,
    read_schema,
    require_ours,
    require_there,
    require_whole,
)
from shared.database.schema import DEFAULT
from shared.errors import DatabaseUnavailable, SchemaMismatch

T = TypeVar("T")

_CONNECT_SECONDS = 10
_PAUSE = 0.25

# Any process of any version must take the same lock, so the number is fixed for good.
_LOCK_TIMEOUT = "55P03"
_ABOUT_SQL = "42"
_LOCK = 7_306_095_128_417_266

ROLES = "roles.sql"
"""The one file among them that is no migration."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One numbered file."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class SchemaState:
    """How the database stands to this version's files, by file name."""

    pending: tuple[str, ...]
    unknown: tuple[str, ...]
    edited: tuple[str, ...]


def migrations() -> tuple[Migration, ...]:
    """Return this version's migrations in order."""
    found = [
        Migration(name=entry.name, sql=entry.read_text(encoding="utf-8"))
        for entry in resources.files("shared").joinpath("migrations").iterdir()
        if entry.name.endswith(".sql") and entry.name != ROLES
    ]
    return tuple(sorted(found, key=lambda migration: migration.name))


def schema_state(
    connection: psycopg.Connection[Any], files: Sequence[Migration] | None = None
) -> SchemaState:
    """Compare the database with this version's files. Needs no more than read permission.

    Raises SchemaMismatch where the schema is somebody else's, or its rows are filtered.
    """
    files = migrations() if files is None else files
    schema = read_schema(connection)
    require_ours(schema)
    require_whole(schema, {LEDGER, *made_tables(file.sql for file in files)})
    applied: dict[str, str] = {}
    if schema.is_ours:
        query = "SELECT name, checksum FROM stripe.schema_migrations"
        applied = dict(connection.execute(query).fetchall())
    named = {migration.name: migration for migration in files}
    require_there(schema, made_tables(file.sql for file in files if file.name in applied))
    return SchemaState(
        pending=tuple(name for name in named if name not in applied),
        unknown=tuple(sorted(name for name in applied if name not in named)),
        edited=tuple(n for n, m in named.items() if applied.get(n, m.checksum) != m.checksum),
    )


def require_current(connection: psycopg.Connection[Any]) -> None:
    """Raise SchemaMismatch, saying what to do, unless the schema is ours, whole and this version's.

    It is the first look of every command, so that each says the same of the same fault.
    """
    state = schema_state(connection)
    _require_known(state)
    if state.pending:
        raise SchemaMismatch(
            f"the schema is behind ({', '.join(state.pending)} pending): run `migrate`"
        )


def _require_known(state: SchemaState) -> None:
    """Raise SchemaMismatch where something was applied that this version does not have."""
    if state.unknown:
        raise SchemaMismatch(
            f"the schema is ahead of this version ({', '.join(state.unknown)} unknown here):"
            " deploy the version that made it"
        )
    if state.edited:
        raise SchemaMismatch(
            f"migrations were edited after use: {', '.join(state.edited)}; deploy the version that"
            " made the schema, whose files are as they were"
        )


def migrate(
    url: str, files: Sequence[Migration] | None = None, *, schema: str = DEFAULT
) -> tuple[str, ...]:
    """Apply all pending migrations in one transaction and return their names.

    Two at once: the second waits and finds nothing to do. Raises SchemaMismatch when an applied
    file was edited or is unknown here; psycopg.Error when a file fails. Nothing is half applied.
    """
    files = migrations() if files is None else files
    with _connect(url, schema) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        # A migration that looks at rows looks at all of them, or fails.
        connection.execute("SET LOCAL row_security = off")
        # Whoever waits for a table makes everybody wait behind it, the webhook above all.
        connection.execute("SET LOCAL lock_timeout = '3s'")
        encoding = connection.execute("SHOW server_encoding").fetchone()
        if encoding is None or encoding[0] != "UTF8":
            raise SchemaMismatch("the database is not encoded in UTF8: create one that is")
        state = schema_state(connection, files)
        _require_known(state)
        # CREATE SCHEMA IF NOT EXISTS asks for the privilege even where the schema exists.
        if connection.execute("SELECT to_regnamespace('stripe')").fetchone() == (None,):
            connection.execute("CREATE SCHEMA stripe")
        connection.execute(
            """
            CREATE TABLE IF NOT EXISTS stripe.schema_migrations (
                name text PRIMARY KEY,
                checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        for migration in files:
            if migration.name in state.pending:
                connection.execute(migration.sql.encode())
                connection.execute(
                    "INSERT INTO stripe.schema_migrations (name, checksum) VALUES (%s, %s)",
                    (migration.name, migration.checksum),
                )
    return state.pending


def bring_up_to_date(url: str, schema: str, *, seconds: float) -> tuple[str, ...]:
    """Apply what is pending and return it, waiting so many seconds for a database to be there.

    Raises SchemaMismatch and DatabaseUnavailable, whose message is for whoever typed `migrate`.
    """
    return _waiting(lambda: migrate(url, schema=schema), seconds, "nothing was changed: ")


def require_up_to_date(url: str, schema: str, *, seconds: float) -> None:
    """Raise SchemaMismatch where something is pending, and else as above; nothing is applied."""

    def check() -> None:
        with _connect(url, schema) as connection:
            require_current(connection)

    _waiting(check, seconds, "")


def _waiting(work: Callable[[], T], seconds: float, nothing: str) -> T:
    """Do the work, again while the database is not there, for so many seconds.

    All of it is one transaction, and what was done needs no doing again. `nothing`: what came of
    it, said before any error.
    """
    began = time.monotonic()
    is_told = False
    while True:
        try:
            return work()
        except SchemaMismatch as error:
            raise SchemaMismatch(f"{nothing}{error}") from error
        except DatabaseUnavailable as error:
            fault = error
        except psycopg.Error as error:
            fault = DatabaseUnavailable(_explain(error), patience=patience_after(error))
        if time.monotonic() - began >= min(seconds, fault.patience):
            raise DatabaseUnavailable(f"{nothing}{fault}") from fault
        if not is_told:
            is_told = True
            print("migrate: waiting for the database", file=sys.stderr, flush=True)
        time.sleep(_PAUSE)


def _connect(url: str, schema: str) -> Connection:
    """Connect, with a time-out unless `url` has its own; a pooler may lose what is prepared."""
    from psycopg.conninfo import conninfo_to_dict

    seconds = conninfo_to_dict(url).get("connect_timeout") or _CONNECT_SECONDS
    try:
        connection = Connection.connect(url, connect_timeout=seconds, prepare_threshold=None)
    except psycopg.Error as error:
        raise DatabaseUnavailable(unreachable(error), patience=patience_with(error)) from None
    connection.schema = schema
    connection.seconds = math.inf  # a migration takes as long as its tables are large
    return connection


def _explain(error: psycopg.Error) -> str:
    """Say what went wrong, with the server's own sentence where it speaks of SQL, not of values."""
    if error.sqlstate == _LOCK_TIMEOUT:
        return (
            "somebody has been using a table of the schema for three seconds (a dump, an open"
            " transaction); run `migrate` again when they are done"
        )
    said = error.diag.message_primary
    is_about_sql = (error.sqlstate or "").startswith(_ABOUT_SQL)
    return describe(error) + (f"; the server says: {said}" if said and is_about_sql else "")
