"""One run, from lease to outcome."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass

from reconcile.file_journal import FileJournal
from reconcile.gate import Limit
from reconcile.identity import require_same_account
from reconcile.inspection import Inspected, Inspector
from reconcile.journal import Journal
from reconcile.lease import hold
from reconcile.missed import Deliveries, Events
from reconcile.repair import Second, check, repair
from reconcile.report.model import Report, RunFacts, RunOutcome
from reconcile.run_journal import RunJournal
from reconcile.time_left import TimeLeft
from reconcile.windows import Window, plan
from shared import log
from shared.database import Database
from shared.errors import (
    DeadlineReached,
    Interrupted,
    LeaseLost,
    ListingBroken,
    RepairRefused,
    SubscriptionSyncError,
    UnknownId,
)
from shared.migrate import require_current
from shared.mirror import Mirror
from shared.mirrored import MirroredObject
from shared.objects import MIRRORED, SUBSCRIPTION
from shared.repository import ledger, mirror_rows, runs
from shared.repository.account import Account
from shared.stripe_api import StripeApi

_log = logging.getLogger(__name__)

_MOST_FAILED = 100
"""Failed events that the report names; it counts them all."""


_TOMORROW = 86_400
"""Rows of the next day are left to the next run: they are the webhook's work of tonight."""

WINDOW_ROWS = 1000
"""Rows of the database a window is planned for: ten pages."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a run is asked to do. `deadline` on time.monotonic(), None for none; seconds else."""

    writes: bool
    subscription: str | None
    limit: Limit
    grace: int
    deadline: float | None
    lease_seconds: int
    payload_days: int
    access: frozenset[str]


class Run:
    """One run of reconcile."""

    def __init__(
        self, database: Database, stripe: StripeApi, order: Order, stop: threading.Event
    ) -> None:
        """`stop` is set by SIGTERM."""
        self._database = database
        self._stripe = stripe
        self._order = order
        self._time = TimeLeft(stop, order.deadline)
        self._last_found = 0.0
        self._events = Events()
        mirror = Mirror(database, stripe, source="reconcile")
        self._deliveries = Deliveries(
            database, stripe, mirror, self._alive, deadline=order.deadline
        )
        self._journal: RunJournal | None = None
        self._extend_at = 0.0
        self._inspector = Inspector(
            database, stripe, grace=order.grace, access=order.access, still=self._keep_lease
        )

    def execute(self) -> Report:
        """Compare, repair where that is ordered, and return the report.

        What stops a run half-way is in the report's outcome and reason; raised is only what keeps
        it from beginning: LeaseHeld, WrongAccount, SchemaMismatch, DatabaseUnavailable,
        StripeRefused, StripeUnavailable.
        """
        self._database.read(require_current)
        account = require_same_account(self._database, self._stripe, claim=self._order.writes)
        run_id = str(uuid.uuid4())
        if not self._order.writes:
            journal = FileJournal(self._order.access)
            return self._carry_out(run_id, account, journal, int(time.time()))
        scope = self._order.subscription or runs.EVERYTHING
        with hold(self._database, run_id, scope, self._order.lease_seconds) as started:
            run_journal = RunJournal(
                self._database, started, self._order.access, self._order.lease_seconds
            )
            self._journal = run_journal
            since = started.since if started.resumes else None
            return self._carry_out(run_id, account, run_journal, started.started_at, since)

    def _carry_out(
        self,
        run_id: str,
        account: Account,
        journal: Journal,
        started_at: int,
        compared_since: int | None = None,
    ) -> Report:
        outcome, reason = self._attempt(journal)
        failed: tuple[int, list[ledger.Failed]] = (0, [])
        try:
            if isinstance(journal, RunJournal):
                journal.finish(outcome)
            failed = self._database.read(lambda connection: ledger.failed(connection, _MOST_FAILED))
        except SubscriptionSyncError as error:
            outcome, reason = RunOutcome.FAILED, reason or str(error)
        facts = RunFacts(
            id=run_id,
            mode="repair" if self._order.writes else "report",
            started_at=started_at,
            finished_at=int(time.time()),
            account=account.id,
            livemode=account.livemode,
            outcome=outcome,
            reason=reason,
            compared_since=compared_since,
        )
        return Report(
            run=facts,
            counts=journal.progress.counts,
            stripe_requests=self._stripe.requests,
            drift=journal.all,
            close=journal.close,
            events=self._events,
            failed=failed[0],
            failures=failed[1],
        )

    def _attempt(self, journal: Journal) -> tuple[RunOutcome, str | None]:
        """Go through all of it and say how it ended."""
        try:
            self._compare(journal)
            self._settle(journal)
            if self._journal is not None:
                self._journal.rewind()
            if self._order.subscription is None:
                self._look_after_events()
        except (DeadlineReached, Interrupted) as error:
            return RunOutcome.INCOMPLETE, str(error)
        except (RepairRefused, ListingBroken) as error:
            return self._refused(error)
        except LeaseLost as error:
            return RunOutcome.FAILED, f"{type(error).__name__}: {error}"
        except SubscriptionSyncError as error:
            reason = f"{type(error).__name__}: {error}"
            if self._time.is_over:
                reason = f"the deadline came; the next run goes on from there ({reason})"
                return RunOutcome.INCOMPLETE, reason
            return RunOutcome.FAILED, reason
        return _judge(journal, self._events)

    def _compare(self, journal: Journal) -> None:
        """Compare every window, oldest first; the cursor stands behind each that is done."""
        if self._order.subscription is not None:
            found = self._inspector.single(SUBSCRIPTION, self._order.subscription)
            if not any(found.counts[name] for name in ("stripe", "database", "unreadable")):
                raise UnknownId(f"neither Stripe nor the database knows {self._order.subscription}")
            self._keep(journal, found)
            return
        for mirrored in MIRRORED:
            end = self._stripe.now(mirrored)
            windows = self._windows(mirrored, journal, end)
            planned = len(windows)
            while windows:
                self._time.require(f"{planned - len(windows)} of {planned} {mirrored.name} windows")
                window = windows.pop(0)
                found = self._inspector.window(mirrored, window)
                self._keep(journal, found)
                if found.window.gte > window.gte:
                    windows.insert(0, Window(window.gte, found.window.gte))
                    planned += 1
            self._compare_beyond(mirrored, journal, end + _TOMORROW)

    def _compare_beyond(self, mirrored: MirroredObject, journal: Journal, end: int) -> None:
        """Ask for each row that claims a `created` in which no window looks, tonight or tomorrow.

        Test clocks run ahead, and a forged event may claim anything: such a row would never be
        compared with Stripe.
        """
        ids = self._database.read(
            lambda connection: mirror_rows.beyond_ids(connection, mirrored, end)
        )
        for object_id in ids:
            self._time.require(f"every {mirrored.name} window, but not rows from beyond")
            looked_at = Window(0, end - _TOMORROW)
            self._keep(journal, self._inspector.single(mirrored, object_id, looked_at))

    def _windows(self, mirrored: MirroredObject, journal: Journal, end: int) -> list[Window]:
        cuts = self._database.read(
            lambda connection: mirror_rows.boundaries(connection, mirrored, WINDOW_ROWS)
        )
        return plan(end, cuts, journal.progress.done.get(mirrored.name, []))

    def _keep(self, journal: Journal, found: Inspected) -> None:
        if found.waiting or (found.missing and not self._order.writes):
            self._last_found = time.monotonic()
        journal.keep(found)
        log.event(
            _log,
            "window.compared",
            level=logging.DEBUG,
            object=found.mirrored.name,
            gte=found.window.gte,
            lt=found.window.lt,
            counts=dict(found.counts),
        )

    def _settle(self, journal: Journal) -> None:
        """Let events in flight arrive, look again, and repair what is left if it may be."""
        self._await_grace(journal)
        second = Second(self._database, self._inspector, journal, self._order.access)
        plan = second.look()
        counts = journal.progress.counts
        left_out = sum(count.get("left_out", 0) for count in counts.values())
        if left_out:
            raise ListingBroken(left_out)
        if not isinstance(journal, RunJournal):
            return
        if self._order.subscription is None:
            check(plan, counts, self._order.limit)
        repair(journal, second, lambda: self._time.require("every window, but not every repair"))

    def _refused(self, error: SubscriptionSyncError) -> tuple[RunOutcome, str]:
        """Note that nothing that waited is written."""
        try:
            if self._journal is not None:
                self._journal.refuse()
        except SubscriptionSyncError as fault:
            return RunOutcome.FAILED, f"{type(fault).__name__}: {fault}"
        return RunOutcome.REFUSED, str(error)

    def _look_after_events(self) -> None:
        """Try the failed events again, drop old payloads, enter the events that never arrived.

        It comes last, so that the report shows what the lost events had left behind. Events
        younger than the grace time may still be on their way. What fails on its first try waits
        for the next night: once more at once would only use up an attempt.
        """
        if self._order.writes:
            self._deliveries.replay(by_hand=False)
            self._deliveries.expire(self._order.payload_days)
        until = self._stripe.now(SUBSCRIPTION) - self._order.grace
        seen = self._journal.note_events_until if self._journal is not None else _nobody
        self._events = self._deliveries.missed(until=until, apply=self._order.writes, seen=seen)

    def _alive(self) -> None:
        """Between two steps: stop where there is no time left, and keep the lease."""
        self._time.require("every window and repair, but not every event")
        self._keep_lease()

    def _keep_lease(self) -> None:
        """Extend the lease when a quarter of it has passed. Raises LeaseLost."""
        if self._journal is not None and time.monotonic() >= self._extend_at:
            self._journal.alive()
            self._extend_at = time.monotonic() + self._order.lease_seconds / 4

    def _await_grace(self, journal: Journal) -> None:
        """Wait until the youngest difference is older than the grace time, the lease kept."""
        until = self._last_found + self._order.grace
        while self._last_found and (left := until - time.monotonic()) > 0:
            self._time.require("every window, but not the second look")
            if isinstance(journal, RunJournal):
                journal.alive()
            self._time.wait(min(left, self._order.lease_seconds / 4))


def _nobody(_: int) -> None:
    """Remember nothing: a report writes nothing."""


def _judge(journal: Journal, events: Events) -> tuple[RunOutcome, str | None]:
    """A run that went through has failed all the same where it could not read or write a row."""
    if events.left:
        return RunOutcome.FAILED, f"{events.left} events could not be entered; the log names each"
    for what in ("unreadable", "unwritable"):
        count = sum(counts.get(what, 0) for counts in journal.progress.counts.values())
        if count:
            verb = "read" if what == "unreadable" else "written"
            return RunOutcome.FAILED, f"{count} objects could not be {verb}; the log names each"
    return RunOutcome.SUCCESS, None
