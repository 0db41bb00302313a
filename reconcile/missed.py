"""Events: those that never arrived, those that failed, those whose payload has done its time."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from shared import log
from shared.database import Database
from shared.errors import (
    DatabaseUnavailable,
    NotAnEvent,
    StripeError,
    SubscriptionSyncError,
    WrongAccount,
)
from shared.event import decode_event
from shared.mirror import Mirror, Outcome, Receipt
from shared.objects import EVENT_TYPES
from shared.repository import ledger, runs
from shared.stripe_api import ListedEvent, StripeApi

_log = logging.getLogger(__name__)

MOST_ATTEMPTS = 10
"""Tries after which an event that keeps failing is left to be replayed by hand."""

_DAYS = 30
_MARGIN = 3600
_SLICE = 6 * 3600
_TYPES = 20
_EVENT_SECONDS = 60.0
_BATCH = 1000
_LONGEST_WORD = 255

_FOR_GOOD = (NotAnEvent, WrongAccount)
"""What no later try changes, by this version of the product and with this key."""


@dataclass(kw_only=True)
class Events:
    """How healthy delivery is: events listed by Stripe and those of them that never arrived.

    None: nobody asked. `left`: of those, the ones that could not be entered; the log says why.
    `refused`: those that never can be, being no events or of another account; each is among the
    `left` of the first run that sees it, and of no later one.
    """

    listed: int | None = None
    missed: int | None = None
    left: int = 0
    refused: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    by_day: Counter[str] = field(default_factory=Counter)


class Look(NamedTuple):
    """A page of Stripe's event list, or up to when (epoch) the list has been told."""

    page: list[ListedEvent]
    done_until: int | None


class Deliveries:
    """Looks after the ledger; `alive` is called before each step and may stop the run.

    `deadline`, on time.monotonic(): no event is waited for beyond it. None: a minute for each.
    """

    def __init__(
        self,
        database: Database,
        stripe: StripeApi,
        mirror: Mirror,
        alive: Callable[[], None],
        *,
        deadline: float | None = None,
    ) -> None:
        self._database = database
        self._stripe = stripe
        self._mirror = mirror
        self._alive = alive
        self._deadline = deadline

    def listed(self, until: int) -> Iterator[Look]:
        """Yield Stripe's event list up to `until` (epoch), a quarter of a day after the other.

        It begins a little before where the last run's look at the list ended, or with the oldest
        event that ever arrived, at most 30 days ago. All of it is in Stripe's time: no other
        clock knows which events there are.
        """
        names = sorted(EVENT_TYPES)
        reached = self._database.read(runs.events_until)
        for begin in range(self._since(until, reached), until + 1, _SLICE):
            end = min(begin + _SLICE - 1, until)
            for start in range(0, len(names), _TYPES):
                for page in self._stripe.events(names[start : start + _TYPES], begin, end):
                    yield Look(page, None)
            yield Look([], end)

    def missed(
        self,
        listed: Iterable[Look],
        *,
        apply: bool,
        seen: Callable[[int], None] = lambda _: None,
    ) -> Events:
        """Compare Stripe's event list with the ledger.

        `apply`: what never arrived is entered with source `reconcile` and applied under the same
        rules as if it had. `seen` is told up to when the list is done: a run that is stopped goes
        on from there. It stays behind what may be entered by the next run, not behind what never
        can be.
        """
        events = Events(listed=0, missed=0)
        reached = self._database.read(runs.events_until)
        is_whole = True
        for page, done_until in listed:
            self._alive()
            if done_until is None:
                is_whole &= self._enter(page, events, reached, apply=apply)
            elif is_whole:
                seen(done_until)
        return events

    def replay(self, event_id: str | None = None, *, by_hand: bool) -> list[Receipt]:
        """Try failed events again, oldest first, or the one that is named.

        What fails again stays failed and never holds up the others. By hand, events that were
        tried too often are tried too.
        """
        most = None if by_hand else MOST_ATTEMPTS
        ids = self._database.read(
            lambda connection: ledger.replayable(connection, most_attempts=most, event_id=event_id)
        )
        receipts = []
        for failed_id in ids:
            self._alive()
            found = self._database.read(
                lambda connection, failed_id=failed_id: ledger.find(connection, failed_id)  # type: ignore[misc]
            )
            if found is None or found[1] is None:
                continue
            try:
                receipt = self._apply(failed_id, found[1], "event.replayed")
            except _FOR_GOOD as error:
                receipt = self._fail_again(failed_id, error)
            if receipt is not None:
                receipts.append(receipt)
        return receipts

    def _fail_again(self, event_id: str, error: NotAnEvent | WrongAccount) -> Receipt:
        with self._database.connection() as connection:
            event_type = ledger.fail_again(connection, event_id, _told(error))
        return Receipt(
            outcome=Outcome.FAILED, event_id=event_id, event_type=event_type, error=_told(error)
        )

    def expire(self, days: int) -> int:
        """Drop payloads older than so many days, in small transactions; returns how many."""
        dropped = 0
        while True:
            self._alive()
            with self._database.connection() as connection:
                count = ledger.drop_payloads(connection, days=days, most=_BATCH)
            dropped += count
            if count < _BATCH:
                return dropped

    def _since(self, until: int, reached: int | None) -> int:
        if reached is not None:
            return max(until - _DAYS * 86400, reached - _MARGIN)
        oldest = self._database.read(ledger.oldest)
        return until if oldest is None else max(until - _DAYS * 86400, oldest)

    def _enter(
        self, page: list[ListedEvent], events: Events, reached: int | None, *, apply: bool
    ) -> bool:
        """Enter what is unknown of a page; False where the next run has to try some of it again.

        `reached`: where the last look ended, so what lies before it has been told of.
        """
        ids = [event.id for event in page]
        known = self._database.read(lambda connection: ledger.known(connection, ids))
        events.listed = (events.listed or 0) + len(page)
        is_whole = True
        for event in page:
            if event.id in known:
                continue
            if apply:
                self._alive()
                try:
                    receipt = self._apply(event.id, event.body, "event.missed")
                except _FOR_GOOD as error:
                    self._keep(event, error)
                    events.refused += 1
                    events.left += reached is None or event.created > reached
                else:
                    if receipt is not None and receipt.outcome is Outcome.DUPLICATE:
                        continue  # it arrived while this page was looked through
                    is_whole &= receipt is not None
                    events.left += receipt is None
            events.missed = (events.missed or 0) + 1
            events.by_type[event.type] += 1
            events.by_day[datetime.fromtimestamp(event.created, UTC).strftime("%Y-%m-%d")] += 1
        return is_whole

    def _keep(self, event: ListedEvent, error: NotAnEvent | WrongAccount) -> None:
        """Keep what is no event as failed: a later version may read it. Of others, nothing."""
        if isinstance(error, WrongAccount) or not _is_word(event.id) or not _is_word(event.type):
            return
        entry = ledger.Entry(
            event_id=event.id,
            type=event.type,
            object_id=None,
            created=event.created,
            api_version=None,
            source="reconcile",
            outcome=Outcome.FAILED,
            error=_told(error),
            payload=event.body,
        )
        with self._database.connection() as connection:
            ledger.enter(connection, entry)

    def _apply(self, event_id: str, body: bytes, name: str) -> Receipt | None:
        """Apply one event; one that cannot be applied now is logged and left.

        Raises NotAnEvent, WrongAccount, logged too: it can never be applied.
        """
        until = time.monotonic() + _EVENT_SECONDS
        if self._deadline is not None:
            until = min(until, self._deadline)
        try:
            receipt = self._mirror.apply_event(decode_event(body), body, until)
        except (*_FOR_GOOD, StripeError, DatabaseUnavailable) as error:
            log.event(_log, name, level=logging.ERROR, event_id=event_id, error=_told(error))
            if isinstance(error, _FOR_GOOD):
                raise
            return None
        log.event(
            _log,
            name,
            level=logging.ERROR if receipt.outcome is Outcome.FAILED else logging.INFO,
            event_id=event_id,
            event_type=receipt.event_type,
            object_id=receipt.object_id,
            outcome=receipt.outcome,
            error=receipt.error,
        )
        return receipt


def _is_word(text: str) -> bool:
    """Whether the ledger can hold it as an id or a type."""
    return 0 < len(text) <= _LONGEST_WORD and text.isascii() and text.isprintable()


def _told(error: SubscriptionSyncError) -> str:
    return f"{type(error).__name__}: {error}"
