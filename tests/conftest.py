"""What every test may ask for: databases on a real PostgreSQL, and a Stripe of its own.

One server serves the whole run: TEST_DATABASE_URL if set (its user must be allowed to create
databases), else an embedded one. It starts with the first test that asks for it.
"""

import itertools
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor

from sandbox.postgres import EmbeddedPostgres
from sandbox.stripe_double import StripeDouble
from shared.migrate import migrate

TESTS = Path(__file__).parent
FAST_FIRST = ("unit", "integration", "e2e")

# Time is for the benchmarks: on a busy machine a slow example is not a wrong one.
hypothesis.settings.register_profile("suite", deadline=None, print_blob=True)
hypothesis.settings.load_profile("suite")

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the fast folders first again; inside a folder pytest-randomly's order stays."""
    items.sort(key=lambda item: FAST_FIRST.index(item.path.relative_to(TESTS).parts[0]))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A libpq URL at which databases may be created and dropped."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with EmbeddedPostgres.start() as server:
        yield server.url()


@pytest.fixture(scope="session")
def postgresql_noproc(server_url: str) -> Iterator[NoopExecutor]:
    """pytest-postgresql's server, with a template database made by the real migrations."""
    with psycopg.connect(server_url, connect_timeout=10) as connection:
        info = connection.info
        server = NoopExecutor(
            host=info.host,
            port=info.port,
            user=info.user,
            password=info.password,
            options="",
            # The server may be shared with another run.
            dbname=f"sync_test_{uuid.uuid4().hex[:8]}",
            maintenance_dbname=info.dbname,
        )
    with _database(server, server.template_dbname, as_template=True):
        migrate(_url_of(server_url, server.template_dbname))
        yield server


@pytest.fixture
def database_url(postgresql_noproc: NoopExecutor, server_url: str) -> Iterator[str]:
    """A fresh migrated database, dropped afterwards with whatever is still connected to it."""
    name = f"{postgresql_noproc.dbname}_{next(_numbers)}"
    with _database(postgresql_noproc, name, template=postgresql_noproc.template_dbname):
        yield _url_of(server_url, name)


@pytest.fixture
def empty_database_url(postgresql_noproc: NoopExecutor, server_url: str) -> Iterator[str]:
    """A fresh database in which nothing was ever migrated."""
    name = f"{postgresql_noproc.dbname}_{next(_numbers)}"
    with _database(postgresql_noproc, name):
        yield _url_of(server_url, name)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the test's database, to look at the state of the world."""
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


@pytest.fixture
def stripe_double() -> Iterator[StripeDouble]:
    """A Stripe of the test's own: `.url` for the product, `.control` for the test."""
    with StripeDouble.start() as double:
        yield double


@contextmanager
def _database(
    server: NoopExecutor, name: str, *, template: str | None = None, as_template: bool = False
) -> Iterator[None]:
    with DatabaseJanitor(
        user=server.user,
        host=server.host,
        port=server.port,
        password=server.password,
        maintenance_dbname=server.maintenance_dbname,
        dbname=name,
        template_dbname=template,
        as_template=as_template,
    ):
        yield


def _url_of(url: str, dbname: str) -> str:
    """The same URL for another database. urllib.parse would drop the slashes of an empty host."""
    return re.sub(r"^(postgres(?:ql)?://[^/?]*)(/[^?]*)?", rf"\g<1>/{dbname}", url)
