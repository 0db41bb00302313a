"""libpq's and the server's text becomes a sentence of ours; nothing of it is passed on."""

import psycopg
import pytest

from shared.database.connecting import unreachable
from shared.database.fault import describe

AT = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '

# As PostgreSQL 14 to 18, PgBouncer and the services that are built on them say it.
TEXTS = {
    "FATAL:  the database system is starting up": "starting up",
    "FATAL:  the database system is not yet accepting connections": "starting up",
    "FATAL:  the database system is in recovery mode": "starting up",
    "FATAL:  the database system is shutting down": "shutting down",
    "FATAL:  terminating connection due to administrator command": "shutting down",
    "FATAL:  sorry, too many clients already": "too many connections",
    "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute": "too"
    " many connections",
    'FATAL:  too many connections for database "c4n4ry"': "too many connections",
    "FATAL:  Max client connections reached: max clients reached": "too many connections",
    'FATAL:  password authentication failed for user "c4n4ry"': "the password",
    "FATAL:  SASL authentication failed": "the password",
    "FATAL:  Tenant or user not found": "the password",
    'FATAL:  Peer authentication failed for user "c4n4ry"': "system's account",
    "fe_sendauth: no password supplied": "has none",
    'FATAL:  database "c4n4ry" does not exist': "no database of",
    "FATAL:  no such database: c4n4ry": "no database of",
    'FATAL:  role "c4n4ry" does not exist': "no such user",
    'FATAL:  no pg_hba.conf entry for host "10.0.0.2", user "c4n4ry", database "d", no encryption':
    "without TLS",
    'FATAL:  no pg_hba.conf entry for host "10.0.0.2", user "u", database "d", SSL encryption\n'
    f'{AT}FATAL:  no pg_hba.conf entry for host "h", user "c4n4ry", database "d", no encryption':
    "lets nobody in",
    "server does not support SSL, but SSL was required": "does not speak TLS",
    "SSL error: certificate verify failed": "certificate is not one",
    'server certificate for "c4n4ry" does not match host name "h"': "certificate is not one",
    'root certificate file "/c4n4ry" does not exist': "authorities",
    "SSL error: sslv3 alert handshake failure": "TLS could not be agreed",
    "received invalid response to SSL negotiation: H": "not PostgreSQL",
    "expected authentication request from server, but received H": "not PostgreSQL",
    "FATAL:  unsupported startup parameter: options": "ignore_startup_parameters",
    'FATAL:  permission denied for database "c4n4ry"': "GRANT CONNECT",
    "Connection refused\n\tIs the server running on that host?": "nothing listens",
    "No route to host": "no route",
    "Network is unreachable": "no route",
    "timeout expired": "in time",
    "server closed the connection unexpectedly": "hung up",
    "FATAL:  Passwort-Authentifizierung für Benutzer »c4n4ry« fehlgeschlagen": "log says why",
    "FATAL:  a reason that nobody has thought of: c4n4ry": "log says why",
    "c4n4ry": "not known here",
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_told_by_its_reason_and_not_repeated(text: str) -> None:
    said = unreachable(psycopg.OperationalError(AT + text))
    assert TEXTS[text] in said
    assert said.startswith("no connection to the database: ")
    for private in ("c4n4ry", "10.0.0", "FATAL"):
        assert private not in said


def test_address_that_is_not_found_is_told_as_that() -> None:
    for text in (
        "failed to resolve host 'c4n4ry': [Errno -2] Name or service not known",
        'could not translate host name "c4n4ry" to address: Name or service not known',
    ):
        said = unreachable(psycopg.OperationalError(text))
        assert "has no address" in said
        assert "c4n4ry" not in said


@pytest.mark.parametrize(
    "kind, words",
    [
        (psycopg.errors.ReadOnlySqlTransaction, "takes no writes"),
        (psycopg.errors.InsufficientPrivilege, "lacks a grant"),
        (psycopg.errors.DiskFull, "disk is full"),
        (psycopg.errors.AdminShutdown, "server was stopped"),
        (psycopg.errors.UndefinedTable, "run `migrate`"),
        (psycopg.errors.QueryCanceled, "took longer"),
        (psycopg.OperationalError, "the connection broke"),
    ],
)
def test_what_goes_wrong_in_use_is_told_with_the_next_step(
    kind: type[psycopg.Error], words: str
) -> None:
    said = describe(kind("c4n4ry"))
    assert words in said
    assert "c4n4ry" not in said
