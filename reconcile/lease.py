"""One run at a time."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shared import log
from shared.database import Database
from shared.errors import SubscriptionSyncError
from shared.repository import runs

_log = logging.getLogger(__name__)


@contextmanager
def hold(
    database: Database, run_id: str, scope: str, lease_seconds: int, asked: runs.Asked
) -> Iterator[runs.Started]:
    """Take the lease for a run; raises LeaseHeld.

    The run gives it back itself, with its outcome. A fault that it did not foresee gives it back
    too, so that the next run need not wait until the lease expires; only a kill leaves it behind.
    """
    with database.connection() as connection, connection.transaction():
        started = runs.start(
            connection,
            run_id=run_id,
            scope=scope,
            holder=f"{socket.gethostname()}:{os.getpid()}",
            lease_seconds=lease_seconds,
            asked=asked,
        )
    log.event(_log, "run.started", run_id=started.story, attempt=run_id, resumes=started.resumes)
    try:
        yield started
    except BaseException as error:
        ending = runs.Ending(
            "failed", reason=f"{type(error).__name__}; the log says more", exit_status=1
        )
        with suppress(SubscriptionSyncError), database.connection() as connection:
            runs.finish(connection, run_id, ending)
        raise
