"""One run, from lease to outcome."""

from __future__ import annotations

import threading
import time
import uuid

from reconcile.file_journal import FileJournal
from reconcile.identity import require_same_account
from reconcile.journal import Journal
from reconcile.lease import hold
from reconcile.missed import Events
from reconcile.order import Order
from reconcile.patient import PatientDatabase
from reconcile.progress import Display
from reconcile.report.model import Report, RunFacts, RunOutcome
from reconcile.run_journal import RunJournal
from reconcile.stages import Stages
from reconcile.time_left import TimeLeft
from shared.database import Database
from shared.errors import (
    DeadlineReached,
    Interrupted,
    LeaseLost,
    ListingBroken,
    RepairRefused,
    SubscriptionSyncError,
)
from shared.migrate import require_current
from shared.repository import ledger, runs
from shared.repository.account import Account
from shared.stripe_api import StripeApi

_MOST_FAILED = 100
"""Failed events that the report names; it counts them all."""


class Run:
    """One run of reconcile."""

    def __init__(
        self,
        database: Database,
        stripe: StripeApi,
        order: Order,
        stop: threading.Event,
        display: Display,
    ) -> None:
        """`stop` is set by SIGTERM; `display` is told how far it is."""
        self._time = TimeLeft(stop, order.deadline)
        self._database = PatientDatabase(database, self._time)
        self._stripe = stripe
        self._order = order
        self._display = display

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
        with hold(self._database, run_id, scope, self._order.lease_seconds) as lease:
            started = lease.started
            run_journal = RunJournal(self._database, lease, self._order.access)
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
        stages = Stages(
            self._database, self._stripe, self._order, self._time, journal, account, self._display
        )
        outcome, reason = self._attempt(stages, journal)
        failed: tuple[int, list[ledger.Failed]] = (0, [])
        self._database.say_last_words()
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
            tallies=journal.tallies,
            close=journal.close,
            events=stages.events,
            failed=failed[0],
            failures=failed[1],
        )

    def _attempt(self, stages: Stages, journal: Journal) -> tuple[RunOutcome, str | None]:
        """Go through all of it and say how it ended."""
        try:
            stages.go_through()
        except (DeadlineReached, Interrupted) as error:
            return RunOutcome.INCOMPLETE, str(error)
        except (RepairRefused, ListingBroken) as error:
            return _refused(error, journal)
        except LeaseLost as error:
            return RunOutcome.FAILED, f"{type(error).__name__}: {error}"
        except SubscriptionSyncError as error:
            reason = f"{type(error).__name__}: {error}"
            if self._time.is_over:
                reason = f"the deadline came; the next run goes on from there ({reason})"
                return RunOutcome.INCOMPLETE, reason
            return RunOutcome.FAILED, reason
        return _judge(journal, stages.events)


def _refused(error: SubscriptionSyncError, journal: Journal) -> tuple[RunOutcome, str]:
    """Note that nothing that waited is written."""
    try:
        if isinstance(journal, RunJournal):
            journal.refuse()
    except SubscriptionSyncError as fault:
        return RunOutcome.FAILED, f"{type(fault).__name__}: {fault}"
    return RunOutcome.REFUSED, str(error)


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
