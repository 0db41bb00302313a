"""Connections to PostgreSQL: a small pool, opened at first use, in which nothing waits for ever."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from shared import log
from shared.database import outage, pooler
from shared.database import schema as naming
from shared.database.fault import describe, unreachable
from shared.errors import DatabaseUnavailable

# They quote libpq, which quotes what DATABASE_URL was taken for; we say it in our own words.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

T = TypeVar("T")

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 2

_HAND_SECONDS = 60.0
"""How long a connection stays out of the pool, which closes what is idle or old."""

_LOOK_SECONDS = 0.1
"""How long a caller waits for a connection before it looks why there is none."""


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time."""


_HUNG = (NoAnswer, psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)


class Connection(naming.Connection):
    """A connection on which no single wait is longer than `seconds`, nor past `deadline`.

    The server's statement_timeout does not help against a server that hangs. A connection whose
    wait ran out is in an unknown state and is closed.
    """

    seconds: float = 30.0
    deadline: float | None = None
    back_by: float = 0.0
    made: float = 0.0

    @classmethod
    def connect(  # type: ignore[override]  # only the pool calls it
        cls,
        conninfo: str,
        *,
        note: Callable[[psycopg.Error | None], None],
        may_leave_options: bool,
        **kwargs: Any,
    ) -> Self:
        """Connect as psycopg does; `note` is told what kept it from that, or that nothing did.

        What is raised has nothing of libpq's text, which the pool would log.

        `may_leave_options`: to do without them where a pooler refuses them.
        """
        try:
            try:
                connection = super().connect(conninfo, **kwargs)
            except psycopg.OperationalError as error:
                shorter = pooler.without_options(conninfo, error) if may_leave_options else None
                if shorter is None:
                    raise
                connection = super().connect(shorter, **kwargs)
                log.event(
                    _log,
                    "database.options_refused",
                    level=logging.WARNING,
                    advice="set them on the role, as the README says of poolers",
                )
        except psycopg.Error as error:
            note(error)
            raise psycopg.OperationalError("told in our own words") from None
        note(None)
        return connection

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for the server, at most as long as the connection allows."""
        limit = self.seconds if timeout is None else timeout
        if self.deadline is not None:
            limit = min(limit, max(self.deadline - time.monotonic(), 0.0))
        try:
            return super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 (psycopg gives it no public name)
            self.close()
            raise NoAnswer(f"no answer within {limit:.1f} s") from None


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
        schema: str = naming.DEFAULT,
    ) -> None:
        """Prepare the pool without touching the network; the first use connects.

        `read_only`: the server itself refuses every write. `plan_once`: each prepared statement is
        planned without regard to its values; planning takes longer than all else of an event.
        `connect_seconds`: for one connection, where `url` says nothing else. `schema`: the one in
        which everything lies.
        """
        self._seconds = statement_seconds
        self._schema = schema
        self._fault: psycopg.Error | None = None
        self._keeps_prepared = True
        self._lent: set[Connection] = set()
        # Of the pool, but not put back: to put one back and get it again takes a tenth of an event.
        # While somebody waits in the pool's line nothing is held back here.
        self._at_hand: list[Connection] = []
        self._in_line = 0
        self._hand = threading.Lock()
        self._is_refused = False
        self._scout = threading.Lock()
        self._pool = ConnectionPool(
            conninfo(
                url,
                statement_seconds,
                application_name,
                read_only=read_only,
                plan_once=plan_once,
                connect_seconds=connect_seconds,
            ),
            connection_class=Connection,
            kwargs={
                "autocommit": True,
                "note": self._note,
                "may_leave_options": "options" not in conninfo_to_dict(url),
            },
            configure=self._configure,
            min_size=0,
            max_size=max_connections,
            max_idle=300.0,
            reconnect_timeout=CONNECT_SECONDS,
            num_workers=1,
            open=False,
        )

    @contextmanager
    def connection(self, deadline: float | None = None) -> Iterator[Connection]:
        """Lend a connection in autocommit mode until `deadline` (on time.monotonic()).

        Raises DatabaseUnavailable when none is to be had, when it breaks in use, or when the server
        refuses a statement for another reason than its values (for those psycopg's own error).
        """
        began = time.monotonic()
        try:
            connection = self._take() or self._wait_in_line(deadline)
            connection.deadline = deadline
            if not self._keeps_prepared:
                connection.prepare_threshold = None
            try:
                # In autocommit mode nothing is left to commit, and the pool rolls back what is.
                yield connection
            except psycopg.errors.ReadOnlySqlTransaction as error:
                # As after a failover: nothing was done, and a connection that was made only now may
                # lead to a server that writes.
                connection.close()
                raise DatabaseUnavailable(
                    describe(error),
                    broken=connection.made < began,
                    patience=outage.in_use(error),
                ) from error
            finally:
                connection.deadline = None
                self._give_back(connection)
        except PoolClosed as error:
            raise DatabaseUnavailable(f"no connection to the database: {error}") from None
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise DatabaseUnavailable(
                describe(error),
                broken=True,
                hung=isinstance(error, _HUNG),
                patience=outage.in_use(error),
            ) from error
        except (
            psycopg.errors.InvalidSqlStatementName,
            psycopg.errors.DuplicatePreparedStatement,
        ) as error:
            # A pooler that passes for the server itself: prepare nothing more.
            self._keeps_prepared = False
            patience = outage.BRIEFLY
            raise DatabaseUnavailable(describe(error), broken=True, patience=patience) from error
        except (psycopg.DataError, psycopg.IntegrityError):
            raise
        except psycopg.Error as error:
            # A right that is missing, a trigger of somebody's: theirs to put right, then try again.
            patience = outage.in_use(error)
            raise DatabaseUnavailable(describe(error), patience=patience) from error

    def read(self, question: Callable[[Connection], T], deadline: float | None = None) -> T:
        """Run a statement that may run twice, again if its connection had died unnoticed.

        It reads, or does nothing where it was done before. This is what checks the pool's
        connections: the first statement of every piece of work is such a one, so none pays for a
        round trip that only checks.
        """
        try:
            with self.connection(deadline) as connection:
                return question(connection)
        except DatabaseUnavailable as error:
            late = deadline is not None and time.monotonic() >= deadline
            if late or not error.broken:
                raise
        return self._read_again(question, deadline)

    def _read_again(self, question: Callable[[Connection], T], deadline: float | None) -> T:
        """Go on until a connection answers: after a restart of the server all are dead."""
        for _ in range(self._pool.max_size):
            late = deadline is not None and time.monotonic() >= deadline
            try:
                with self.connection(deadline) as connection:
                    return question(connection)
            except DatabaseUnavailable as error:
                if late or not error.broken:
                    raise
        with self.connection(deadline) as connection:
            return question(connection)

    def close(self) -> None:
        """Close every connection; idle ones at once."""
        self._pool.close()
        with self._hand:
            spare, self._at_hand = self._at_hand, []
        for connection in spare:
            self._pool.putconn(connection)

    def _take(self) -> Connection | None:
        """Take the connection that was used last, or enter the line."""
        with self._hand:
            if not self._at_hand:
                self._in_line += 1
                return None
            connection = self._at_hand.pop()
            self._lent.add(connection)
            return connection

    def _wait_in_line(self, deadline: float | None) -> Connection:
        """Wait for the pool and leave the line. Raises DatabaseUnavailable."""
        try:
            self._pool.open()
            connection = self._borrow(time.monotonic() + self._patience(deadline))
        finally:
            with self._hand:
                self._in_line -= 1
        connection.back_by = time.monotonic() + _HAND_SECONDS
        return connection

    def _give_back(self, connection: Connection) -> None:
        """Keep a connection at hand; what is broken, old, unused or waited for is the pool's."""
        now, leaving = time.monotonic(), [connection]
        is_idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
        with self._hand:
            self._lent.discard(connection)
            if is_idle and now < connection.back_by and not (self._in_line or self._pool.closed):
                self._at_hand.append(connection)
                leaving = [] if now < self._at_hand[0].back_by else [self._at_hand.pop(0)]
        for one in leaving:
            self._pool.putconn(one)

    def _borrow(self, until: float) -> Connection:
        """Take a connection from the pool; while the database refuses them one caller waits.

        The others are told at once: else every thread of the webhook would wait, and the queue
        behind them grow, health checks in it. Raises DatabaseUnavailable.
        """
        is_scout = False
        failures = self._failures()
        try:
            while True:
                if self._is_refused and not self._lent and not is_scout:
                    is_scout = self._scout.acquire(blocking=False)
                    if not is_scout:
                        raise self._none()
                left = until - time.monotonic()
                # Whoever looks up leaves the queue: while some are lent, one will come back.
                patience = left if self._lent else min(left, _LOOK_SECONDS)
                try:
                    connection = self._pool.getconn(patience)
                except PoolTimeout:
                    self._is_refused |= self._failures() > failures
                    if left <= patience:
                        raise self._none() from None
                else:
                    self._is_refused = False
                    self._lent.add(connection)
                    return connection
        finally:
            if is_scout:
                self._scout.release()

    def _note(self, fault: psycopg.Error | None) -> None:
        """Remember what kept the latest connection from being made, None if nothing did."""
        self._fault = fault

    def _none(self) -> DatabaseUnavailable:
        """Say why there is no connection."""
        patience = math.inf
        if self._fault is None and self._lent:
            words = "no connection to the database: all are in use, and none came free in time"
        else:
            words = unreachable(self._fault)
        # While some are lent one will come back, whatever keeps one more from being made.
        if self._fault is not None and not self._lent:
            patience = outage.of_connecting(self._fault)
        return DatabaseUnavailable(words, hung=not self._is_refused, patience=patience)

    def _failures(self) -> int:
        """Return how often connecting has failed."""
        return self._pool.get_stats().get("connections_errors", 0)

    def _patience(self, deadline: float | None) -> float:
        limit = self._seconds if self._lent else CONNECT_SECONDS + 0.5
        return limit if deadline is None else max(min(limit, deadline - time.monotonic()), 0.01)

    def _configure(self, connection: Connection) -> None:
        connection.seconds = self._seconds
        connection.schema = self._schema
        connection.made = time.monotonic()
        if not pooler.keeps_prepared(connection):
            connection.prepare_threshold = None


def conninfo(
    url: str,
    statement_seconds: float,
    application_name: str,
    *,
    read_only: bool = False,
    plan_once: bool = False,
    connect_seconds: int = CONNECT_SECONDS,
) -> str:
    """Return the connection string with time-outs; what `url` sets itself wins."""
    given = conninfo_to_dict(url)
    time_outs = (
        f"-c statement_timeout={int(statement_seconds * 1000)}"
        f" -c idle_in_transaction_session_timeout={int(statement_seconds * 2000)}"
        " -c default_transaction_isolation=read\\ committed"
        # Compiling a window's statement takes seconds of the server's CPU and saves milliseconds:
        # without statistics, as a first run finds them, its planner takes it for very costly.
        " -c jit=off"
        # A plan may be made, and kept, while the tables are empty and statistics say so (a restore,
        # VACUUM ANALYZE): to read them from end to end seems cheapest then. Nearly all that we do
        # is to look up by an index, and what reads a whole table can do it by one.
        " -c enable_seqscan=off"
        # What a policy would filter is an error, never an answer with fewer rows.
        " -c row_security=off"
    )
    if plan_once:
        time_outs += " -c plan_cache_mode=force_generic_plan"
        time_outs += " -c enable_hashjoin=off -c enable_mergejoin=off"
    # The last one counts: the user's own options win over ours, the promise to write nothing over
    # the user's.
    last = "-c default_transaction_read_only=on" if read_only else ""
    given["options"] = " ".join(filter(None, (time_outs, str(given.get("options") or ""), last)))
    defaults: dict[str, Any] = {
        "connect_timeout": connect_seconds,
        "application_name": application_name,
        "keepalives_idle": 30,
    }
    # Statements are sent as the bytes of their text, so nothing else may be agreed upon.
    return make_conninfo("", **{**defaults, **given, "client_encoding": "UTF8"})
