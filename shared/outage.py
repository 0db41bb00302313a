"""What keeps us from the database, and for how long it is worth waiting that it passes."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import psycopg

BRIEFLY = 15.0
"""Seconds for what passes now and then: a name server or a pooler that is only just starting."""


class Outage(NamedTuple):
    """`patience`: seconds that it is worth waiting, 0 where only a person can put it right.

    `words`: what is wrong and the next step, without anything of the server's own text.
    """

    patience: float
    words: str


_USER = Outage(0.0, "it refuses the user or the password: put DATABASE_URL right")
_DATABASE = Outage(0.0, "it has no such database, or not for this user: put DATABASE_URL right")
_TLS = Outage(0.0, "no TLS that both sides accept: put sslmode of DATABASE_URL right")
_PARAMETER = Outage(
    0.0,
    "the pooler refuses a start-up parameter: take it out of DATABASE_URL, or let the pooler ignore"
    " it (PgBouncer: ignore_startup_parameters = options)",
)
_NO_NAME_SERVER = Outage(math.inf, "no name server tells its address for now")
_NO_HOST = Outage(BRIEFLY, "no name server knows its host: put DATABASE_URL right")
_RESTART = Outage(math.inf, "it is restarting")
_FULL = Outage(math.inf, "it has no connection to spare")
_NOBODY = Outage(math.inf, "nothing listens there, or not yet")
_SILENT = Outage(math.inf, "it does not answer")
_SETTING = Outage(0.0, "DATABASE_URL has a parameter that libpq does not take: put it right")
_REFUSED = Outage(BRIEFLY, "it refuses them")
_ANY = Outage(math.inf, "the connection broke while it was made")

# libpq tells no SQLSTATE of a connection that failed, only the text. The first that fits counts.
_TOLD = [
    (re.compile(pattern), outage)
    for pattern, outage in (
        ("unsupported startup parameter", _PARAMETER),
        ("password authentication failed|no password supplied|sasl authentication", _USER),
        ("authentication failed for user|no such user|tenant or user not found", _USER),
        (r'role ".*" does not exist|not permitted to log in|no pg_hba\.conf entry', _USER),
        ('database ".*" does not exist|no such database', _DATABASE),
        ("permission denied for database|not currently accepting connections", _DATABASE),
        ("does not support ssl|certificate|tlsv1 alert|wrong version number", _TLS),
        ("temporary failure in name resolution", _NO_NAME_SERVER),
        ("name or service not known|nodename nor servname|no address associated", _NO_HOST),
        ("failed to resolve host|could not translate host name", _NO_HOST),
        ("starting up|shutting down|recovery|not yet accepting", _RESTART),
        ("too many|remaining connection slots|query_wait_timeout", _FULL),
        ("refused|no such file", _NOBODY),
        ("timeout|timed out", _SILENT),
        ("fatal|panic", _REFUSED),
        ("connection is bad: (invalid|missing|unrecognized|unsupported)", _SETTING),
    )
]

_LASTING = frozenset({"57P04"})
"""Of what ends a connection in use: its database was dropped."""

_PASSING = frozenset({"25P03", "25P04"})
"""A transaction that stood still for too long, or took too long: its connection is ended."""


def of_connecting(error: psycopg.Error) -> Outage:
    """Say what keeps a connection from being made.

    Of several hosts the one that is the most worth waiting for.
    """
    text = str(error).lower()
    _, several, hosts = text.partition("multiple connection attempts failed")
    if several:
        tried = [_told(line) for line in hosts.splitlines() if line.startswith("- ")]
        return max(tried, key=lambda outage: outage.patience, default=_ANY)
    return _told(text)


def patience_in_use(error: psycopg.Error) -> float:
    """Say how long it is worth waiting after a connection that was fine could not go on."""
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return (
            BRIEFLY  # a server that is no longer the first one, until the address is the new one's
        )
    if error.sqlstate in _LASTING:
        return 0.0
    is_gone = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return math.inf if is_gone or error.sqlstate in _PASSING else 0.0


def patience(error: psycopg.Error) -> float:
    """Say how long it is worth waiting, whether the connection was made or not."""
    is_connecting = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    return of_connecting(error).patience if is_connecting else patience_in_use(error)


def _told(text: str) -> Outage:
    return next((outage for pattern, outage in _TOLD if pattern.search(text)), _ANY)
