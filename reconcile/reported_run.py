"""A run with its report: connect, compare and repair, render, and say what it came to."""

from __future__ import annotations

import argparse
import gc
import io
import sys
from collections.abc import Mapping
from contextlib import closing, suppress

from reconcile.connections import connected
from reconcile.gate import parse
from reconcile.progress import Display
from reconcile.report import output
from reconcile.report.model import Report, Totals, totals
from reconcile.report.verdict import verdict
from reconcile.run import Run
from reconcile.stages import Options
from shared.command import FAILED, Call
from shared.database.pool import Database
from shared.errors import SubscriptionSyncError
from shared.memory import give_large_blocks_back, share_arenas
from shared.repository import runs
from shared.repository.drifts import CONSEQUENCES
from shared.settings import ReconcileSettings

_NEW_OBJECTS = 10_000
"""Objects after which the collector looks for circles among them: rows make none, and after each
700, as by default, it took 6 % of a first run."""


def run_and_report(call: Call[ReconcileSettings]) -> int:
    """Compare, repair or report, render the report, and return the exit status."""
    share_arenas()
    give_large_blocks_back()
    gc.set_threshold(_NEW_OBJECTS)
    settings, arguments = call.settings, call.arguments
    seconds = _seconds(arguments, settings)
    deadline = call.began + seconds if seconds else None
    options = Options(
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
        flags=call.typed,
    )
    # None where whoever started us has closed it.
    display = Display(sys.stderr or io.StringIO(), is_bar=not settings.no_progress)
    with connected(settings, call.stop, deadline, read_only=arguments.report) as (database, stripe):
        try:
            report = Run(database, stripe, options, call.stop, display).execute()
        finally:
            display.close()
        with closing(report):
            counted = totals(report)
            try:
                output.write(report, counted, arguments.format, arguments.output)
            except BaseException:
                _note_failure(database, report)
                raise
    call.facts.update(_facts(report, counted))
    return report.run.exit_status


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


def _facts(report: Report, counted: Totals) -> Mapping[str, object]:
    """Return what the log, and the monitor, are told of a run."""
    run, events = report.run, report.events
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
        "drift": counted.drifted,
        "repaired": counted.repaired,
        **{name: counted.by_consequence.get(name, 0) for name in CONSEQUENCES},
        "webhook_missed": None if events.listed is None else events.webhook_missed,
        "webhook_expected": None if events.listed is None else events.webhook_expected,
        "failed_events": report.failed,
        "stripe_requests": counted.stripe_requests,
    }
