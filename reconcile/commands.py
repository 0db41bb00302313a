"""What the command `reconcile` does once its arguments and settings are right."""

# ruff: noqa: T201 - a command speaks to a person

from __future__ import annotations

import argparse
import io
import logging
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress

from reconcile import replay as by_hand
from reconcile.account_check import require_same_account
from reconcile.deadline import TimeLeft, interruptible, unless_stopped
from reconcile.gate import parse
from reconcile.order import Order
from reconcile.patient import BY_HAND, CONNECT_SECONDS, PatientDatabase
from reconcile.progress import Display
from reconcile.report import output
from reconcile.report.ending import FAILED, OK
from reconcile.report.model import Report, Totals, totals
from reconcile.report.verdict import is_fill, verdict
from reconcile.run import Run
from shared import log
from shared.database.pool import Database
from shared.errors import Interrupted, SubscriptionSyncError
from shared.memory import share_arenas
from shared.migrate import require_current
from shared.mirror import Mirror, Outcome
from shared.repository import ledger, runs
from shared.repository.drifts import CONSEQUENCES
from shared.settings import ReconcileSettings
from shared.stripe.api import StripeApi
from shared.stripe.http import RUN_PATIENCE, StripeHttp
from shared.stripe.rate_limit import RateLimit

_log = logging.getLogger("reconcile")


def _connect(
    arguments: argparse.Namespace,
    settings: ReconcileSettings,
    stop: threading.Event,
    deadline: float | None,
) -> tuple[Database, StripeHttp, StripeApi]:
    """Prepare both sides; nothing is sent yet."""
    database = Database(
        settings.database_url.reveal(),
        application_name="subscription-sync reconcile",
        read_only=arguments.report,
        connect_seconds=CONNECT_SECONDS,
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
        pause=interruptible(stop),
        still=unless_stopped(stop),
        proxy=settings.proxy_to(settings.stripe_api_base),
    )
    return database, http, StripeApi(http, livemode=settings.livemode)


Finished = tuple[int, Mapping[str, object]]
"""The exit status of a command, and what its log says of it."""


def run(
    arguments: argparse.Namespace,
    settings: ReconcileSettings,
    stop: threading.Event,
    flags: Sequence[str],
) -> Finished:
    """Compare, repair or report, render the report, and return the exit status and a summary.

    `flags`: the arguments as they were typed.
    """
    share_arenas()
    began = time.monotonic()
    seconds = _seconds(arguments, settings)
    deadline = began + seconds if seconds else None
    database, http, stripe = _connect(arguments, settings, stop, deadline)
    order = Order(
        writes=not arguments.report,
        every_field=arguments.every_field,
        subscription=arguments.subscription,
        limit=parse(settings.max_repairs),
        grace=settings.grace_seconds,
        deadline=deadline,
        lease_seconds=settings.lease_seconds,
        payload_days=settings.event_payload_days,
        access=settings.access_statuses,
        is_strict=arguments.exit_code,
        flags=tuple(flags),
    )
    # None where whoever started us has closed it.
    display = Display(sys.stderr or io.StringIO(), is_bar=not settings.no_progress)
    try:
        report = Run(database, stripe, order, stop, display).execute()
        display.close()
        with closing(report):
            counted = totals(report)
            try:
                output.write(report, counted, arguments.format, arguments.output)
            except BaseException:
                _note_failure(database, report)
                raise
    finally:
        display.close()
        database.close()
        http.close()
    summary = _summary(report, counted, time.monotonic() - began)
    status = report.run.exit_status
    log.event(
        _log,
        "run.finished",
        level=logging.ERROR if status == FAILED else logging.INFO,
        error=None,
        **summary,
    )
    return status, summary


def _seconds(arguments: argparse.Namespace, settings: ReconcileSettings) -> int:
    """Return the deadline in seconds, 0 for none.

    A report keeps nothing, so one that is stopped every time would never be whole: it has none but
    that of its command line.
    """
    return 0 if arguments.report and arguments.deadline is None else settings.deadline_seconds


def _note_failure(database: Database, report: Report) -> None:
    """Correct what is kept of a run whose report could not be written."""
    if report.run.attempt is not None:
        attempt = report.run.attempt
        with suppress(SubscriptionSyncError), database.connection() as connection:
            runs.note_exit_status(connection, attempt, FAILED)


def _summary(report: Report, counted: Totals, seconds: float) -> dict[str, object]:
    """Return what the log, and the monitor, are told of a run."""
    run, events = report.run, report.events
    # What an empty database lacks has locked nobody out.
    meant = {} if is_fill(report, counted) else counted.by_consequence
    return {
        "run_id": run.id,
        "attempt": run.attempt,
        "mode": run.mode,
        "outcome": run.outcome,
        "verdict": verdict(report, counted),
        "reason": run.reason,
        "stripe": counted.stripe,
        "database": counted.database,
        "in_sync": counted.in_sync,
        "in_flight": counted.in_flight,
        "drift": counted.drift,
        "repaired": counted.repaired,
        **{name: meant.get(name, 0) for name in CONSEQUENCES},
        "webhook_missed": None if events.listed is None else events.webhook_missed,
        "webhook_expected": None if events.listed is None else events.webhook_expected,
        "failed_events": report.failed,
        "stripe_requests": counted.stripe_requests,
        "seconds": round(seconds, 1),
        "exit_status": run.exit_status,
    }


def replay(
    arguments: argparse.Namespace, settings: ReconcileSettings, stop: threading.Event
) -> int:
    """Try failed events again, by hand, and say what became of each.

    Raises WrongAccount, as a run does, with nothing tried.
    """
    began = time.monotonic()
    seconds = settings.deadline_seconds if arguments.deadline is not None else 0
    deadline = began + seconds if seconds else None
    database, http, stripe = _connect(arguments, settings, stop, deadline)

    def alive() -> None:
        if stop.is_set():
            raise Interrupted("stopped by a signal; what was replayed is done")

    patient = PatientDatabase(database, TimeLeft(stop, deadline), patience=BY_HAND)
    try:
        patient.read(require_current)
        require_same_account(patient, stripe, claim=False)
        mirror = Mirror(database, stripe, source="reconcile")
        event_id = arguments.replay or None
        receipts = by_hand.replay(patient, mirror, alive, event_id)
        total, left = patient.read(lambda connection: ledger.failed(connection, 1))
        found = patient.read(lambda connection: ledger.find(connection, event_id or ""))
    finally:
        database.close()
        http.close()
    for receipt in receipts:
        reason = f": {receipt.error}" if receipt.error else ""
        print(f"{receipt.event_id}  {receipt.event_type}  {receipt.outcome}{reason}")
    if event_id is not None and not receipts:
        if found is None:
            print(f"{event_id} is not in the ledger: it never arrived")
        elif found[0] == Outcome.FAILED:
            print(f"{event_id} could not be tried now, it is failed as before; the log says why")
        else:
            print(f"{event_id} is {found[0]} already: nothing to replay")
        return OK if found is not None and found[0] != Outcome.FAILED else FAILED
    print(f"{len(receipts)} replayed, {total} still failed")
    still = [receipt for receipt in receipts if receipt.outcome is Outcome.FAILED]
    return FAILED if still or (event_id is None and left) else OK
