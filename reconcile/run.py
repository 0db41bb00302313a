"""One run, from lease to outcome."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any

import msgspec

from reconcile.account_check import require_same_account
from reconcile.deadline import TimeLeft
from reconcile.deliveries import Events
from reconcile.ending import Ended, Mode, Why, exit_status, reason
from reconcile.history import words
from reconcile.journal.drift import OBJECTS
from reconcile.journal.in_database import RunJournal
from reconcile.journal.in_file import FileJournal
from reconcile.journal.journal import Journal
from reconcile.lease import hold
from reconcile.order import Order
from reconcile.patient import BY_HAND, PATIENCE, PatientDatabase
from reconcile.progress import Display
from reconcile.report.model import Conditions, Report, RunFacts, Totals, totals
from reconcile.stages import Stages
from shared import log
from shared.database.pool import Database
from shared.errors import (
    DatabaseUnavailable,
    DeadlineReached,
    Interrupted,
    LeaseLost,
    ListingBroken,
    RepairRefused,
    SubscriptionSyncError,
    UnknownId,
)
from shared.migrate import require_current
from shared.repository import drifts, ledger, runs
from shared.repository.account import Account
from shared.stripe.api import StripeApi
from shared.version import version
from shared.wording import counted

_log = logging.getLogger(__name__)

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
        self._database = PatientDatabase(
            database, self._time, patience=PATIENCE if order.writes else BY_HAND
        )
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
            journal = FileJournal(self._order.access, self._who)
            return self._carry_out(account, journal, {"id": run_id, "started_at": int(time.time())})
        scope = self._order.subscription or runs.EVERYTHING
        asked = runs.Asked(version(), self._order.flags)
        seconds = self._order.lease_seconds
        with hold(self._database, run_id, scope, seconds, asked) as lease:
            started = lease.started
            run_journal = RunJournal(self._database, lease, self._order.access)
            begun = {
                "id": started.story,
                "started_at": started.started_at,
                "compared_since": started.since if started.resumes else None,
            }
            return self._carry_out(account, run_journal, {**begun, "attempt": run_id})

    def _carry_out(self, account: Account, journal: Journal, begun: dict[str, Any]) -> Report:
        """Go through the stages, give the lease back, and return the report.

        `begun`: what of the run's facts was known when it began.
        """
        stages = Stages(
            self._database, self._stripe, self._order, self._time, journal, account, self._display
        )
        ended = self._attempt(stages, journal)
        failed: tuple[int, list[ledger.Failed]] = (0, [])
        self._database.say_last_words()
        try:
            failed = self._database.read(lambda connection: ledger.failed(connection, _MOST_FAILED))
        except SubscriptionSyncError as error:
            ended = _also(ended, error)
        progress = journal.progress
        report = Report(
            run=RunFacts(
                mode="repair" if self._order.writes else "report",
                # Two clocks: the database's, where the run is kept, and this machine's.
                finished_at=max(int(time.time()), begun["started_at"]),
                account=account.id,
                livemode=account.livemode,
                outcome=ended.outcome,
                reason=ended.cause,
                would_be_refused=stages.would_be_refused,
                is_first_fill=_is_first_fill(progress),
                subscription=self._order.subscription,
                **begun,
            ),
            counts={name: progress.counts[name] for name in OBJECTS if name in progress.counts},
            stripe_requests=self._stripe.requests,
            drift=journal.all,
            tallies=journal.tallies,
            close=journal.close,
            events=stages.events,
            failed=failed[0],
            failures=failed[1],
            conditions=Conditions(
                version=version(),
                flags=self._order.flags,
                grace_seconds=self._order.grace,
                access_statuses=tuple(sorted(self._order.access)),
            ),
        )
        return self._settled(report, ended, journal)

    def _settled(self, report: Report, ended: Ended, journal: Journal) -> Report:
        """Return the report with its reason and exit status, which are kept with the run."""
        sums, is_gone_on_from = None, None
        try:
            tallies = journal.tallies()
            report = msgspec.structs.replace(report, tallies=lambda: tallies)
            sums = totals(report)
            if isinstance(journal, RunJournal):
                is_gone_on_from = journal.is_gone_on_from()
        except SubscriptionSyncError as error:
            ended = _also(ended, error)
        said = self._said(report, ended, sums, is_gone_on_from)
        try:
            if isinstance(journal, RunJournal):
                by_consequence = sums.kept if sums else None
                journal.finish(
                    runs.Ending(said.outcome, said.reason, by_consequence, said.exit_status)
                )
        except SubscriptionSyncError as error:
            said = self._said(report, _also(ended, error), sums, is_gone_on_from)
        return msgspec.structs.replace(report, run=said)

    def _said(
        self, report: Report, ended: Ended, sums: Totals | None, is_gone_on_from: bool | None
    ) -> RunFacts:
        """Return the run's facts with what its ending comes to."""
        return msgspec.structs.replace(
            report.run,
            outcome=ended.outcome,
            reason=reason(self._mode, ended, sums, is_gone_on_from=is_gone_on_from),
            exit_status=exit_status(
                ended.outcome,
                sums.drift if sums else 0,
                report.events.webhook_missed,
                is_strict=self._order.is_strict,
            ),
        )

    @property
    def _mode(self) -> Mode:
        if not self._order.writes:
            return Mode.REPORT
        return Mode.ALL if self._order.subscription is None else Mode.ONE

    def _who(self, ids: list[str]) -> dict[str, drifts.Customer]:
        """Return customers by id; none where the database is gone: the report is told anyway."""
        try:
            return self._database.read(lambda connection: drifts.customers(connection, ids))
        except DatabaseUnavailable as error:
            log.event(_log, "report.unnamed", level=logging.WARNING, error=str(error))
            return {}

    def _attempt(self, stages: Stages, journal: Journal) -> Ended:
        """Go through all of it and say how it ended."""
        try:
            stages.go_through()
        except (DeadlineReached, Interrupted) as error:
            is_late = isinstance(error, DeadlineReached)
            return Ended(Why.DEADLINE if is_late else Why.SIGNAL, str(error))
        except (RepairRefused, ListingBroken) as error:
            return _refused(error, journal)
        except LeaseLost as error:
            return Ended(Why.LEASE_LOST, words(error))
        except SubscriptionSyncError as error:
            if self._time.is_over:
                return Ended(Why.DEADLINE, f"the deadline came ({words(error)})")
            is_unknown = isinstance(error, UnknownId)
            return Ended(Why.UNKNOWN if is_unknown else Why.FAULT, words(error))
        return _judge(journal, stages.events)


def _also(ended: Ended, error: SubscriptionSyncError) -> Ended:
    """Let a run fail that could not say how it ended; what stopped it before stays its cause."""
    return Ended(Why.FAULT, ended.cause or words(error))


def _is_first_fill(progress: runs.Progress) -> bool:
    """Whether the database held nothing when the comparison of everything began."""
    planned = progress.planned.values()
    return bool(planned) and not any(planned)


def _refused(error: RepairRefused | ListingBroken, journal: Journal) -> Ended:
    """Note that nothing that waited is written."""
    try:
        if isinstance(journal, RunJournal):
            journal.refuse()
    except SubscriptionSyncError as fault:
        return Ended(Why.FAULT, words(fault))
    return Ended(Why.REFUSED if isinstance(error, RepairRefused) else Why.UNSOUND, str(error))


def _judge(journal: Journal, events: Events) -> Ended:
    """A run that went through has failed all the same where it could not read or write a row."""
    if events.left:
        left = counted(events.left, "event")
        return Ended(Why.FLAWED, f"{left} could not be entered; the log names {_each(events.left)}")
    for what in ("unreadable", "unwritable"):
        count = sum(counts.get(what, 0) for counts in journal.progress.counts.values())
        if count:
            verb = "read" if what == "unreadable" else "written"
            cause = f"{counted(count, 'object')} could not be {verb}; the log names {_each(count)}"
            return Ended(Why.FLAWED, cause)
    return Ended(Why.WHOLE)


def _each(count: int) -> str:
    return "it" if count == 1 else "each"
