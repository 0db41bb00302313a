"""Both sides of a command: connected while it works, and a database that is waited for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from reconcile.deadline import LAST_WORD_SECONDS, Deadline
from shared import log
from shared.database.connection import Connection
from shared.database.pool import Database
from shared.errors import DatabaseUnavailable
from shared.settings import ReconcileSettings
from shared.stripe.api import StripeApi
from shared.stripe.http import RUN_PATIENCE, StripeHttp
from shared.stripe.rate_limit import RateLimit

T = TypeVar("T")

_CONNECT_SECONDS = 30
"""For one connection: a database that scales to zero takes seconds to wake."""

PATIENCE = 300.0
"""Seconds that a night without a deadline waits for its database."""

BY_HAND = 30.0
"""The same for what a person waits for."""

_LOOK = 2.0
"""Seconds after which one that waits for a connection looks whether there is time left."""

_PAUSE = 0.25
_AT_ONCE = 5
"""So many broken connections in a row are taken for those that lay in the pool; then a pause. What
lies there during the pause may be ended meanwhile, so the count begins anew after it."""

_TOLD_AFTER = 1.5
"""Seconds without the database after which the log says so."""

_log = logging.getLogger(__name__)


@contextmanager
def connected(
    settings: ReconcileSettings,
    stop: threading.Event,
    deadline: float | None,
    *,
    read_only: bool = False,
) -> Iterator[tuple[Database, StripeApi]]:
    """Prepare both sides; nothing is sent yet. `deadline` on time.monotonic(), None for none."""
    database = Database(
        settings.database_url.reveal(),
        application_name="subscription-sync reconcile",
        read_only=read_only,
        connect_seconds=_CONNECT_SECONDS,
        schema=settings.stripe_schema,
    )
    http = StripeHttp(
        settings.stripe_api_base,
        settings.stripe_secret_key.reveal(),
        patience=RUN_PATIENCE,
        limit=RateLimit.for_mode(
            livemode=settings.livemode,
            in_all=settings.stripe_rate_limit,
            per_endpoint=settings.stripe_endpoint_rate_limit,
        ),
        deadline=deadline,
        stop=stop,
        proxy=settings.proxy_to(settings.stripe_api_base),
    )
    try:
        yield database, StripeApi(http, livemode=settings.livemode)
    finally:
        database.close()
        http.close()


class RetryingDatabase:
    """A run's database; threads share it.

    A connection that is refused, hangs or breaks costs a run time, not the night: each unit of its
    work is done again until it goes through, as long as the run has time left and waiting may help.
    So every unit must be one that may be repeated: it reads, or does nothing where it was done, or
    goes through the run's journal, which knows what it has done.
    """

    def __init__(
        self, database: Database, deadline: Deadline, *, patience: float = PATIENCE
    ) -> None:
        """`patience`: seconds that it waits at most where there is no deadline."""
        self.deadline = deadline
        self._patience = patience
        self._was_there = False
        self._database = database
        self._lock = threading.Lock()
        self._there = time.monotonic()
        self._is_told = False
        self._end: float | None = None

    def read(self, question: Callable[[Connection], T]) -> T:
        """Return a question's answer.

        Raises DatabaseUnavailable where waiting does not help or took too long, or where the
        database was never there; Interrupted or DeadlineReached when the run's time is over while
        it waits for it to be back.
        """
        return self._repeat(question)

    def write(self, unit: Callable[[Connection], T]) -> T:
        """Carry out a unit in one transaction; it may be repeated though its commit went through.

        Raises what `read` raises.
        """

        def whole(connection: Connection) -> T:
            with connection.transaction():
                return unit(connection)

        return self._repeat(whole)

    def once(self, unit: Callable[[Connection], T], seconds: float) -> T:
        """Carry out a unit without waiting for the database. Raises DatabaseUnavailable."""
        with self._database.connection(time.monotonic() + seconds) as connection:
            return unit(connection)

    def pause(self, seconds: float) -> None:
        """Wait; raises Interrupted or DeadlineReached when the run's time is over."""
        self.deadline.require("waiting for the database")
        self.deadline.wait(seconds)

    def say_last_words(self) -> None:
        """From now on a signal or the deadline cuts nothing short, but a little later all ends."""
        if self._end is None:
            now = time.monotonic()
            is_over = self.deadline.is_over or self.deadline.is_stopped
            late = now + LAST_WORD_SECONDS if is_over else self.deadline.last_word
            self._end = late or now + self._patience

    def _repeat(self, work: Callable[[Connection], T]) -> T:
        began = time.monotonic()
        failures = 0
        while True:
            try:
                with self._database.connection(time.monotonic() + _LOOK) as connection:
                    connection.deadline = self._until()
                    answer = work(connection)
            except DatabaseUnavailable as error:
                failures += 1
                self._wait(error, began, failures)
            else:
                self._note_that_it_is_there()
                return answer

    def _until(self) -> float | None:
        """Return up to when the server may take for one try."""
        if self._end is None:
            return self.deadline.last_word
        return max(self._end, time.monotonic() + LAST_WORD_SECONDS)

    def _wait(self, error: DatabaseUnavailable, began: float, failures: int) -> None:
        """Wait a little before the next try. Raises where there is to be none."""
        waited = time.monotonic() - began
        with self._lock:
            away = min(time.monotonic() - self._there, waited)
            is_news = away >= _TOLD_AFTER and not self._is_told
            self._is_told |= is_news
        if is_news:
            log.event(_log, "database.waiting", level=logging.WARNING, error=str(error))
        if self._end is not None:
            if self.deadline.is_stopped:
                self._end = min(self._end, time.monotonic() + LAST_WORD_SECONDS)
            if time.monotonic() >= self._end:
                raise error
        elif self.deadline.is_over and not self._was_there:
            raise error
        else:
            self.deadline.require(f"waiting {waited:.0f} s for the database ({error})")
        patience = error.patience
        if self.deadline.last_word is None:
            patience = min(patience, self._patience)
        if waited >= patience:
            raise error
        if not error.broken or failures % (_AT_ONCE + 1) == 0:
            pause = time.sleep if self._end is not None else self.deadline.wait
            pause(_PAUSE)

    def _note_that_it_is_there(self) -> None:
        with self._lock:
            was_told, self._is_told = self._is_told, False
            self._was_there = True
            away = time.monotonic() - self._there
            self._there = time.monotonic()
        if was_told:
            log.event(_log, "database.back", seconds=round(away, 1))
