"""What went wrong with a database in use: the cure, and how long it is worth waiting.

Nothing of the server's text is passed on, for it may hold values.
"""

from __future__ import annotations

import math
from typing import Final

import psycopg

BRIEFLY: Final = 15.0
"""Seconds for what passes now and then: a name server or a pooler that is only just starting."""

NEVER: Final = 0.0
"""For what only a person can put right."""

_STATES: Final = {
    "25006": "the database takes no writes (a standby, or default_transaction_read_only is on):"
    " point DATABASE_URL at the primary, or turn that off",
    "53100": "the database's disk is full: make room, or give it more",
    "53200": "the database has no memory left: look at its settings and its log",
    "53300": "the server has too many connections: close some, or raise max_connections",
    "55P03": "another transaction holds a lock that is needed: look at pg_locks",
    "57014": "a statement took longer than it may: look at pg_stat_activity for what holds it up",
    "57P01": "the server was stopped, or somebody ended the connection: it is tried again",
    "57P02": "the server crashed: its log says why",
    "57P03": "the server is starting up or shutting down: try again in a moment",
    "3F000": "the schema is not there: run `migrate`",
    "42P01": "a table is not there: run `migrate`",
    "42703": "a column is not there: run `migrate`",
    "42883": "a function is not there: run `migrate`",
    "P0001": "a trigger of somebody's on our tables refuses it: look at the triggers there",
}  # fmt: skip
"""By SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html)."""

_BROKEN: Final = (
    "the connection broke, or the server did not answer in time: look at its log, and at"
    " pg_stat_activity for what holds it up"
)
_GRANT: Final = (
    "the role lacks a grant: run what `migrate --roles` prints, as after each upgrade, and connect"
    " as a member of one of its roles"
)
ROW_SECURITY: Final = (
    "row level security hides rows from this role, and what is filtered is never compared: ALTER"
    " TABLE ... DISABLE ROW LEVEL SECURITY (and NO FORCE), or ALTER ROLE ... BYPASSRLS"
)

_LASTING: Final = frozenset({"57P04"})
"""Of what ends a connection in use: its database was dropped."""

_PASSING: Final = frozenset({"25P03", "25P04"})
"""A transaction that stood still for too long, or took too long: its connection is ended."""


UNPREPARED: Final = (
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
)
"""Of a pooler that passes for the server itself: nothing more is to be prepared."""


def describe(error: psycopg.Error) -> str:
    """Say what went wrong in use: the SQLSTATE, the rule and the next step, never a value."""
    diagnosis = error.diag
    rule = diagnosis.constraint_name or diagnosis.column_name
    what = f"{type(error).__name__} ({error.sqlstate or 'no answer'})"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        # The place in the server's source is told in no language.
        is_filter = diagnosis.source_file == "rls.c" or "ExecWithCheck" in str(
            diagnosis.source_function
        )
        what += f": {ROW_SECURITY if is_filter else _GRANT}"
    elif sentence := _STATES.get(error.sqlstate or ""):
        what += f": {sentence}"
    elif error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        what += f": {_BROKEN}"
    return f"{what} at {rule}" if rule else what


def patience_after(error: psycopg.Error) -> float:
    """Return seconds of patience after a connection that was fine could not go on."""
    if isinstance(error, (psycopg.errors.ReadOnlySqlTransaction, *UNPREPARED)):
        # A server that is no longer the first one, until the address is the new one's.
        return BRIEFLY
    if error.sqlstate in _LASTING:
        return NEVER
    is_gone = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return math.inf if is_gone or error.sqlstate in _PASSING else NEVER
