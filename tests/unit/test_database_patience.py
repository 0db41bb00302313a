"""How long it is worth waiting for a database, by what its refusal says."""

import math

import psycopg
import pytest

from shared.database.connecting import patience_with
from shared.database.fault import BRIEFLY, patience_after

AT = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
ONCE = 0.0

# As libpq, PostgreSQL 14 to 18, psycopg, PgBouncer and hosted poolers word them.
CONNECTING = {
    "Connection refused\n\tIs the server running on that host?": math.inf,
    "timeout expired": math.inf,
    "server closed the connection unexpectedly": math.inf,
    "Connection reset by peer": math.inf,
    "No route to host": math.inf,
    "Network is unreachable": math.inf,
    "FATAL:  the database system is starting up": math.inf,
    "FATAL:  the database system is shutting down": math.inf,
    "FATAL:  the database system is in recovery mode": math.inf,
    "FATAL:  the database system is not yet accepting connections": math.inf,
    "FATAL:  sorry, too many clients already": math.inf,
    'FATAL:  too many connections for role "app"': math.inf,
    'FATAL:  too many connections for database "app"': math.inf,
    "FATAL:  remaining connection slots are reserved for roles with SUPERUSER": math.inf,
    "FATAL:  query_wait_timeout": math.inf,
    "SSL error: unexpected eof while reading": math.inf,
    'FATAL:  password authentication failed for user "app"': ONCE,
    "fe_sendauth: no password supplied": ONCE,
    "FATAL:  SASL authentication failed": ONCE,
    'FATAL:  role "app" does not exist': ONCE,
    'FATAL:  role "app" is not permitted to log in': ONCE,
    'FATAL:  no pg_hba.conf entry for host "10.0.0.2", user "app", database "app"': ONCE,
    'FATAL:  database "app" does not exist': ONCE,
    'FATAL:  permission denied for database "app"': ONCE,
    'FATAL:  database "app" is not currently accepting connections': ONCE,
    "FATAL:  no such database: app": ONCE,
    "FATAL:  no such user": ONCE,
    "FATAL:  Tenant or user not found": ONCE,
    "FATAL:  unsupported startup parameter: options": ONCE,
    "FATAL:  unsupported startup parameter in options: jit": ONCE,
    "server does not support SSL, but SSL was required": ONCE,
    "SSL error: certificate verify failed": ONCE,
    "FATAL:  Passwort-Authentifizierung für Benutzer »app« fehlgeschlagen": BRIEFLY,
    "FATAL:  server login has been failing, try again later (server_login_retry)": BRIEFLY,
}
WHOLE = {
    "connection timeout expired": math.inf,
    "failed to resolve host 'db': [Errno -3] Temporary failure in name resolution": math.inf,
    "failed to resolve host 'db': [Errno -2] Name or service not known": BRIEFLY,
    'connection is bad: could not translate host name "db": Name or service not known': BRIEFLY,
    'connection is bad: connection to server on socket "/run/x/.s.PGSQL.5432" failed:'
    " No such file or directory": math.inf,
    'connection is bad: invalid sslmode value: "bogus"': ONCE,
    AT + "FATAL:  no such user\nMultiple connection attempts failed. All failures were:\n"
    f"- host: 'a': {AT}Connection refused\n- host: 'b': {AT}FATAL:  no such user": math.inf,
}


@pytest.mark.parametrize("text", [*(AT + text for text in CONNECTING), *WHOLE])
def test_what_may_pass_is_waited_for_and_what_a_person_must_mend_is_not(text: str) -> None:
    expected = {**{AT + name: seconds for name, seconds in CONNECTING.items()}, **WHOLE}[text]
    assert patience_with(psycopg.OperationalError(text)) == expected


IN_USE = {
    "AdminShutdown": math.inf,
    "CrashShutdown": math.inf,
    "CannotConnectNow": math.inf,
    "QueryCanceled": math.inf,
    "DeadlockDetected": math.inf,
    "SerializationFailure": math.inf,
    "TooManyConnections": math.inf,
    "DiskFull": math.inf,
    "LockNotAvailable": math.inf,
    "IdleInTransactionSessionTimeout": math.inf,
    "ReadOnlySqlTransaction": BRIEFLY,
    "DatabaseDropped": ONCE,
    "InsufficientPrivilege": ONCE,
    "UndefinedTable": ONCE,
    "UndefinedColumn": ONCE,
}


@pytest.mark.parametrize("name", IN_USE)
def test_connection_in_use_that_broke_is_waited_for_unless_it_was_a_refusal(name: str) -> None:
    assert patience_after(getattr(psycopg.errors, name)()) == IN_USE[name]


def test_connection_that_is_gone_is_waited_for() -> None:
    assert patience_after(psycopg.OperationalError("the connection is lost")) == math.inf
    assert patience_after(psycopg.InterfaceError("the connection is closed")) == math.inf
