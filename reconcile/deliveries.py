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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from reconcile.ahead import Ahead
from reconcile.comparison.findings import Inspected
from reconcile.comparison.inspector import Inspector
from reconcile.history import NOWHERE, WAITS, Judged, Sent, Subject, Told, words
from reconcile.journal.journal import EVENTS, Journal
from reconcile.patient import PatientDatabase
from reconcile.streams import answers
from reconcile.watch import Watch
from reconcile.windows.window import Window, without
from shared import log, truth
from shared.errors import (
    StripeUnavailable,
    StripeUnreadable,
    SubscriptionSyncError,
    UnreadableObject,
)
from shared.mirror import Outcome
from shared.objects.catalogue import EVENT_TYPES, MIRRORED
from shared.objects.declaration import MirroredObject
from shared.repository import event_looks, ledger, mirror_rows
from shared.repository.account import Account
from shared.repository.mirror_rows import Mark
from shared.stripe.api import ListedEvent, StripeApi

_log = logging.getLogger(__name__)

MOST_ATTEMPTS = 10
"""Tries after which an event that keeps failing is left to be replayed by hand."""

LOOK_BACK = 26 * 3600
"""Seconds by which a look at the event list begins before what the last one was shown.

Stripe's list has shown events hours late. So an event that is shown within a day is still found,
by a run that begins up to two hours later than the night before. It costs a request for each
hundred events of that time, each night.
"""

_DAYS = 30
_TYPES = 20
_BATCH = 100

_PAGES = 4
"""Pages of the event list that are read ahead: a page is half a megabyte."""


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


class Look(NamedTuple):
    """A page of Stripe's event list, and the part of the time that is done with it."""

    page: list[ListedEvent]
    covered: Window


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
        self._ahead: Ahead[Look] | None = None
        self._looked: dict[Subject | None, Outcome | SubscriptionSyncError] = {}
        self._reached: int | None = None
        self._until = self._since = self._began = 0

    def read_ahead(self, grace: int) -> None:
        """Begin to ask for the event list, where that has not begun.

        Up to `grace` seconds ago: what is younger may still be on its way. It is another endpoint
        of Stripe's, with a limit of its own: while the last windows are under way it costs no time.
        """
        if self._ahead is None:
            until = self._stripe.now(MIRRORED[0]) - grace
            self._ahead = Ahead(self._list(until), _PAGES)

    def close(self) -> None:
        """Read no further ahead."""
        if self._ahead is not None:
            self._ahead.close()

    def _list(self, until: int) -> Iterator[Look]:
        """Begin to look through Stripe's event list up to `until` (epoch), newest first.

        It begins well before what the last run's look was shown, or with the oldest event that
        ever arrived, at most 30 days ago. All of it is in Stripe's time: no other clock knows
        which events there are. A cursor that lies ahead was never shown by any list. What an
        unfinished run has looked through is left out.
        """
        reached = self._database.read(event_looks.reached)
        self._reached = None if reached is None or reached > until else reached
        self._until = until
        oldest = until - _DAYS * 86400
        first = self._database.read(ledger.oldest)
        if self._reached is not None:
            since = max(oldest, self._reached - LOOK_BACK)
        elif reached is not None:
            since = oldest
        else:
            since = until if first is None else max(oldest, first)
        looked = self._database.read(event_looks.first)
        began = [seen for seen in (first, looked) if seen is not None and seen <= until]
        self._began = min(began, default=since)
        self._since = since if self._reached is None else self._reached
        done = self._journal.progress.before.get(EVENTS, [])
        return self._listed(without(Window(since, until + 1), done) if since <= until else [])

    def _listed(self, windows: Sequence[Window]) -> Iterator[Look]:
        names = sorted(EVENT_TYPES)
        groups = [names[start : start + _TYPES] for start in range(0, len(names), _TYPES)]
        for window in reversed(windows):
            for types in groups[:-1]:
                for page in self._stripe.events(types, window.gte, window.lt - 1):
                    yield Look(page, Window(window.lt, window.lt))
            ceiling = window.lt
            for page in self._stripe.events(groups[-1], window.gte, window.lt - 1):
                # Of the last second seen there may be more.
                floor = min((event.created + 1 for event in page), default=ceiling)
                yield Look(page, Window(min(floor, ceiling), ceiling))
                ceiling = min(floor, ceiling)
            yield Look([], Window(window.gte, ceiling))

    def missed(self, grace: int) -> Events:
        """Compare Stripe's event list with the ledger, and look at what it tells of.

        A run that repairs enters what never arrived, with source `reconcile`. When the whole list
        was looked through it is noted how far: no further than what the list has shown, whatever a
        clock says, no further than the beginning of the run that it goes on from, whose list may
        have shown too little, and not at all where the next run may still enter some of it.
        """
        self.read_ahead(grace)
        assert self._ahead is not None
        events = Events.begun(self._journal.progress.counts, self._since)
        newest = self._reached or 0
        is_whole = True
        for page, covered in self._ahead:
            self._watch.step()
            newest = max([newest, *(event.created for event in page)])
            is_whole &= self._enter(page, covered, events)
        if is_whole:
            progress = self._journal.progress
            until = newest or self._until
            if progress.before.get(EVENTS):
                until = min(until, max(progress.since or 0, self._reached or 0))
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
            judged = self._judge(kept)
            self._journal.enter([one.entry for one in judged if one.entry], Window(0, 0))
            for one in judged:
                _tell("event.replayed", one)

    def settle(self) -> None:
        """Say of events whose rows have waited for the repairs that they are history now."""
        self._journal.settle_events(WAITS)

    def _enter(self, page: list[ListedEvent], covered: Window, events: Events) -> bool:
        """Enter what is unknown of a page; False where the next run has to try some of it again."""
        ids = [event.id for event in page]
        known = self._database.read(lambda connection: ledger.known(connection, ids))
        events.listed = (events.listed or 0) + len(page)
        judged = self._judge([event for event in page if event.id not in known])
        came = [event for event in page if known.get(event.id) == "webhook"]
        events.webhook_expected += sum(self._is_news(event) for event in came)
        events.webhook_expected += sum(self._was_expected(one) for one in judged)
        self._count(events, judged)
        is_whole = not any(one.may_be_entered_later for one in judged)
        entries = [one.entry for one in judged if one.entry]
        entered = self._journal.enter(entries, covered if is_whole else Window(0, 0))
        # What is not entered has arrived while this page was looked through.
        came_now = [one for one in judged if one.entry and one.entry.event_id not in entered]
        self._count(events, came_now, -1)
        judged = [one for one in judged if one not in came_now]
        for one in judged:
            events.refused += one.is_for_good
            # What lies before what the last look was shown has been told of.
            is_news = self._is_news(one.sent)
            events.left += one.may_be_entered_later or (one.is_for_good and is_news)
            _tell("event.missed", one)
        return is_whole

    def _count(self, events: Events, judged: Sequence[Judged], times: int = 1) -> None:
        """Count events that never arrived, to be kept with the cursor; -1 for what came after all.

        Before they are entered: so a run that is killed has counted what it has entered.
        """
        for one in judged:
            events.missed = (events.missed or 0) + times
            events.by_type[one.sent.type] += times
            day = datetime.fromtimestamp(one.sent.created, UTC).strftime("%Y-%m-%d")
            events.by_day[day] += times
            if self._was_expected(one):
                events.webhook_missed += times
                since = events.webhook_since or one.sent.created
                events.webhook_since = min(since, one.sent.created)
        events.by_type, events.by_day = +events.by_type, +events.by_day
        events.keep(self._journal.progress.counts)

    def _was_expected(self, one: Judged) -> bool:
        """Whether the webhook was to bring it: there was one by then, as far as anybody knows."""
        return not one.is_for_good and one.sent.created >= self._began

    def _is_news(self, sent: Sent) -> bool:
        """Whether it was made after what the last look was shown."""
        return self._reached is None or sent.created > self._reached

    def _judge(self, sent: Sequence[Sent]) -> list[Judged]:
        """Say what becomes of events, after a look at each object that needs one."""
        told = {one.id: Told.read(one, self._account) for one in sent}
        self._look(self._untold(told.values()))
        subjects = {one.subject for one in told.values() if one.subject is not None}
        waiting = self._journal.waiting({(mirrored.name, name) for mirrored, name in subjects})
        return [one.judged(self._looked, waiting) for one in told.values()]

    def _untold(self, told: Iterable[Told]) -> list[Subject]:
        """Return the objects of which an event tells what their comparison may not know."""
        newest: dict[MirroredObject, dict[str, Told]] = {}
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

    def _is_told(self, one: Told, mirrored: MirroredObject, mark: Mark | None) -> bool:
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


def _tell(name: str, one: Judged) -> None:
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
