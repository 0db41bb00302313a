"""For how long it is worth waiting that what keeps us from the database passes.

What it is, and what to do about it, says `fault`.
"""

from __future__ import annotations

import math
import re

import psycopg

BRIEFLY = 15.0
"""Seconds for what passes now and then: a name server or a pooler that is only just starting."""

NEVER = 0.0
"""For what only a person can put right."""

# libpq tells no SQLSTATE of a connection that failed, only the text. The first that fits counts;
# what fits none is waited for.
_CONNECTING = [
    (re.compile(pattern), patience)
    for pattern, patience in (
        ("unsupported startup parameter|unrecognized configuration parameter", NEVER),
        ("invalid value for parameter|permission denied to set parameter", NEVER),
        ("password authentication failed|no password supplied|sasl authentication", NEVER),
        ("authentication failed for user|no such user|tenant or user not found", NEVER),
        (r'role ".*" does not exist|not permitted to log in|pg_hba\.conf', NEVER),
        ('database ".*" does not exist|no such database', NEVER),
        ("permission denied for database|not currently accepting connections", NEVER),
        ("does not support ssl|certificate|private key|tlsv1 alert|wrong version number", NEVER),
        ("received invalid response|expected authentication request", NEVER),
        ("temporary failure in name resolution", math.inf),
        ("name or service not known|nodename nor servname|no address associated", BRIEFLY),
        ("failed to resolve host|could not translate host name", BRIEFLY),
        ("starting up|shutting down|recovery|not yet accepting", math.inf),
        ("too many|max clients|remaining connection slots|query_wait_timeout", math.inf),
        ("refused|no such file|timeout|timed out|administrator", math.inf),
        ("fatal|panic", BRIEFLY),
        ("connection is bad: (invalid|missing|unrecognized|unsupported)", NEVER),
    )
]

_LASTING = frozenset({"57P04"})
"""Of what ends a connection in use: its database was dropped."""

_PASSING = frozenset({"25P03", "25P04"})
"""A transaction that stood still for too long, or took too long: its connection is ended."""


def of_connecting(error: psycopg.Error) -> float:
    """Return seconds of patience with what keeps a connection from being made.

    Of several hosts that of the one that is the most worth waiting for.
    """
    text = str(error).lower()
    _, several, hosts = text.partition("multiple connection attempts failed")
    if several:
        tried = [_patience_with(line) for line in hosts.splitlines() if line.startswith("- ")]
        return max(tried, default=math.inf)
    return _patience_with(text)


def in_use(error: psycopg.Error) -> float:
    """Return seconds of patience after a connection that was fine could not go on."""
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        # A server that is no longer the first one, until the address is the new one's.
        return BRIEFLY
    if error.sqlstate in _LASTING:
        return NEVER
    is_gone = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return math.inf if is_gone or error.sqlstate in _PASSING else NEVER


def _patience_with(text: str) -> float:
    return next((patience for pattern, patience in _CONNECTING if pattern.search(text)), math.inf)
