"""Connections stay at hand between two uses, and nobody waits for one that is free."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from shared.database.connection import Connection, connect
from shared.database.pool import Database, Pool
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


class Way:
    """The way to the database, which leads nowhere while it is `closed`; it counts attempts."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.closed = threading.Event()
        self.attempts = 0

    def make(self) -> Connection:
        self.attempts += 1
        if self.closed.is_set():
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return connect(self._url, seconds=5, schema="stripe", may_leave_options=False)


def test_attempt_for_somebody_who_was_served_otherwise_refuses_nobody(database_url: str) -> None:
    """Its last failure is history: who comes next gets a try, and not that failure."""
    for _ in range(5):
        way = Way(database_url)
        lending = Pool(way.make, 2)
        first = lending.take(time.monotonic() + 5)
        way.closed.set()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lending.take, time.monotonic() + 5)
            until(lambda way=way: way.attempts > 1, "one more is tried")  # type: ignore[misc]
            lending.put(first)
            second = waiting.result()
        assert second is first
        way.closed.clear()
        second.close()
        lending.put(second)
        third = lending.take(time.monotonic() + 5)
        assert third.execute("SELECT 1").fetchone() == (1,)
        lending.put(third)
        lending.close()


def test_one_caller_waits_for_a_database_that_refuses_and_others_are_told_at_once(
    database_url: str,
) -> None:
    way = Way(database_url)
    way.closed.set()
    lending = Pool(way.make, 4)
    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(lending.take, time.monotonic() + 60) for _ in range(9)]
        until(lambda: sum(each.done() for each in waiting) == 8, "all but one have been told")
        way.closed.clear()
        until(lambda: all(each.done() for each in waiting), "the one has got what it waited for")
    errors = [each.exception() for each in waiting]
    lending.put(waiting[errors.index(None)].result())
    assert [type(error) for error in errors if error] == [DatabaseUnavailable] * 8
    lending.close()


def test_nobody_is_left_waiting_while_the_way_opens_and_closes(database_url: str) -> None:
    """Each gets a connection or is told; once the way is open for good each gets one."""
    way, over = Way(database_url), threading.Event()
    lending = Pool(way.make, 3)
    outcomes: list[bool] = []

    def open_and_close() -> None:
        while not over.wait(0.004):
            if way.closed.is_set():
                way.closed.clear()
            else:
                way.closed.set()

    def use(number: int) -> None:
        try:
            connection = lending.take(time.monotonic() + 10)
        except DatabaseUnavailable:
            outcomes.append(False)
            return
        if number % 3:
            connection.close()
        lending.put(connection)
        outcomes.append(True)

    with ThreadPoolExecutor(9) as pool:
        turning = pool.submit(open_and_close)
        list(pool.map(use, range(400)))
        over.set()
        turning.result()
    assert len(outcomes) == 400
    way.closed.clear()
    for _ in range(20):
        connection = lending.take(time.monotonic() + 10)
        connection.close()
        lending.put(connection)
    lending.close()
