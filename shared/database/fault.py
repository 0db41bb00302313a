"""What went wrong with the database: the reason and the next step in one sentence of our own.

libpq's text is read and never passed on: it quotes the host, the user and the database, any of
which may be a piece of a password where DATABASE_URL was written wrongly. While connecting there is
no SQLSTATE, only that text: English where it is libpq's own, and in the server's language
(`lc_messages`) where it is the server's, so what is not recognised still gets a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from shared.database import outage
from shared.errors import DatabaseUnavailable

_NONE: Final = "no connection to the database: "
_LOG: Final = "the server's log says why"
_ENCODED: Final = "and percent-encode what is neither letter nor digit in the password"

_SILENT: Final = (
    "the host in DATABASE_URL does not answer in time: look at host and port, at the firewall"
    " between, and whether the server is well"
)

_CONNECTING: Final[tuple[tuple[str, str], ...]] = (
    (
        (
            r"password authentication failed|SASL authentication failed|Wrong password"
            r"|Tenant or user not found|no such user|pam authentication failed|(LDAP|RADIUS|GSSAPI"
            r"|SSPI|certificate) authentication failed"
        ),
        "the server refuses the user or the password given: correct them in DATABASE_URL, "
        + _ENCODED,
    ),
    (
        r"no password supplied",
        "the server asks for a password and DATABASE_URL has none: add it, " + _ENCODED,
    ),
    (
        r"(Peer|Ident) authentication failed",
        (
            "the server takes this user only from the system's account of that name: correct the"
            " user in DATABASE_URL, or pg_hba.conf"
        ),
    ),
    (
        r"(?s)\A(?!.*, SSL encryption).*no pg_hba\.conf entry .*(no encryption|SSL off)",
        (
            "the server takes no connection without TLS from here as this user to this database:"
            " add sslmode=require to DATABASE_URL, or a line to pg_hba.conf"
        ),
    ),
    (
        r"pg_hba\.conf",
        (
            "the server's pg_hba.conf lets nobody in from here as this user to this database:"
            " correct them in DATABASE_URL, or add a line there"
        ),
    ),
    (
        r"role .* is not permitted to log in",
        (
            "the role of DATABASE_URL may not log in: ALTER ROLE ... LOGIN, or name a member of it"
            " in DATABASE_URL"
        ),
    ),
    (
        r"role .* does not exist",
        "the server has no such user: correct the user in DATABASE_URL",
    ),
    (
        r"database .* does not exist|no such database",
        "the server has no database of that name: correct it in DATABASE_URL, or create it",
    ),
    (
        r"permission denied for database",
        "the role may not connect to this database: GRANT CONNECT ON DATABASE to it",
    ),
    (
        r"not currently accepting connections",
        (
            "the server lets nobody connect to this database (ALLOW_CONNECTIONS): correct its name"
            " in DATABASE_URL"
        ),
    ),
    (
        (
            r"too many (clients|connections)|remaining connection slots|max_client_conn"
            r"|connection limit exceeded|max clients reached"
        ),
        (
            "the server has too many connections: close some, or raise max_connections (or the"
            " role's or the database's limit)"
        ),
    ),
    (
        r"database system is (starting up|in recovery)|not yet accepting connections",
        "the server is starting up: try again in a moment",
    ),
    (
        r"database system is shutting down|terminating connection due to administrator",
        "the server is shutting down: try again when it is up again",
    ),
    (
        (
            r"unrecognized configuration parameter|invalid value for parameter"
            r"|invalid command-line argument|unsupported startup parameter"
            r"|permission denied to set parameter"
        ),
        (
            "the server does not take a parameter that the connection begins with: look at"
            " `options` in DATABASE_URL; with PgBouncer, add options to ignore_startup_parameters"
        ),
    ),
    (
        r"server does not support SSL",
        (
            "the server does not speak TLS, which DATABASE_URL asks for (it must, from another"
            " machine): turn ssl on there"
        ),
    ),
    (
        (
            r"certificate verify failed|certificate .*(does not match|expired)"
            r"|self.signed certificate|could not get server's host name from server certificate"
        ),
        (
            "the server's certificate is not one that DATABASE_URL trusts: give sslrootcert its"
            " authority's certificate and the host the certificate's name"
        ),
    ),
    (
        r"root certificate file",
        (
            "sslmode asks for a check of the server's certificate, and there is no file of"
            " authorities: name it with sslrootcert, or sslrootcert=system"
        ),
    ),
    (
        r"private key file|certificate file|could not load",
        (
            "a file of certificates or keys that DATABASE_URL names cannot be used: correct"
            " sslcert, sslkey or sslrootcert"
        ),
    ),
    (
        (
            r"expected authentication request|invalid response to (SSL|GSSAPI)"
            r"|received invalid response|wrong version number|unexpected (message"
            r"|response) from server"
        ),
        "what answers at the host and port of DATABASE_URL is not PostgreSQL: correct them",
    ),
    (
        r"SSL (error|SYSCALL error|connection has been closed)",
        (
            "TLS could not be agreed on with the server: look at sslmode and its fellows in"
            " DATABASE_URL"
        ),
    ),
    (
        (
            r"failed to resolve host|could not translate host name|Name or service not known"
            r"|nodename nor servname|Temporary failure in name resolution"
        ),
        (
            "the host in DATABASE_URL has no address (DNS): correct it, or look at this machine's"
            " name servers"
        ),
    ),
    (
        r"timeout|timed out",
        _SILENT,
    ),
    (
        r"Connection refused",
        (
            "nothing listens at the host and port of DATABASE_URL (connection refused): correct"
            " them, or start the server"
        ),
    ),
    (
        r"on socket|No such file or directory",
        (
            "there is no server's socket at the place of DATABASE_URL: correct host and port, or"
            " start the server"
        ),
    ),
    (
        r"No route to host|unreachable",
        "no route leads to the host in DATABASE_URL: correct it, or look at the network",
    ),
    (
        r"server closed the connection|reset by peer|Broken pipe|could not (send|receive)",
        (
            "what is at the host and port of DATABASE_URL hung up at once: look whether it is"
            " PostgreSQL and well; its log may say why"
        ),
    ),
    (
        r"FATAL|ERROR",
        f"the server refuses it: {_LOG}",
    ),
)
"""What stands in libpq's text, and what it means; the first that is found is meant."""

_UNKNOWN: Final = (
    "it cannot be made, for a reason that is not known here: try `psql` with the same URL"
)

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


def unreachable(error: psycopg.Error | None) -> str:
    """Return why a connection could not be made (None: no answer), and what to do: no value."""
    if error is None:
        return _NONE + _SILENT
    text = str(error)
    found = (said for pattern, said in _CONNECTING if re.search(pattern, text, re.IGNORECASE))
    return _NONE + next(found, _UNKNOWN)


@contextmanager
def explained() -> Iterator[None]:
    """Make DatabaseUnavailable of what keeps a connection from being made."""
    try:
        yield
    except psycopg.Error as error:
        patience = outage.of_connecting(error)
        raise DatabaseUnavailable(unreachable(error), patience=patience) from None


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
