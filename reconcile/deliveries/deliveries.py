"""Events that never arrived, and those that failed: history, and never news by itself.

What the comparison has covered needs no look at what led to it. An event from before then is
entered in the ledger as `stale`, and no row is written for it. Of any other event the object is
looked at, once, however many events tell of it. What is missing goes in (`applied`), where the row
says what Stripe does the event is `unchanged`, and what differs goes the way of every difference,
past the second look and the gate. As long as the row of an event waits for that the event is
`failed`: it is in the ledger, and yet Stripe's own repetition of it may still heal the row.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reconcile.comparison.findings import Inspected
from reconcile.comparison.inspector import Inspector
from reconcile.deliveries.event_list import EventList, EventPage
from reconcile.deliveries.past_event import (
    NOWHERE,
    WAITS,
    Decision,
    PastEvent,
    Sent,
    Subject,
    words,
)
from reconcile.journal.journal import EVENTS, Journal
from reconcile.patient import PatientDatabase
from reconcile.streams import answers
from reconcile.watch import Watch
from reconcile.windows.window import Window
from shared import log, truth
from shared.errors import (
    StripeUnavailable,
    StripeUnreadable,
    SubscriptionSyncError,
    UnreadableObject,
)
from shared.mirror import Outcome
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.repository import ledger, mirror_rows
from shared.repository.account import Account
from shared.repository.mirror_rows import Mark
from shared.stripe.api import StripeApi

_log = logging.getLogger(__name__)

MOST_ATTEMPTS = 10
"""Tries after which an event that keeps failing is left to be replayed by hand."""

_BATCH = 100


@dataclass(kw_only=True)
class Events:
    """How healthy delivery is: events listed by Stripe and those of them that never arrived.

    None: nobody asked. `left`: of those, the ones that could not be entered; the log says why.
    `refused`: those that never can be, being no events or of another account; each is among the
    `left` of the first run that sees it, and of no later one, but for one that is listed late.
    `webhook_missed` of the `webhook_expected` events did not come: of those made after
    `webhook_since` (epoch), when the last look ended, and of those that were listed late; without
    those that never can be entered. A run that goes on from another counts on.
    """

    listed: int | None = None
    missed: int | None = None
    left: int = 0
    refused: int = 0
    webhook_missed: int = 0
    webhook_expected: int = 0
    webhook_since: int | None = None
    by_type: Counter[str] = field(default_factory=Counter)
    by_day: Counter[str] = field(default_factory=Counter)

    @classmethod
    def begun(cls, counts: Mapping[str, Mapping[str, int]], since: int) -> Events:
        """Begin to count; what the webhook missed counts on from the run that is gone on from."""
        before = counts.get(EVENTS, {})
        return cls(
            listed=0,
            missed=0,
            webhook_missed=before.get("webhook_missed", 0),
            webhook_expected=before.get("webhook_expected", 0),
            webhook_since=before.get("webhook_since", since),
        )

    def keep(self, counts: dict[str, dict[str, int]]) -> None:
        """Put what the webhook missed where the cursor is kept."""
        counts[EVENTS] = {
            "webhook_missed": self.webhook_missed,
            "webhook_expected": self.webhook_expected,
            "webhook_since": self.webhook_since or 0,
        }


class Deliveries:
    """Looks after the ledger; `watch` may stop the run before each step."""

    def __init__(
        self,
        database: PatientDatabase,
        stripe: StripeApi,
        inspector: Inspector,
        journal: Journal,
        watch: Watch,
        account: Account,
    ) -> None:
        self._database = database
        self._stripe = stripe
        self._inspector = inspector
        self._journal = journal
        self._account = account
        self._watch = watch
        self._list: EventList | None = None
        self._looked: dict[Subject | None, Outcome | SubscriptionSyncError] = {}

    def read_ahead(self, grace: int) -> EventList:
        """Begin to ask for the event list, where that has not begun, and return it.

        Up to `grace` seconds ago: what is younger may still be on its way. It is another endpoint
        of Stripe's, with a limit of its own: while the last windows are under way it costs no time.
        """
        if self._list is None:
            done = self._journal.progress.before.get(EVENTS, [])
            until = self._stripe.now(MIRRORED[0]) - grace
            self._list = EventList(self._database, self._stripe, until, done)
        return self._list

    def close(self) -> None:
        """Read no further ahead."""
        if self._list is not None:
            self._list.close()

    def missed(self, grace: int) -> Events:
        """Compare Stripe's event list with the ledger, and look at what it tells of.

        A run that repairs enters what never arrived, with source `reconcile`. When the whole list
        was looked through it is noted how far: no further than what the list has shown, whatever a
        clock says, no further than the beginning of the run that it goes on from, whose list may
        have shown too little, and not at all where the next run may still enter some of it.
        """
        listed = self.read_ahead(grace)
        events = Events.begun(self._journal.progress.counts, listed.since)
        newest = listed.reached or 0
        is_whole = True
        for page in listed:
            self._watch.step()
            newest = max([newest, *(event.created for event in page.events)])
            is_whole &= self._enter(page, listed, events)
        if is_whole:
            progress = self._journal.progress
            until = newest or listed.until
            if progress.before.get(EVENTS):
                until = min(until, max(progress.since or 0, listed.reached or 0))
            self._journal.note_events_until(until)
        return events

    def replay(self) -> None:
        """Try failed events again, oldest first; what fails again stays failed, holds up none."""
        ids = self._database.read(
            lambda connection: ledger.replayable(connection, most_attempts=MOST_ATTEMPTS)
        )
        for start in range(0, len(ids), _BATCH):
            self._watch.step()
            batch = ids[start : start + _BATCH]
            kept = self._database.read(lambda connection, ids=batch: ledger.read(connection, ids))  # type: ignore[misc]
            decided = self._decide(kept)
            self._journal.enter([one.entry for one in decided if one.entry], Window(0, 0))
            for one in decided:
                _tell("event.replayed", one)

    def settle(self) -> None:
        """Say of events whose rows have waited for the repairs that they are history now."""
        self._journal.settle_events(WAITS)

    def _enter(self, page: EventPage, listed: EventList, events: Events) -> bool:
        """Enter what is unknown of a page; False where the next run has to try some of it again."""
        ids = [event.id for event in page.events]
        known = self._database.read(lambda connection: ledger.known(connection, ids))
        events.listed = (events.listed or 0) + len(ids)
        decided = self._decide([event for event in page.events if event.id not in known])
        came = [event for event in page.events if known.get(event.id) == "webhook"]
        events.webhook_expected += sum(listed.is_news(event) for event in came)
        events.webhook_expected += sum(one.was_expected(listed.began) for one in decided)
        self._count(events, decided, listed)
        is_whole = not any(one.may_be_entered_later for one in decided)
        entries = [one.entry for one in decided if one.entry]
        entered = self._journal.enter(entries, page.covered if is_whole else Window(0, 0))
        # What is not entered has arrived while this page was looked through.
        came_now = [one for one in decided if one.entry and one.entry.event_id not in entered]
        self._count(events, came_now, listed, -1)
        for one in decided:
            if one in came_now:
                continue
            events.refused += one.is_for_good
            # What lies before what the last look was shown has been told of.
            is_news = listed.is_news(one.sent)
            events.left += one.may_be_entered_later or (one.is_for_good and is_news)
            _tell("event.missed", one)
        return is_whole

    def _count(
        self, events: Events, decided: Sequence[Decision], listed: EventList, times: int = 1
    ) -> None:
        """Count events that never arrived, to be kept with the cursor; -1 for what came after all.

        Before they are entered: so a run that is killed has counted what it has entered.
        """
        for one in decided:
            events.missed = (events.missed or 0) + times
            events.by_type[one.sent.type] += times
            day = datetime.fromtimestamp(one.sent.created, UTC).strftime("%Y-%m-%d")
            events.by_day[day] += times
            if one.was_expected(listed.began):
                events.webhook_missed += times
                since = events.webhook_since or one.sent.created
                events.webhook_since = min(since, one.sent.created)
        events.by_type, events.by_day = +events.by_type, +events.by_day
        events.keep(self._journal.progress.counts)

    def _decide(self, sent: Sequence[Sent]) -> list[Decision]:
        """Say what becomes of events, after a look at each object that needs one."""
        told = {one.id: PastEvent.read(one, self._account) for one in sent}
        self._look(self._untold(told.values()))
        subjects = {one.subject for one in told.values() if one.subject is not None}
        waiting = self._journal.waiting({(mirrored.name, name) for mirrored, name in subjects})
        return [one.decided(self._looked, waiting) for one in told.values()]

    def _untold(self, told: Iterable[PastEvent]) -> list[Subject]:
        """Return the objects of which an event tells what their comparison may not know."""
        newest: dict[MirroredObject, dict[str, PastEvent]] = {}
        for one in told:
            if one.subject is not None and one.subject not in self._looked:
                mirrored, object_id = one.subject
                of_objects = newest.setdefault(mirrored, {})
                other = of_objects.get(object_id, one)
                of_objects[object_id] = max(other, one, key=lambda event: event.interval)
        untold: list[Subject] = []
        for mirrored, of_objects in newest.items():
            marks = self._database.read(
                lambda connection, mirrored=mirrored, ids=list(of_objects): (  # type: ignore[misc]
                    mirror_rows.read_marks(connection, mirrored, ids)
                )
            )
            for object_id, one in of_objects.items():
                if not self._is_told(one, mirrored, marks.get(object_id)):
                    untold.append((mirrored, object_id))
        return untold

    def _is_told(self, one: PastEvent, mirrored: MirroredObject, mark: Mark | None) -> bool:
        """Return whether the comparison has told what an event tells.

        Where nothing is inserted, what a list has named by now was found missing already.
        """
        compared_at = self._journal.progress.compared_at
        if mark is not None:
            compared = compared_at(mirrored.name, mark.created)
            return truth.tells_nothing_new(mark.as_of, one.interval, compared)
        if self._journal.inserts:
            return False
        compared = compared_at(mirrored.name, one.created)
        return compared is not None and one.interval.upper <= compared - truth.LIST_LAG

    def _look(self, subjects: Sequence[Subject]) -> None:
        """Look at each object, several at a time, and keep what is found."""

        def again(subject: Subject) -> Inspected:
            return self._inspector.again(*subject)

        for subject, look in answers(again, subjects, self._watch):
            self._looked[subject] = self._kept(look)

    def _kept(self, look: Future[Inspected]) -> Outcome | SubscriptionSyncError:
        """Keep what a look found, and return what that makes of its events, or what went wrong."""
        try:
            found = look.result()
        except (UnreadableObject, StripeUnavailable, StripeUnreadable) as error:
            return error
        self._journal.keep(found)
        if found.is_nowhere:
            return NOWHERE
        if found.counts["unwritable"]:
            return UnreadableObject("$", "it breaks a rule of the database; the log says which")
        if found.missing:
            return Outcome.APPLIED
        return Outcome.STALE if found.waiting else Outcome.UNCHANGED


def _tell(name: str, one: Decision) -> None:
    log.event(
        _log,
        name,
        level=logging.INFO if one.error is None else logging.ERROR,
        event_id=one.sent.id,
        event_type=one.sent.type,
        object_id=one.entry.object_id if one.entry else None,
        outcome=one.entry.outcome if one.entry else None,
        error=None if one.error is None else words(one.error),
    )
