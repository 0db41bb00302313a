"""Connections to PostgreSQL: a small pool, opened at first use, in which nobody waits for ever."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from shared.database.connecting import patience_with, unreachable
from shared.database.connection import CONNECT_SECONDS, Connection, NoAnswer, connect, conninfo
from shared.database.fault import NEVER, UNPREPARED, describe, patience_after
from shared.database.schema import DEFAULT
from shared.errors import DatabaseUnavailable

T = TypeVar("T")

_UNUSED_SECONDS = 300.0
"""A connection that lay so long is closed: what stands between may have forgotten it."""

_OLDEST_SECONDS = 3_600.0
"""And one that is so old: the address may lead to another server by now."""

_PAUSE_SECONDS = 0.1
"""Between two attempts to connect."""

_HUNG = (NoAnswer, psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)

_BROKEN = (psycopg.OperationalError, psycopg.InterfaceError, *UNPREPARED)
"""All others are theirs to put right: a right that is missing, a trigger of somebody's."""


class Pool:
    """At most `size` connections, lent to one caller at a time; the last used is lent first.

    They are made one at a time, each by a thread of its own: a name server or a host that does not
    answer holds up no caller past his time. While the database refuses them one caller waits, and
    the others are told at once: else every thread of the webhook would wait, and the queue behind
    them grow, health checks in it.
    """

    def __init__(self, make: Callable[[], Connection], size: int) -> None:
        """`make` connects, or raises psycopg.Error."""
        self.size = size
        self._make = make
        self._changed = threading.Condition()
        self._free: list[Connection] = []
        self._lent = 0
        self._is_connecting = False
        self._waits_until: float | None = None
        self._fault: psycopg.Error | None = None
        self._is_closed = False

    @property
    def is_lending(self) -> bool:
        """Whether somebody has one, which will then come back."""
        return self._lent > 0

    def take(self, until: float) -> Connection:
        """Lend a connection, to be put back; waits for one until then (on time.monotonic()).

        Raises DatabaseUnavailable.
        """
        waits = False
        with self._changed:
            try:
                while not self._is_closed:
                    if (connection := self._newest()) is not None:
                        self._lent += 1
                        return connection
                    left = until - time.monotonic()
                    if left <= 0 or self._is_refused(waits=waits):
                        raise self._none()
                    if self._waits_until is None:
                        self._waits_until, waits = until, True
                    if waits and not self._is_connecting and self._lent < self.size:
                        self._is_connecting = True
                        threading.Thread(target=self._connect, daemon=True).start()
                    self._changed.wait(left)
            finally:
                if waits:
                    self._waits_until = None
                    self._changed.notify_all()
        raise DatabaseUnavailable("no connection to the database: the pool is closed")

    def put(self, connection: Connection) -> None:
        """Take a connection back; one that is broken, or too old, is closed."""
        with self._changed:
            self._lent -= 1
            self._add(connection)

    def close(self) -> None:
        """Close every connection; those that are lent when they come back."""
        with self._changed:
            self._is_closed = True
            while self._free:
                self._free.pop().close()
            self._changed.notify_all()

    def _is_refused(self, *, waits: bool) -> bool:
        """Whether a caller is told at once; `waits`: it is the one for whom it is tried."""
        if self._fault is None or self._lent:
            return False
        return not self._is_connecting if waits else self._waits_until is not None

    def _add(self, connection: Connection) -> None:
        """Keep a connection, and close what nobody has needed for long."""
        connection.used = now = time.monotonic()
        is_idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
        if is_idle and now - connection.made < _OLDEST_SECONDS and not self._is_closed:
            self._free.append(connection)
        else:
            connection.close()
        while self._free and _is_stale(self._free[0], now):
            self._free.pop(0).close()
        self._changed.notify()

    def _newest(self) -> Connection | None:
        now = time.monotonic()
        while self._free:
            connection = self._free.pop()
            if not _is_stale(connection, now):
                return connection
            connection.close()
        return None

    def _connect(self) -> None:
        """Try until there is one more connection, or nobody waits for it any longer."""
        is_over = False
        while not is_over:
            connection: Connection | None = None
            fault: psycopg.Error | None = None
            try:
                connection = self._make()
            except psycopg.Error as error:
                fault = error
            finally:
                # To be over and to say so is one step: who comes between would wait for nothing.
                with self._changed:
                    is_over = self._is_over(connection, fault)
                    self._is_connecting = not is_over
                    self._changed.notify_all()

    def _is_over(self, connection: Connection | None, fault: psycopg.Error | None) -> bool:
        """Take in what an attempt has brought; return, after a pause, if there is to be no more."""
        self._fault = fault
        if connection is not None:
            self._add(connection)
        if fault is None or patience_with(fault) == NEVER or self._is_late():
            return True
        self._changed.notify_all()
        return self._changed.wait_for(lambda: self._waits_until is None, _PAUSE_SECONDS)

    def _is_late(self) -> bool:
        until = self._waits_until
        return until is None or time.monotonic() + _PAUSE_SECONDS >= until

    def _none(self) -> DatabaseUnavailable:
        """Say why there is no connection."""
        fault = self._fault
        words = unreachable(fault)
        if fault is None and self._lent:
            words = "no connection to the database: all are in use, and none came free in time"
        if fault is None or self._lent:
            # While some are lent one will come back, whatever keeps one more from being made.
            return DatabaseUnavailable(words, hung=True, patience=math.inf)
        return DatabaseUnavailable(words, patience=patience_with(fault))


def _is_stale(connection: Connection, now: float) -> bool:
    return now - connection.used >= _UNUSED_SECONDS


class Database:
    """The database of one process; threads share it."""

    def __init__(
        self,
        url: str,
        *,
        max_connections: int = 4,
        statement_seconds: float = 30.0,
        application_name: str = "subscription-sync",
        read_only: bool = False,
        plan_once: bool = False,
        connect_seconds: int = CONNECT_SECONDS,
        schema: str = DEFAULT,
    ) -> None:
        """Prepare the pool without touching the network; the first use connects.

        `read_only`: the server itself refuses every write. `plan_once`: each prepared statement is
        planned without regard to its values; planning takes longer than all else of an event.
        `connect_seconds`: for one connection, where `url` says nothing else. `schema`: the one in
        which everything lies.
        """
        self._seconds = statement_seconds
        self._keeps_prepared = True
        address = conninfo(
            url,
            statement_seconds,
            application_name,
            read_only=read_only,
            plan_once=plan_once,
            connect_seconds=connect_seconds,
        )
        may_leave_options = "options" not in conninfo_to_dict(url)
        self._pool = Pool(
            lambda: connect(
                address,
                seconds=statement_seconds,
                schema=schema,
                may_leave_options=may_leave_options,
            ),
            max_connections,
        )

    @contextmanager
    def connection(self, deadline: float | None = None) -> Iterator[Connection]:
        """Lend a connection in autocommit mode until `deadline` (on time.monotonic()).

        Raises DatabaseUnavailable when none is to be had, when it breaks in use, or when the server
        refuses a statement for another reason than its values (for those psycopg's own error).
        """
        began = time.monotonic()
        connection = self._pool.take(began + self._patience(deadline))
        connection.deadline = deadline
        if not self._keeps_prepared:
            connection.prepare_threshold = None
        try:
            yield connection
        except (psycopg.DataError, psycopg.IntegrityError):
            raise
        except psycopg.Error as error:
            is_broken = isinstance(error, _BROKEN)
            if isinstance(error, UNPREPARED):
                self._keeps_prepared = False
            if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                # As after a failover: nothing was done, and a connection that was made only now may
                # lead to a server that writes.
                connection.close()
                is_broken = connection.made < began
            raise DatabaseUnavailable(
                describe(error),
                broken=is_broken,
                hung=isinstance(error, _HUNG),
                patience=patience_after(error),
            ) from error
        finally:
            connection.deadline = None
            self._pool.put(connection)

    def read(self, question: Callable[[Connection], T], deadline: float | None = None) -> T:
        """Run a statement that may run twice, again if its connection had died unnoticed.

        It reads, or does nothing where it was done before. This is what checks the pool's
        connections: the first statement of every piece of work is such a one, so none pays for a
        round trip that only checks. After a restart of the server all of them are dead.
        """
        for _ in range(self._pool.size + 1):
            try:
                with self.connection(deadline) as connection:
                    return question(connection)
            except DatabaseUnavailable as error:
                is_late = deadline is not None and time.monotonic() >= deadline
                if is_late or not error.broken:
                    raise
        with self.connection(deadline) as connection:
            return question(connection)

    def close(self) -> None:
        """Close every connection; those that are lent when they come back."""
        self._pool.close()

    def _patience(self, deadline: float | None) -> float:
        limit = self._seconds if self._pool.is_lending else CONNECT_SECONDS + 0.5
        return limit if deadline is None else max(min(limit, deadline - time.monotonic()), 0.01)
