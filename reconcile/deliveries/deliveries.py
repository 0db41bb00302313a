"""Events that never arrived, and those that failed: history, and never news by itself.

What the comparison has covered needs no look at what led to it. An event from before then is
entered in the ledger as `stale`, and no row is written for it. Of any other event the object is
looked at, once, however many events tell of it. What is missing goes in (`applied`), where the row
says what Stripe does the event is `unchanged`, and what differs goes the way of every difference,
past the second look and the gate. As long as the row of an event waits for that the event is
`failed`: it is in the ledger, and yet Stripe's own repetition of it may still heal the row.

Each look costs a request. So where it is about objects that decide no access, more than a few wait
until the repairs are done: their events are in the ledger as `failed` by then, and whatever stops
the run, the next one tries them again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

from reconcile.comparison.findings import Findings
from reconcile.comparison.object_inspector import ObjectInspector
from reconcile.connections import RetryingDatabase
from reconcile.deadline import Watch
from reconcile.deliveries.event_list import EventList, EventPage
from reconcile.deliveries.events import Events
from reconcile.deliveries.past_event import (
    NOWHERE,
    WAITS,
    Began,
    Decision,
    PastEvent,
    Sent,
    Subject,
)
from reconcile.journal.journal import Journal
from reconcile.streams import answers
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
from shared.objects.declaration import Held, MirroredObject
from shared.repository import ledger
from shared.repository.account import Account
from shared.repository.progress import EVENTS, WebhookCounts
from shared.repository.rows import read_held
from shared.stripe.api import StripeApi
from shared.wording import error_text

_log = logging.getLogger(__name__)

MOST_ATTEMPTS = 10
"""Tries after which an event that keeps failing is left to be replayed by hand."""

_BATCH = 100

MOST_EARLY = 100
"""Objects that decide no access and are looked at before the repairs, some seconds' work."""


class Deliveries:
    """Looks after the ledger; `watch` may stop the run before each step."""

    def __init__(
        self,
        database: RetryingDatabase,
        stripe: StripeApi,
        objects: ObjectInspector,
        journal: Journal,
        watch: Watch,
        account: Account,
    ) -> None:
        self._database = database
        self._stripe = stripe
        self._objects = objects
        self._journal = journal
        self._account = account
        self._watch = watch
        self._list: EventList | None = None
        self._came: list[int] = []
        """When the events were made that came, and whose second is not covered yet."""
        self._early = MOST_EARLY
        self.put_off: dict[str, list[str]] = {}
        """Ids of events whose objects are looked at after the repairs, by the objects' name."""
        self._looked: dict[Subject | None, Outcome | SubscriptionSyncError] = {}

    def read_ahead(self, grace: int) -> EventList:
        """Begin to ask for the event list, where that has not begun, and return it.

        Up to `grace` seconds ago: what is younger may still be on its way. It is another endpoint
        of Stripe's, with a limit of its own: while the last windows are under way it costs no time.
        """
        if self._list is None:
            done = self._journal.progress.before.get(EVENTS, [])
            until = self._stripe.now(MIRRORED) - grace
            self._list = EventList(
                self._database, self._stripe, until, done, self._journal.progress.new
            )
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
        progress = self._journal.progress
        progress.webhook = progress.webhook or WebhookCounts(since=listed.since)
        events = Events.begun(progress.webhook)
        newest = listed.reached or 0
        is_whole = True
        for page in listed:
            self._watch.step()
            newest = max([newest, *(event.created for event in page.events)])
            is_whole &= self._enter(page, listed, events)
        if is_whole:
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
        self._try_again(ids)

    def look_after_put_off(self) -> int:
        """Look at the objects whose turn comes after the repairs.

        Returns how many of their events the next run has to try again. What differs waits for the
        gate like all else.
        """
        ids = [event_id for ids in self.put_off.values() for event_id in ids]
        self.put_off = {}
        self._early = len(ids)
        return self._try_again(ids)

    def _try_again(self, ids: Sequence[str]) -> int:
        """Look after events of the ledger; returns how many there still is no answer for."""
        left = 0
        for start in range(0, len(ids), _BATCH):
            self._watch.step()
            batch = ids[start : start + _BATCH]
            kept = self._database.read(lambda connection, ids=batch: ledger.read(connection, ids))  # type: ignore[misc]
            decided = self._decide(kept)
            # What is put off here is in the ledger already, and this is no attempt at it.
            tried = [one for one in decided if not one.is_put_off]
            self._journal.enter([one.entry for one in tried if one.entry], Window(0, 0))
            left += sum(one.may_be_entered_later for one in tried)
            for one in tried:
                _tell("event.replayed", one)
        return left

    def close_waiting(self) -> None:
        """Say of events whose rows have waited for the repairs that they are history now."""
        self._journal.close_waiting_events(WAITS)

    def _enter(self, page: EventPage, listed: EventList, events: Events) -> bool:
        """Enter what is unknown of a page; False where the next run has to try some of it again."""
        ids = [event.id for event in page.events]
        known = self._database.read(lambda connection: ledger.known(connection, ids))
        decided = self._decide([event for event in page.events if event.id not in known])
        came = [
            event.created
            for event in page.events
            if known.get(event.id) == "webhook" and listed.is_news(event)
        ]
        events.listed = (events.listed or 0) + len(ids)
        events.webhook_expected += len(came)
        events.webhook_expected += sum(one.was_expected(listed.began) for one in decided)
        events.count_missed(decided, listed.began)
        is_whole = not any(one.may_be_entered_later for one in decided)
        covered = page.covered if is_whole else Window(0, 0)
        entries = [one.entry for one in decided if one.entry]
        self._keep_counts(decided, came, covered, listed.began)
        entered = self._journal.enter(entries, covered)
        # What is not entered has arrived while this page was looked through.
        came_now = [one for one in decided if one.entry and one.entry.event_id not in entered]
        events.count_missed(came_now, listed.began, -1)
        self._webhook.missed -= sum(one.was_expected(listed.began) for one in came_now)
        for one in decided:
            if one in came_now:
                continue
            events.refused += one.is_for_good
            # What lies before what the last look was shown has been told of.
            is_news = listed.is_news(one.sent)
            events.left += one.may_be_entered_later or (one.is_for_good and is_news)
            _tell("event.missed", one)
        return is_whole

    def _keep_counts(
        self, decided: Sequence[Decision], came: list[int], covered: Window, began: Began
    ) -> None:
        """Count with the cursor what no run that goes on from this one will count again.

        Before it is entered: so a run that is killed has counted what it has entered. What came is
        counted once its second is covered, for until then the next run is shown it again.
        """
        for one in decided:
            if one.entry is not None and one.was_expected(began):
                self._webhook.missed += 1
                self._webhook.expected += 1
                self._webhook.since = min(self._webhook.since, one.sent.created)
        waiting = [*self._came, *came]
        self._came = [second for second in waiting if not covered.has(second)]
        self._webhook.expected += len(waiting) - len(self._came)

    @property
    def _webhook(self) -> WebhookCounts:
        """What is counted with the cursor."""
        progress = self._journal.progress
        progress.webhook = progress.webhook or WebhookCounts()
        return progress.webhook

    def _decide(self, sent: Sequence[Sent]) -> list[Decision]:
        """Say what becomes of events, after a look at each object that needs one."""
        told = {one.id: PastEvent.read(one, self._account) for one in sent}
        untold = self._untold(told.values())
        early = self._before_the_repairs(untold)
        self._look(early)
        later = {*untold} - {*early}
        subjects = {one.subject for one in told.values() if one.subject is not None}
        waiting = self._journal.waiting({(mirrored.name, name) for mirrored, name in subjects})
        for one in told.values():
            if one.subject is not None and one.subject in later:
                self.put_off.setdefault(one.subject[0].name, []).append(one.sent.id)
        return [one.decided(self._looked, waiting, later) for one in told.values()]

    def _before_the_repairs(self, subjects: Sequence[Subject]) -> list[Subject]:
        """Return the objects that are looked at now: a report repairs nothing, so it looks at all.

        Of those that decide no access no more than so many a run.
        """
        if not self._journal.inserts:
            return [*subjects]
        early = [subject for subject in subjects if subject[0].access is not None]
        others = [subject for subject in subjects if subject[0].access is None][: self._early]
        self._early -= len(others)
        return early + others

    def _untold(self, told: Iterable[PastEvent]) -> list[Subject]:
        """Return the objects of which an event tells what their comparison may not know."""
        newest: dict[MirroredObject, dict[str, PastEvent]] = {}
        for one in told:
            if one.subject is not None and one.subject not in self._looked:
                mirrored, object_id = one.subject
                of_objects = newest.setdefault(mirrored, {})
                other = of_objects.get(object_id, one)
                of_objects[object_id] = max(
                    other, one, key=lambda event: (event.interval, event.is_of_deletion)
                )
        untold: list[Subject] = []
        for mirrored, of_objects in newest.items():
            held = self._database.read(
                lambda connection, mirrored=mirrored, ids=list(of_objects): (  # type: ignore[misc]
                    read_held(connection, mirrored, ids)
                )
            )
            for object_id, one in of_objects.items():
                if not self._is_told(one, mirrored, object_id, held.get(object_id)):
                    untold.append((mirrored, object_id))
        return untold

    def _is_told(
        self, one: PastEvent, mirrored: MirroredObject, object_id: str, row: Held | None
    ) -> bool:
        """Return whether the comparison has told what an event tells.

        Where nothing is inserted, what a list has named by now was found missing already.
        """
        compared_at = self._journal.progress.compared_at
        if row is not None:
            if one.is_of_deletion and not mirrored.known_when_deleted:
                # The comparison has seen no more than that Stripe knows no such object.
                self._objects.note_deleted(mirrored, object_id)
                return mirrored.is_deleted(row.row)
            compared = compared_at(mirrored.name, mirrored.created(row.row))
            # What no list has to name was compared only where one has named it all the same.
            if not (mirrored.is_listed(row.row) or self._objects.is_listed(mirrored, object_id)):
                compared = None
            return truth.tells_nothing_new(row.as_of, one.interval, compared)
        if self._journal.inserts:
            return False
        compared = compared_at(mirrored.name, one.created)
        return compared is not None and one.interval.upper <= compared - truth.LIST_LAG

    def _look(self, subjects: Sequence[Subject]) -> None:
        """Look at each object, several at a time, and keep what is found."""
        forbidden = self._journal.progress.forbidden
        for subject in subjects:
            if subject[0].name in forbidden:
                self._looked[subject] = forbidden[subject[0].name]
        subjects = [one for one in subjects if one[0].name not in forbidden]

        def again(subject: Subject) -> Findings:
            return self._objects.again(*subject)

        for subject, look in answers(again, subjects, self._watch):
            self._looked[subject] = self._kept(look)

    def _kept(self, look: Future[Findings]) -> Outcome | SubscriptionSyncError:
        """Keep what a look found, and return what that makes of its events, or what went wrong."""
        try:
            found = look.result()
        except (UnreadableObject, StripeUnavailable, StripeUnreadable) as error:
            return error
        self._journal.keep(found)
        if found.is_nowhere:
            return NOWHERE
        if found.counts.unwritable:
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
        error=None if one.error is None else error_text(one.error),
    )
