"""One run at a time."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from reconcile.connections import RetryingDatabase
from shared import log
from shared.database.connection import Connection
from shared.errors import DatabaseUnavailable, LeaseLost, SubscriptionSyncError
from shared.repository import runs
from shared.repository.progress import Progress

_log = logging.getLogger(__name__)

_AGAIN = 1.0
"""Seconds after which an extension that failed is tried again."""


class Lease:
    """A lease that is extended every quarter of its time, whatever its run waits for."""

    def __init__(self, database: RetryingDatabase, started: runs.Started, seconds: int) -> None:
        self.started = started
        self.seconds = seconds
        self._database = database
        self._is_lost = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raise LeaseLost where another run was seen to have taken it."""
        if self._is_lost:
            raise LeaseLost(runs.LOST)

    def let_go(self) -> None:
        """Extend it no more."""
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        pause = quarter = self.seconds / 4
        while not self._over.wait(pause):
            try:
                self._is_lost |= not self._database.once(self._extend, quarter)
                pause = quarter
            except DatabaseUnavailable:
                pause = min(quarter, _AGAIN)

    def _extend(self, connection: Connection) -> bool:
        return runs.extend(
            connection, self.started.id, self.started.progress, lease_seconds=self.seconds
        )


@contextmanager
def hold(
    database: RetryingDatabase, run_id: str, scope: str, lease_seconds: int, asked: runs.Asked
) -> Iterator[Lease]:
    """Take the lease for a run; raises LeaseHeld.

    The run gives it back itself, with its outcome. A fault that it did not foresee gives it back
    too, so that the next run need not wait until the lease expires; only a kill leaves it behind.
    """
    lease: Lease | None = None
    taken: list[runs.Started] = []

    def take(connection: Connection) -> runs.Started:
        # The answer to a commit may have been lost: then it is ours already.
        progress = taken[0].progress if taken else Progress()
        if not runs.extend(connection, run_id, progress, lease_seconds=lease_seconds):
            taken[:] = [
                runs.start(
                    connection,
                    run_id=run_id,
                    scope=scope,
                    holder=f"{socket.gethostname()}:{os.getpid()}",
                    lease_seconds=lease_seconds,
                    asked=asked,
                )
            ]
        return taken[0]

    try:
        started = database.write(take)
        log.event(
            _log, "run.started", run_id=started.night, attempt=run_id, resumes=started.resumes
        )
        lease = Lease(database, started, lease_seconds)
        yield lease
    except BaseException as error:
        if lease is not None:
            lease.let_go()
        if taken:
            with suppress(SubscriptionSyncError):
                reason = f"{type(error).__name__}; the log says more"
                give_back(database, run_id, runs.Ending("failed", reason=reason, exit_status=1))
        raise
    lease.let_go()


def give_back(database: RetryingDatabase, run_id: str, ending: runs.Ending) -> None:
    """Give the lease back and keep how the run ended.

    While the database is away it is tried until a little after the deadline.
    """
    database.say_last_words()
    try:
        database.read(lambda connection: runs.finish(connection, run_id, ending))
    except SubscriptionSyncError as error:
        log.event(_log, "lease.left", level=logging.ERROR, run_id=run_id, error=str(error))
        raise
