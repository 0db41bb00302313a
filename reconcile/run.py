"""One run, from lease to outcome."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from reconcile.account_check import require_same_account
from reconcile.connections import BY_HAND, PATIENCE, RetryingDatabase
from reconcile.deadline import Deadline, Watch
from reconcile.deliveries.events import Events
from reconcile.journal.in_database import DatabaseJournal
from reconcile.journal.in_file import FileJournal
from reconcile.journal.journal import Journal
from reconcile.journal.lease import hold
from reconcile.progress import Display
from reconcile.report.ending import Ended, Mode, Why, exit_status, reason
from reconcile.report.model import Conditions, Report, RunFacts, RunOutcome, Totals, totals
from reconcile.report.names import customers, with_plans
from reconcile.stages import Options, Stages
from shared.database.migrations import require_current
from shared.database.pool import Database
from shared.errors import (
    DeadlineReached,
    Interrupted,
    LeaseLost,
    ListingBroken,
    RepairRefused,
    SubscriptionSyncError,
    UnknownId,
)
from shared.objects.catalogue import BY_NAME
from shared.repository import compared, ledger, runs
from shared.repository.account import Account
from shared.repository.drifts import Tally
from shared.repository.progress import Progress
from shared.stripe.api import StripeApi
from shared.version import version
from shared.wording import counted, error_text

_MOST_FAILED = 100
"""Failed events that the report names; it counts them all."""


class Run:
    """One run of reconcile."""

    def __init__(
        self,
        database: Database,
        stripe: StripeApi,
        options: Options,
        stop: threading.Event,
        display: Display,
    ) -> None:
        """`stop` is set by SIGTERM; `display` is told how far it is."""
        self._deadline = Deadline(stop, options.deadline)
        self._database = RetryingDatabase(
            database, self._deadline, patience=PATIENCE if options.writes else BY_HAND
        )
        self._stripe = stripe
        self._options = options
        self._display = display
        self._events = Events()
        self._would_be_refused: str | None = None
        self._held_back: tuple[str, ...] = ()

    def execute(self) -> Report:
        """Carry out the run, from its lease to its outcome, and return the report.

        1. Make sure that schema, database and key are the right ones.
        2. Take the lease, and go on from a run that was stopped. A report goes the same way with a
           journal that writes nothing.
        3. Go through the stages, as far as they go.
        4. Add up what was found, say how the run ended, and give the lease back.

        What stops a run half-way is in the report's outcome and reason; raised is only what keeps
        it from beginning: LeaseHeld, WrongAccount, SchemaMismatch, DatabaseUnavailable,
        StripeRefused, StripeUnavailable.
        """
        self._database.read(require_current)
        account = require_same_account(self._database, self._stripe, claim=self._options.writes)
        with self._journal() as journal:
            ended = self._attempt(journal, account)
            return self._concluded(journal, account, ended)

    def _go_through(self, stages: Stages) -> None:
        """Go through the stages of a run; raises what stops it half-way.

        1. Remember that it begins: an event from before then replaces no row any more.
        2. Compare every window: what is missing goes in, what differs waits.
        3. Try failed events again, and look through Stripe's event list; look at each object of
           which an event tells what the comparison may not know. It comes before the repairs, so
           that whatever it finds passes the same gate.
        4. Let events in flight arrive: what they bring is no drift.
        5. Look again at all that waits. What stands is the plan.
        6. Hold the whole plan against the limit.
        7. Repair, but for objects that exceed it and decide no access.
        8. Where very many objects that decide no access are to be looked at for their events, do
           so now, and go through 4 to 7 with them: none of their kind was repaired before. A run
           that is stopped within that is not gone on from.
        9. Let the next run begin anew.

        A run over one subscription looks at that one instead of 1 to 3. A report says at 6 what a
        run would meet, and leaves out 7 and 8.
        """
        if self._options.subscription is None:
            stages.begin()
            stages.compare()
            self._events = stages.look_after_events()
        else:
            stages.look_at(self._options.subscription)
        stages.await_grace()
        plan = stages.look_again()
        if self._options.writes:
            self._held_back = stages.repair(plan, plan.check())
            if stages.look_after_put_off_events(self._events):
                stages.await_grace()
                plan = stages.look_again()
                self._held_back += stages.repair(plan, plan.check())
        else:
            self._would_be_refused = plan.refusal()
        stages.finish()

    @contextmanager
    def _journal(self) -> Iterator[Journal]:
        """Open the journal: in the database under the lease, for a report in a file.

        Raises LeaseHeld.
        """
        options = self._options
        if not options.writes:
            new = self._database.read(lambda c: compared.still_new(c, runs.EVERYTHING))
            yield FileJournal(options.access, partial(customers, self._database), new)
            return
        scope = options.subscription or runs.EVERYTHING
        asked = runs.Asked(version(), options.flags)
        run_id = str(uuid.uuid4())
        with hold(self._database, run_id, scope, options.lease_seconds, asked) as lease:
            yield DatabaseJournal(self._database, lease, options.access)

    def _attempt(self, journal: Journal, account: Account) -> Ended:
        """Go through the stages, and say how it ended."""
        watch = Watch(self._deadline, journal, self._stripe, self._display)
        stages = Stages(self._database, self._stripe, self._options, journal, watch, account)
        try:
            self._go_through(stages)
        except (DeadlineReached, Interrupted) as error:
            is_late = isinstance(error, DeadlineReached)
            return Ended(Why.DEADLINE if is_late else Why.SIGNAL, str(error))
        except (RepairRefused, ListingBroken) as error:
            return _refused(error, journal)
        except LeaseLost as error:
            return Ended(Why.LEASE_LOST, error_text(error))
        except SubscriptionSyncError as error:
            if self._deadline.is_over:
                return Ended(Why.DEADLINE, f"the deadline came ({error_text(error)})")
            is_unknown = isinstance(error, UnknownId)
            return Ended(Why.UNKNOWN if is_unknown else Why.FAULT, error_text(error))
        finally:
            stages.close()
        return _judge(journal, self._events, self._held_back)

    def _concluded(self, journal: Journal, account: Account, ended: Ended) -> Report:
        """Add up what was found, keep how the run ended, give the lease back, return the report.

        Where the database cannot say or keep it any more the run has failed; the report is told all
        the same.
        """
        self._database.say_last_words()
        failed: tuple[int, list[ledger.Failed]] = (0, [])
        is_gone_on_from: bool | None = None
        tallies: list[Tally] | None = None
        try:
            failed = self._database.read(lambda connection: ledger.failed(connection, _MOST_FAILED))
            tallies = journal.tallies()
            is_gone_on_from = journal.is_gone_on_from()
        except SubscriptionSyncError as error:
            ended = _also(ended, error)
        report = self._report(journal, account, failed)
        sums: Totals | None = None
        if tallies is not None:
            counted = tallies
            report = msgspec.structs.replace(report, tallies=lambda: counted)
            sums = totals(report)
        said = self._said(report, ended, sums, is_gone_on_from)
        try:
            kept = sums.kept if sums else None
            journal.finish(runs.Ending(said.outcome, said.reason, kept, said.exit_status))
        except SubscriptionSyncError as error:
            said = self._said(report, _also(ended, error), sums, is_gone_on_from)
        return msgspec.structs.replace(report, run=said)

    def _report(
        self, journal: Journal, account: Account, failed: tuple[int, list[ledger.Failed]]
    ) -> Report:
        """Return the report, but for how the run ended."""
        progress, begun = journal.progress, journal.begun
        return Report(
            run=RunFacts(
                id=begun.id,
                attempt=begun.attempt,
                mode="repair" if self._options.writes else "report",
                started_at=begun.started_at,
                # Two clocks: the database's, where the run is kept, and this machine's.
                finished_at=max(int(time.time()), begun.started_at),
                compared_since=begun.compared_since,
                account=account.id,
                livemode=account.livemode,
                outcome=RunOutcome.FAILED,
                reason=None,
                would_be_refused=self._would_be_refused,
                is_first_fill=_is_first_fill(progress),
                first_filled=_first_filled(progress),
                not_compared=tuple(sorted(progress.forbidden)),
                subscription=self._options.subscription,
            ),
            counts={name: progress.counts[name] for name in BY_NAME if name in progress.counts},
            stripe_requests=self._stripe.requests,
            drift=with_plans(self._database, journal.all),
            tallies=journal.tallies,
            close=journal.close,
            events=self._events,
            failed=failed[0],
            failures=failed[1],
            conditions=Conditions(
                version=version(),
                flags=self._options.flags,
                grace_seconds=self._options.grace,
                access_statuses=tuple(sorted(self._options.access)),
            ),
        )

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
                0 if sums is None else sums.drifted,
                report.events.webhook_missed,
                is_strict=self._options.is_strict,
            ),
        )

    @property
    def _mode(self) -> Mode:
        if not self._options.writes:
            return Mode.REPORT
        return Mode.ALL if self._options.subscription is None else Mode.ONE


def _also(ended: Ended, error: SubscriptionSyncError) -> Ended:
    """Let a run fail that could not say how it ended; what stopped it before stays its cause."""
    return Ended(Why.FAULT, ended.cause or error_text(error))


def _is_first_fill(progress: Progress) -> bool:
    """Whether the database held nothing when the comparison of everything began."""
    planned = progress.planned.values()
    return bool(planned) and not any(planned)


def _first_filled(progress: Progress) -> tuple[str, ...]:
    """Return the objects that an upgrade has added: the database held none, no run compared them.

    A table that somebody has emptied is no such object: that is to alarm. Nor is one that decides
    access.
    """
    planned = progress.planned
    return tuple(
        name
        for name, mirrored in BY_NAME.items()
        if name in planned
        and not planned[name]
        and name in progress.new
        and mirrored.access is None
    )


def _refused(error: RepairRefused | ListingBroken, journal: Journal) -> Ended:
    """Note that nothing that waited is written; what a sound list told has been compared."""
    try:
        journal.refuse(BY_NAME)
        if isinstance(error, RepairRefused):
            journal.rewind()
    except SubscriptionSyncError as fault:
        return Ended(Why.FAULT, error_text(fault))
    return Ended(Why.REFUSED if isinstance(error, RepairRefused) else Why.UNSOUND, str(error))


def _judge(journal: Journal, events: Events, held_back: tuple[str, ...]) -> Ended:
    """A run that went through has failed all the same where it could not read or write a row.

    `held_back`: why objects were not repaired, without a word of which nobody would go and look.
    """
    if forbidden := journal.progress.forbidden:
        names = " and ".join(f"{name}s" for name in sorted(forbidden))
        why = "; ".join(map(str, forbidden.values()))
        return Ended(Why.FLAWED, f"{names} were not compared: {why}")
    if held_back:
        return Ended(Why.REFUSED, "; ".join(held_back))
    if events.left:
        left = counted(events.left, "event")
        return Ended(Why.FLAWED, f"{left} could not be entered; the log names {_each(events.left)}")
    counts = journal.progress.counts.values()
    for verb, count in (
        ("read", sum(each.unreadable for each in counts)),
        ("written", sum(each.unwritable for each in counts)),
    ):
        if count:
            cause = f"{counted(count, 'object')} could not be {verb}; the log names {_each(count)}"
            return Ended(Why.FLAWED, cause)
    return Ended(Why.WHOLE)


def _each(count: int) -> str:
    return "it" if count == 1 else "each"
