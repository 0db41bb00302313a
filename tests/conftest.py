"""What every test may ask for: databases on a real PostgreSQL, and a Stripe of its own.

One server serves the whole run: TEST_DATABASE_URL if set (its user must be allowed to create
databases), else an embedded one. It starts with the first test that asks for it.
"""

import itertools
import os
import re
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor

from sandbox.postgres import EmbeddedPostgres
from sandbox.stripe_double import StripeDouble
from shared.database.migrations import migrate

TESTS = Path(__file__).parent
# A developer's .env is not the tests'; the same for every process that they start.
os.environ["ENV_FILE"] = os.devnull

FAST_FIRST = ("unit", "integration", "e2e")

# Time is for the benchmarks: on a busy machine a slow example is not a wrong one.
hypothesis.settings.register_profile("suite", deadline=None, print_blob=True)
hypothesis.settings.load_profile("suite")

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the fast folders first again; inside a folder pytest-randomly's order stays.

    But for those that wait for most of their time: were one the last, all else would be over.
    """

    def place(item: pytest.Item) -> tuple[int, bool]:
        folder = item.path.relative_to(TESTS).parts[0]
        return FAST_FIRST.index(folder), item.get_closest_marker("waits") is None

    items.sort(key=place)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A libpq URL at which databases may be created and dropped."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with EmbeddedPostgres.start() as server:
        yield server.url()


class _Janitor(DatabaseJanitor):
    """pytest-postgresql's, on a connection of all tests', copying files: half the time."""

    def __init__(self, server: "_Server", **options: Any) -> None:
        super().__init__(**options)
        self._server = server

    @contextmanager
    def cursor(self, dbname: str | None = None) -> Iterator[psycopg.Cursor]:
        """Return a cursor on the one connection."""
        assert dbname is None
        with self._server.maintenance.cursor() as cursor:
            yield cursor

    def end_connections(self) -> None:
        """End whatever is still connected to the database."""
        # An ordinary user may not end autovacuum's; it goes by itself.
        with self.cursor() as cursor, suppress(InsufficientPrivilege):
            self._terminate_connection(cursor, self.dbname)

    def _build_create_database_sql(self) -> sql.Composed:
        can_copy = self.template_dbname and self._server.may_copy
        strategy = sql.SQL(" STRATEGY FILE_COPY" if can_copy else "")
        return super()._build_create_database_sql() + strategy


class _Server(NoopExecutor):
    """The server, on which a database is made for each test."""

    def __init__(self, url: str, *, is_ours: bool) -> None:
        """`is_ours`: nobody else minds a checkpoint for each database that is made by copying."""
        self._url = url
        self._maintenance = self._connect()
        info = self._maintenance.info
        self.may_copy = is_ours and info.server_version >= 150_000
        super().__init__(
            host=info.host,
            port=info.port,
            user=info.user,
            password=info.password,
            options="",
            # The server may be shared with another run.
            dbname=f"sync_test_{uuid.uuid4().hex[:8]}",
            maintenance_dbname=info.dbname,
        )
        self._left: deque[_Janitor] = deque()

    @property
    def maintenance(self) -> psycopg.Connection:
        """The connection on which databases are made, a new one where it has ended."""
        if self._maintenance.closed:
            self._maintenance = self._connect()
        return self._maintenance

    def close(self) -> None:
        """Drop what is left, and hang up."""
        try:
            self.drop_all_but(0)
        finally:
            self._maintenance.close()

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            self._url, connect_timeout=10, autocommit=True, prepare_threshold=None
        )

    @contextmanager
    def database(
        self, name: str, *, template: str | None = None, as_template: bool = False
    ) -> Iterator[None]:
        """Have a database, and nobody connected to it afterwards."""
        janitor = _Janitor(
            self,
            user=self.user,
            host=self.host,
            port=self.port,
            password=self.password,
            maintenance_dbname=self.maintenance_dbname,
            dbname=name,
            template_dbname=template,
            as_template=as_template,
        )
        janitor.init()
        try:
            yield
        finally:
            self._left.append(janitor)
            janitor.end_connections()
            # Not yet: the server waits for 100 ms where it finds one that is about to end.
            self.drop_all_but(2)

    def drop_all_but(self, number: int) -> None:
        """Drop the databases that are no longer used, all but the latest."""
        while len(self._left) > number:
            self._left[0].drop()
            self._left.popleft()


@pytest.fixture(scope="session")
def postgresql_noproc(server_url: str) -> Iterator[_Server]:
    """pytest-postgresql's server, with a template database made by the real migrations."""
    server = _Server(server_url, is_ours="TEST_DATABASE_URL" not in os.environ)
    with closing(server), server.database(server.template_dbname, as_template=True):
        migrate(_url_of(server_url, server.template_dbname))
        yield server


@pytest.fixture
def database_url(postgresql_noproc: _Server, server_url: str) -> Iterator[str]:
    """A fresh migrated database, dropped afterwards with whatever is still connected to it."""
    name = f"{postgresql_noproc.dbname}_{next(_numbers)}"
    with postgresql_noproc.database(name, template=postgresql_noproc.template_dbname):
        yield _url_of(server_url, name)


@pytest.fixture
def empty_database_url(postgresql_noproc: _Server, server_url: str) -> Iterator[str]:
    """A fresh database in which nothing was ever migrated."""
    name = f"{postgresql_noproc.dbname}_{next(_numbers)}"
    with postgresql_noproc.database(name):
        yield _url_of(server_url, name)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the test's database, to look at the state of the world."""
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


@pytest.fixture
def stripe_double() -> Iterator[StripeDouble]:
    """A Stripe of the test's own: `.url` for the product, `.control` for the test."""
    with StripeDouble.start(shop="closed") as double:
        yield double


def _url_of(url: str, dbname: str) -> str:
    """The same URL for another database. urllib.parse would drop the slashes of an empty host."""
    return re.sub(r"^(postgres(?:ql)?://[^/?]*)(/[^?]*)?", rf"\g<1>/{dbname}", url)
