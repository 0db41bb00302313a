"""The stages of a run: compare, look after the events, look again, repair."""

from __future__ import annotations

import time

from reconcile.ahead import Ahead
from reconcile.comparison import compare
from reconcile.comparison.findings import Inspected
from reconcile.comparison.inspector import Inspector
from reconcile.deadline import TimeLeft
from reconcile.deliveries import Deliveries, Events, Look
from reconcile.expiry import expire
from reconcile.journal.in_database import RunJournal
from reconcile.journal.journal import Journal
from reconcile.order import Order
from reconcile.patient import PatientDatabase
from reconcile.progress import COMPARING, Display
from reconcile.repair import Plan, SecondLook, repair
from reconcile.streams import Streams
from reconcile.sweep import Comparison, note
from shared.errors import ListingBroken, RepairRefused, StripeError, UnknownId
from shared.objects.catalogue import MIRRORED, SUBSCRIPTION
from shared.objects.declaration import MirroredObject
from shared.repository import fingerprints, mirror_rows
from shared.repository.account import Account
from shared.stripe.api import StripeApi
from shared.stripe.recognition import seed

_PULSE = 1.0

_EVENT_PAGES = 4
"""Pages of the event list that are read ahead: a page is half a megabyte."""


class Stages:
    """What a run does between its lease and its outcome.

    1. Remember that it begins: an event from before then replaces no row any more.
    2. Compare every window; what is missing goes in, what differs waits.
    3. Look through Stripe's event list and the failed events; look at each object of which they
       tell what the comparison may not know.
    4. Let events in flight arrive, and look again at all that waits.
    5. Hold everything that would change a row against the limit, and repair it.

    `events` is filled by the third stage, `would_be_refused` by the fifth of a report: why the gate
    would let no run repair what it found.
    """

    def __init__(
        self,
        database: PatientDatabase,
        stripe: StripeApi,
        order: Order,
        time_left: TimeLeft,
        journal: Journal,
        account: Account,
        display: Display,
    ) -> None:
        self.events = Events()
        self.would_be_refused: str | None = None
        self._database = database
        self._stripe = stripe
        self._order = order
        self._time = time_left
        self._journal = journal
        self._display = display
        self._last_found = 0.0
        self._ahead: Ahead[Look] | None = None
        self._fault: StripeError | None = None
        self._streams = Streams(
            self._keep,
            look_after=self._look_after_windows,
            is_saturated=stripe.saturated,
            when_drained=self._look_ahead,
        )
        self._inspector = Inspector(
            database,
            stripe,
            grace=order.grace,
            access=order.access,
            seed=seed(database.read(fingerprints.read_salt), compare.__file__),
            recall=not order.every_field,
            still=self._require_time_for_windows,
            is_enough=self._streams.is_stopping,
        )
        self._comparison = Comparison(
            database, stripe, self._inspector, self._streams, time_left, self._keep
        )
        self._deliveries = Deliveries(
            database,
            stripe,
            self._inspector,
            journal,
            account=account,
            keep=self._keep,
            alive=self._alive,
        )

    def go_through(self) -> None:
        """Do everything that is ordered. Raises what stops a run half-way."""
        try:
            self._go_through()
        finally:
            if self._ahead is not None:
                self._ahead.close()

    def _go_through(self) -> None:
        self._enter_phase(COMPARING)
        if self._order.subscription is None:
            self._journal.begin(self._stripe.now(MIRRORED[0]))
            self._plan()
            self._comparison.compare(self._journal.progress)
            self._require_sound_lists()
            self._look_after_events()
        else:
            self._look_at(self._order.subscription)
        self._settle()
        if isinstance(self._journal, RunJournal):
            self._journal.rewind()
        if self._order.writes and self._order.subscription is None:
            expire(self._database, self._order.payload_days, self._alive)
        if self._fault is not None:
            raise self._fault

    def _look_at(self, object_id: str) -> None:
        found = self._inspector.single(SUBSCRIPTION, object_id)
        if not any(found.counts[name] for name in ("stripe", "database", "unreadable")):
            raise UnknownId(f"neither Stripe nor the database knows {object_id}")
        self._keep(found)

    def _keep(self, found: Inspected) -> None:
        if found.waiting or (found.differences and not self._order.writes):
            self._last_found = time.monotonic()
        progress = self._journal.progress
        progress.drift += 0 if found.again else found.differences
        progress.stripe_requests = self._stripe.requests
        self._journal.keep(found)
        note(found)
        self._tell()

    def _plan(self) -> None:
        """Note how many rows there are to compare, None where only Stripe knows.

        A run that goes on from another counts on from what that one planned.
        """
        planned = self._journal.progress.planned
        for mirrored in MIRRORED:
            if mirrored.name not in planned:
                planned[mirrored.name] = self._rows(mirrored) or None

    def _rows(self, mirrored: MirroredObject) -> int:
        return self._database.read(lambda c: mirror_rows.number(c, mirrored))

    def _enter_phase(self, phase: str) -> None:
        """Say what the run is at from here on; the next write of the run keeps it."""
        self._journal.progress.phase = phase
        if phase != COMPARING:
            self._display.phase(phase)

    def _tell(self) -> None:
        """Show how far the run is."""
        progress = self._journal.progress
        for name, planned in progress.planned.items():
            self._display.plan(name, planned)
            self._display.moved(
                name, progress.compared(name), progress.drift, self._stripe.requests
            )

    def _settle(self) -> None:
        """Let events in flight arrive, look again, and repair what is left if it may be."""
        self._enter_phase("second look")
        self._await_grace()
        second = SecondLook(self._database, self._inspector, self._journal, self._order.access)
        plan = Plan(self._journal.progress.counts, self._order.limit)
        second.look(plan, self._alive)
        if not isinstance(self._journal, RunJournal):
            try:
                plan.check()
            except RepairRefused as error:
                self.would_be_refused = str(error)
            return
        plan.check()
        self._enter_phase("repairs")
        repair(self._journal, second, plan, self._alive)
        self._deliveries.settle()

    def _require_sound_lists(self) -> None:
        """Raise ListingBroken where a list left out what it should have named."""
        counts = self._journal.progress.counts.values()
        if left_out := sum(count.get("left_out", 0) for count in counts):
            raise ListingBroken(left_out)

    def _look_after_events(self) -> None:
        """Try the failed events again, and enter the events that never arrived.

        It comes before the repairs, so that whatever it finds passes the same gate. Events younger
        than the grace time may still be on their way. What fails on its first try waits for the
        next night: once more at once would only use up an attempt.
        """
        self._enter_phase("events")
        if self._order.writes:
            self._deliveries.replay()
        listed = self._look_ahead()
        try:
            self.events = self._deliveries.missed(listed)
        except StripeError as error:
            # What was compared can be repaired all the same.
            self._fault = error

    def _look_ahead(self) -> Ahead[Look]:
        """Begin to ask for the event list, where that has not begun.

        It is another endpoint of Stripe's, with a limit of its own: while the last windows are
        under way it costs no time.
        """
        if self._ahead is None:
            until = self._stripe.now(MIRRORED[0]) - self._order.grace
            self._ahead = Ahead(self._deliveries.look(until), _EVENT_PAGES)
        return self._ahead

    def _alive(self) -> None:
        """Between two steps: stop where there is no time left, or the lease is lost."""
        phase = self._journal.progress.phase or COMPARING
        self._time.require(f"every window, but within the phase {phase!r}")
        self._display.phase(phase)
        self._require_lease()

    def _look_after_windows(self) -> None:
        self._tell()
        self._require_lease()
        self._require_time_for_windows()

    def _require_time_for_windows(self) -> None:
        self._time.require(self._comparison.how_far())

    def _require_lease(self) -> None:
        """Raise LeaseLost where another run was seen to have taken it."""
        self._journal.progress.stripe_requests = self._stripe.requests
        if isinstance(self._journal, RunJournal):
            self._journal.alive()

    def _await_grace(self) -> None:
        """Wait until the youngest difference is older than the grace time."""
        until = self._last_found + self._order.grace
        while self._last_found and (left := until - time.monotonic()) > 0:
            self._time.require("every window, but not the second look")
            self._require_lease()
            self._time.wait(min(left, _PULSE))
