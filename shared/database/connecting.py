"""What keeps a connection to the database from being made: its cure, and how long to wait for it.

libpq's text is read and never passed on: it quotes the host, the user and the database, any of
which may be a piece of a password where DATABASE_URL was written wrongly. While connecting there is
no SQLSTATE, only that text: English where it is libpq's own, and in the server's language
(`lc_messages`) where it is the server's, so what is not recognised still gets a sentence.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

import psycopg

from shared.database.fault import BRIEFLY, NEVER

_NONE: Final = "no connection to the database: "
_LOG: Final = "the server refuses it: the server's log says why"
_ENCODED: Final = "and percent-encode what is neither letter nor digit in the password"
_SILENT: Final = (
    "the host in DATABASE_URL does not answer in time: look at host and port, at the firewall"
    " between, and whether the server is well"
)
_NAMELESS: Final = (
    "the host in DATABASE_URL has no address (DNS): correct it, or look at this machine's name"
    " servers"
)
_TLS: Final = (
    "TLS could not be agreed on with the server: look at sslmode and its fellows in DATABASE_URL"
)
_UNKNOWN: Final = (
    "it cannot be made, for a reason that is not known here: try `psql` with the same URL"
)


class _Kind(NamedTuple):
    """What stands in libpq's text, what is said of it, how many seconds it is worth waiting."""

    pattern: str
    said: str
    patience: float = NEVER


_KINDS: Final = (
    _Kind(
        r"password authentication failed|SASL authentication failed|Wrong password"
        r"|Tenant or user not found|no such user|pam authentication failed"
        r"|(LDAP|RADIUS|GSSAPI|SSPI|certificate) authentication failed",
        "the server refuses the user or the password given: correct them in DATABASE_URL, "
        + _ENCODED,
    ),
    _Kind(
        r"no password supplied",
        "the server asks for a password and DATABASE_URL has none: add it, " + _ENCODED,
    ),
    _Kind(
        r"(Peer|Ident) authentication failed",
        "the server takes this user only from the system's account of that name: correct the user"
        " in DATABASE_URL, or pg_hba.conf",
    ),
    _Kind(
        r"(?s)\A(?!.*, SSL encryption).*no pg_hba\.conf entry .*(no encryption|SSL off)",
        "the server takes no connection without TLS from here as this user to this database: add"
        " sslmode=require to DATABASE_URL, or a line to pg_hba.conf",
    ),
    _Kind(
        r"pg_hba\.conf",
        "the server's pg_hba.conf lets nobody in from here as this user to this database: correct"
        " them in DATABASE_URL, or add a line there",
    ),
    _Kind(
        r"role .* is not permitted to log in",
        "the role of DATABASE_URL may not log in: ALTER ROLE ... LOGIN, or name a member of it in"
        " DATABASE_URL",
    ),
    _Kind(
        r"role .* does not exist", "the server has no such user: correct the user in DATABASE_URL"
    ),
    _Kind(
        r"database .* does not exist|no such database",
        "the server has no database of that name: correct it in DATABASE_URL, or create it",
    ),
    _Kind(
        r"permission denied for database",
        "the role may not connect to this database: GRANT CONNECT ON DATABASE to it",
    ),
    _Kind(
        r"not currently accepting connections",
        "the server lets nobody connect to this database (ALLOW_CONNECTIONS): correct its name in"
        " DATABASE_URL",
    ),
    _Kind(
        r"too many (clients|connections)|remaining connection slots|max_client_conn"
        r"|connection limit exceeded|max clients",
        "the server has too many connections: close some, or raise max_connections (or the role's"
        " or the database's limit)",
        math.inf,
    ),
    _Kind(
        r"database system is (starting up|in recovery)|not yet accepting connections",
        "the server is starting up: try again in a moment",
        math.inf,
    ),
    _Kind(
        r"database system is shutting down|terminating connection due to administrator",
        "the server is shutting down: try again when it is up again",
        math.inf,
    ),
    _Kind(
        r"unrecognized configuration parameter|invalid value for parameter"
        r"|invalid command-line argument|unsupported startup parameter"
        r"|permission denied to set parameter",
        "the server does not take a parameter that the connection begins with: look at `options`"
        " in DATABASE_URL; with PgBouncer, add options to ignore_startup_parameters",
    ),
    _Kind(
        r"server does not support SSL",
        "the server does not speak TLS, which DATABASE_URL asks for (it must, from another"
        " machine): turn ssl on there",
    ),
    _Kind(
        r"certificate verify failed|certificate .*(does not match|expired)"
        r"|self.signed certificate|could not get server's host name from server certificate",
        "the server's certificate is not one that DATABASE_URL trusts: give sslrootcert its"
        " authority's certificate and the host the certificate's name",
    ),
    _Kind(
        r"root certificate file",
        "sslmode asks for a check of the server's certificate, and there is no file of"
        " authorities: name it with sslrootcert, or sslrootcert=system",
    ),
    _Kind(
        r"private key file|certificate file|could not load",
        "a file of certificates or keys that DATABASE_URL names cannot be used: correct sslcert,"
        " sslkey or sslrootcert",
    ),
    _Kind(
        r"expected authentication request|invalid response to (SSL|GSSAPI)"
        r"|received invalid response|wrong version number"
        r"|unexpected (message|response) from server",
        "what answers at the host and port of DATABASE_URL is not PostgreSQL: correct them",
    ),
    _Kind(r"SSL error: .*(tlsv1 alert|certificate|private key)", _TLS),
    _Kind(r"SSL (error|SYSCALL error|connection has been closed)", _TLS, math.inf),
    _Kind(r"Temporary failure in name resolution", _NAMELESS, math.inf),
    _Kind(
        r"failed to resolve host|could not translate host name|Name or service not known"
        r"|nodename nor servname|no address associated",
        _NAMELESS,
        BRIEFLY,
    ),
    _Kind(r"timeout|timed out", _SILENT, math.inf),
    _Kind(r"FATAL|PANIC", _LOG, BRIEFLY),
    _Kind(
        r"Connection refused",
        "nothing listens at the host and port of DATABASE_URL (connection refused): correct them,"
        " or start the server",
        math.inf,
    ),
    _Kind(
        r"on socket|No such file or directory",
        "there is no server's socket at the place of DATABASE_URL: correct host and port, or start"
        " the server",
        math.inf,
    ),
    _Kind(
        r"No route to host|unreachable",
        "no route leads to the host in DATABASE_URL: correct it, or look at the network",
        math.inf,
    ),
    _Kind(
        r"server closed the connection|reset by peer|Broken pipe|could not (send|receive)",
        "what is at the host and port of DATABASE_URL hung up at once: look whether it is"
        " PostgreSQL and well; its log may say why",
        math.inf,
    ),
    _Kind(r"connection is bad: (invalid|missing|unrecognized|unsupported)", _UNKNOWN),
    _Kind(r"ERROR", _LOG, math.inf),
    _Kind(r"", _UNKNOWN, math.inf),
)
"""The first that is found is meant; what nobody has thought of is waited for."""


def unreachable(error: psycopg.Error | None) -> str:
    """Return why a connection could not be made (None: no answer), and what to do: no value."""
    return _NONE + (_SILENT if error is None else _kind(str(error)).said)


def patience_with(error: psycopg.Error) -> float:
    """Return for how many seconds it is worth waiting that a connection can be made.

    Of several hosts that of the one that is the most worth waiting for.
    """
    text = str(error)
    _, several, hosts = text.partition("Multiple connection attempts failed")
    tried = [_kind(line).patience for line in hosts.splitlines() if line.startswith("- ")]
    return max(tried, default=math.inf) if several else _kind(text).patience


def _kind(text: str) -> _Kind:
    return next(kind for kind in _KINDS if re.search(kind.pattern, text, re.IGNORECASE))
