"""One connection to PostgreSQL, on which nothing waits for ever."""

from __future__ import annotations

import logging
import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared import log
from shared.database import pooler
from shared.database.schema import DEFAULT, Cursor

# They quote libpq, which quotes what DATABASE_URL was taken for; we say it in our own words.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

T = TypeVar("T")

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 2


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time."""


class Connection(psycopg.Connection[Any]):
    """A connection on which no single wait is longer than `seconds`, nor past `deadline`.

    The server's statement_timeout does not help against a server that hangs. A connection whose
    wait ran out is in an unknown state and is closed. `schema`: what its statements mean by
    `stripe`. `made` and `used`: when it was, on time.monotonic().
    """

    schema: str = DEFAULT
    seconds: float = 30.0
    deadline: float | None = None
    made: float = 0.0
    used: float = 0.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.cursor_factory = Cursor

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


def connect(conninfo: str, *, seconds: float, schema: str, may_leave_options: bool) -> Connection:
    """Connect, in autocommit mode. Raises psycopg.Error.

    `seconds`: for each wait; `schema`: the one in which everything lies. `may_leave_options`: to do
    without them where a pooler refuses them.
    """
    try:
        connection = Connection.connect(conninfo, autocommit=True)
    except psycopg.OperationalError as error:
        shorter = pooler.without_options(conninfo, error) if may_leave_options else None
        if shorter is None:
            raise
        connection = Connection.connect(shorter, autocommit=True)
        log.event(
            _log,
            "database.options_refused",
            level=logging.WARNING,
            advice="set them on the role, as docs/operations.md says of poolers",
        )
    connection.seconds = seconds
    connection.schema = schema
    connection.made = connection.used = time.monotonic()
    try:
        if not pooler.keeps_prepared(connection):
            connection.prepare_threshold = None
    except psycopg.Error:
        connection.close()
        raise
    return connection


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
