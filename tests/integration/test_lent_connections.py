"""Connections stay at hand between two uses, and nobody waits for one that is free."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from shared.database.connection import Connection
from shared.database.pool import Database
from shared.errors import DatabaseUnavailable
from tests.builders import until


def backend(connection: Connection) -> int:
    return connection.info.backend_pid


def test_few_connections_are_enough_for_many_threads(database_url: str) -> None:
    database = Database(database_url, max_connections=2)

    def use(_: int) -> int:
        with database.connection(time.monotonic() + 20) as connection:
            connection.execute("SELECT 1")
            return backend(connection)

    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(use, range(600)))
    database.close()
    assert len(used) == 600
    assert len(set(used)) <= 2


def test_connection_that_was_used_last_is_lent_first(database_url: str) -> None:
    database = Database(database_url, max_connections=2)
    with database.connection() as one, database.connection() as two:
        first, second = backend(one), backend(two)
    assert first != second
    assert [database.read(backend) for _ in range(3)] == [first] * 3
    database.close()


def test_broken_connection_is_not_lent_again(database_url: str) -> None:
    database = Database(database_url, max_connections=1)
    with database.connection() as connection:
        broken = backend(connection)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert database.read(backend) != broken
    database.close()


def test_connection_that_lay_unused_or_is_old_is_replaced(database_url: str) -> None:
    """What stands between may have forgotten it, and its address may be another server's by now."""
    database = Database(database_url, max_connections=1)
    with database.connection() as unused:
        first = backend(unused)
    unused.used -= 300
    with database.connection() as old:
        second = backend(old)
        old.made -= 3_600
    third = database.read(backend)
    assert len({first, second, third}) == 3
    assert [unused.closed, old.closed] == [True, True]
    database.close()


def test_closing_closes_what_is_at_hand_and_what_comes_back_later(database_url: str) -> None:
    database = Database(database_url, application_name="at hand", max_connections=2)
    with database.connection() as late:
        with database.connection() as early:
            pass
        database.close()
        assert [early.closed, late.closed] == [True, False]
    assert [early.closed, late.closed] == [True, True]
    with pytest.raises(DatabaseUnavailable), database.connection():
        pass
    with psycopg.connect(database_url) as other:
        other.autocommit = True
        ours = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'at hand'"
        until(lambda: not other.execute(ours).fetchall(), "the server has closed them too")
