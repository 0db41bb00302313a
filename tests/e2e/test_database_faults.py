"""A database that cannot be reached: one sentence, the true reason, the same in every command."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import psycopg
import pytest

from sandbox import product
from sandbox.postgres import EmbeddedPostgres
from sandbox.stripe_double import StripeDouble
from shared.database.migrations import migrate
from tests.builders import until
from tests.e2e.saying import COMMANDS, OK, READYZ, said_by, said_by_all

PASSWORD = "hunter2-c4n4ry"
HBA = """
local all postgres trust
host all rejected 127.0.0.1/32 reject
hostssl all encrypted 127.0.0.1/32 scram-sha-256
host all encrypted 127.0.0.1/32 reject
host all trusted 127.0.0.1/32 trust
host all ghost 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""
SETUP = f"""
CREATE DATABASE closed ALLOW_CONNECTIONS false;
CREATE DATABASE private;
REVOKE CONNECT ON DATABASE private FROM PUBLIC;
CREATE ROLE app LOGIN SUPERUSER PASSWORD '{PASSWORD}';
CREATE ROLE plain LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE typed LOGIN;
CREATE ROLE encrypted LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE rejected LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE trusted LOGIN;
CREATE ROLE nologin NOLOGIN PASSWORD '{PASSWORD}';
CREATE ROLE crowded LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0;
"""


@dataclass(frozen=True)
class Guarded:
    """A server on TCP that asks for passwords, with a certificate that nobody vouches for."""

    port: int

    def url(self, user: str = "app", password: str = PASSWORD, rest: str = "/postgres") -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}{rest}"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    port = product.free_port()
    options = {"port": str(port), "listen_addresses": "127.0.0.1"}
    with EmbeddedPostgres.start(options) as server:
        data, owner = server.folder / "data", (server.folder / "data").stat()
        made = ("-keyout", data / "server.key", "-out", data / "server.crt")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", *made],
            check=True,
            capture_output=True,
        )
        for name in ("server.key", "server.crt"):
            (data / name).chmod(0o600)
            os.chown(data / name, owner.st_uid, owner.st_gid)
        (data / "pg_hba.conf").write_text(HBA)
        trusted = server.url().replace("port=5432", f"port={port}")
        with psycopg.connect(trusted, autocommit=True) as connection:
            for statement in filter(None, map(str.strip, SETUP.split(";"))):
                connection.execute(statement.encode())
            connection.execute("ALTER SYSTEM SET ssl = on")
            connection.execute("SELECT pg_reload_conf()")

        def speaks_tls() -> bool:
            with psycopg.connect(trusted) as connection:
                return connection.execute("SHOW ssl").fetchone() == ("on",)

        until(speaks_tls, "TLS")
        migrate(trusted)
        yield Guarded(port)


@contextmanager
def answering(reply: bytes | None) -> Iterator[int]:
    """A port that says nothing (None), or says something and hangs up."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port = int(listener.getsockname()[1])
        if reply is None:
            yield port
            return
        with subprocess.Popen(
            ["python3", "-c", _REPLIER, str(listener.fileno()), reply.hex()],
            pass_fds=[listener.fileno()],
        ) as replier:
            try:
                yield port
            finally:
                replier.kill()


_REPLIER = """
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    one, _ = listener.accept()
    one.recv(1024)
    one.sendall(bytes.fromhex(sys.argv[2]))
    one.close()
"""

# What is wrong -> the URL (of parts of the good one), and what the sentence says.
FAULTS: dict[str, tuple[str, str]] = {
    "wrong port": ("postgresql://app:{password}@127.0.0.1:{free}/postgres", "nothing listens"),
    "no such host": ("postgresql://app:{password}@nowhere.invalid/postgres", "no address"),
    "no such socket": ("postgresql:///postgres?host=/nowhere&user=app", "socket"),
    "host that hangs": ("postgresql://app:{password}@127.0.0.1:{silent}/postgres", "in time"),
    "wrong password": ("postgresql://app:wr0ng@127.0.0.1:{port}/postgres", "or the password"),
    "wrong user": ("postgresql://ap:{password}@127.0.0.1:{port}/postgres", "refuses the user"),
    "no such user": ("postgresql://ghost@127.0.0.1:{port}/postgres", "no such user"),
    "no password": ("postgresql://app@127.0.0.1:{port}/postgres", "has none"),
    "no such database": ("postgresql://app:{password}@127.0.0.1:{port}/pos", "no database of"),
    "closed database": ("postgresql://app:{password}@127.0.0.1:{port}/closed", "lets nobody"),
    "database not granted": ("postgresql://plain:{password}@127.0.0.1:{port}/private", "CONNECT"),
    "role without login": ("postgresql://nologin:{password}@127.0.0.1:{port}/postgres", "log in"),
    "role at its limit": ("postgresql://crowded:{password}@127.0.0.1:{port}/postgres", "too many"),
    "rejected": ("postgresql://rejected:{password}@127.0.0.1:{port}/postgres", "pg_hba.conf"),
    "TLS not asked for": (
        "postgresql://encrypted:{password}@127.0.0.1:{port}/postgres?sslmode=disable",
        "pg_hba.conf",
    ),
    "certificate not vouched for": (
        (
            "postgresql://app:{password}@127.0.0.1:{port}/postgres?sslmode=verify-full"
            "&sslrootcert=system"
        ),
        "certificate",
    ),
    "no file of authorities": (
        (
            "postgresql://app:{password}@127.0.0.1:{port}/postgres?sslmode=verify-ca"
            "&sslrootcert=/nowhere/root.crt"
        ),
        "authorities",
    ),
    "TLS not spoken": (
        "postgresql://app:{password}@127.0.0.1:{plain}/postgres?sslmode=require",
        "does not speak TLS",
    ),
    "not PostgreSQL": ("postgresql://app:{password}@127.0.0.1:{http}/postgres", "not PostgreSQL"),
    "hangs up": ("postgresql://app:{password}@127.0.0.1:{mute}/postgres", "hung up"),
    "unknown option": (
        "postgresql://app:{password}@127.0.0.1:{port}/postgres?options=-c%20nonsense%3D1",
        "options",
    ),
}


@pytest.fixture(scope="module")
def places(guarded: Guarded) -> Iterator[dict[str, object]]:
    http = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    with (
        answering(None) as silent,
        answering(http) as web,
        answering(b"") as mute,
        # It answers the request for TLS as a PostgreSQL without TLS does.
        answering(b"N") as plain,
    ):
        yield {
            "password": PASSWORD,
            "port": guarded.port,
            "free": product.free_port(),
            "silent": silent,
            "http": web,
            "mute": mute,
            "plain": plain,
        }


def environment(url: str, double: StripeDouble) -> dict[str, str]:
    return product.environment(
        DATABASE_URL=url,
        STRIPE_API_BASE=double.url,
        STRIPE_SECRET_KEY="sk_test_double",
        STRIPE_WEBHOOK_SECRET="whsec_e2e",
        GRACE_SECONDS="0",
        LOG_LEVEL="DEBUG",
    )


def test_good_url_is_no_fault(guarded: Guarded, stripe_double: StripeDouble) -> None:
    said, _ = said_by_all(environment(guarded.url(), stripe_double), stripe_double)
    assert set(said.values()) == {OK}


# The others differ in libpq's text alone, of which `tests/unit/test_database_fault.py` has all.
SAID_BY_ALL = (
    *("wrong port", "no such host", "host that hangs", "wrong password", "no such database"),
    *("role at its limit", "rejected", "certificate not vouched for", "TLS not spoken"),
    "unknown option",
)


QUICK = {"wrong port", "wrong password", "no such database"}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(name, marks=pytest.mark.long if name in {*SAID_BY_ALL} - QUICK else ())
        for name in FAULTS
    ],
)
def test_every_command_says_the_same_of_it_once_and_truly(
    fault: str, places: dict[str, object], stripe_double: StripeDouble
) -> None:
    url, words = FAULTS[fault]
    environ = environment(url.format(**places), stripe_double)
    if fault not in SAID_BY_ALL:
        (told, _) = said_by(environ, ["webhook --check"])["webhook --check"]
        assert words in told
        return
    said, output = said_by_all(environ, stripe_double, deadline="2")
    assert len(set(said.values())) == 1, said
    told = said[READYZ]
    assert words in told
    assert told.startswith("no connection to the database: ")
    assert "\n" not in told
    assert output.count(told) == len(COMMANDS) + 1, "said once by each"
    assert "psycopg" not in output
    for private in (PASSWORD, "127.0.0.1", "nowhere", "Traceback", "FATAL", "libpq"):
        assert private not in output


# A real password of a real role, raw in the URL: pieces of it must not be seen anywhere.
RAW = (
    "p@ssw0rd-hunter2",
    "pa/ssw0rd",
    "pa%41ssw0rd",
    "pa#ssw0rd",
    "pa ssw0rd",
    "ssw0rd@nowhere.invalid",
    "6543/ssw0rd@x?ssw0rd",
)


@pytest.mark.parametrize("password", RAW)
def test_no_piece_of_a_raw_password_is_seen_and_an_encoded_one_works(
    password: str, guarded: Guarded, stripe_double: StripeDouble
) -> None:
    with psycopg.connect(guarded.url(), autocommit=True) as connection:
        connection.execute(
            psycopg.sql.SQL("ALTER ROLE typed SUPERUSER PASSWORD {}").format(password)
        )
    raw = f"postgresql://typed:{password}@127.0.0.1:{guarded.port}/postgres"
    environ = environment(raw, stripe_double)
    said, output = said_by_all(environ, stripe_double)
    pieces = {password[start : start + 4] for start in range(len(password) - 3)}
    # Words of our own about a parameter, and no more of it.
    assert {piece for piece in pieces if piece in output.replace("sslmode", "")} == set()
    assert len(set(said.values())) == 1, said
    assert OK in said.values() or "percent-encode" in said["migrate"]
    encoded = environment(guarded.url("typed", password), stripe_double)
    assert {one for one, _ in said_by(encoded, ["migrate", "reconcile"]).values()} == {OK}
