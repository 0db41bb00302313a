"""What a run comes to, in one line: for the report, the log and the monitor."""

from __future__ import annotations

from reconcile.deliveries.events import Events
from reconcile.report.model import Report, RunOutcome, Totals
from reconcile.report.shown import time
from shared.wording import counted, share


def verdict(report: Report, totals: Totals) -> str:
    """Return how a run ended and, where it is so, that the webhook missed events."""
    run, missed = report.run, missed_events(report.events)
    if run.outcome is not RunOutcome.SUCCESS:
        said = f"{run.outcome.upper()}: {run.reason}"
        if report.events.listed is None and run.subscription is None:
            missed = "what the webhook missed is not known"
    elif totals.is_first_fill and run.mode == "repair":
        were = "was" if totals.inserted == 1 else "were"
        filled = f"{counted(totals.inserted, 'row')} {were} inserted"
        said = f"FILLED: the database was empty, {filled}"
    elif not totals.drifted:
        said = "IN SYNC: no drift"
    elif run.mode == "report":
        said = f"DRIFT: {counted(totals.drifted, 'difference')}, nothing was written"
        if totals.is_first_fill:
            said += f"; the database is empty: a run would insert {counted(totals.missing, 'row')}"
        if run.would_be_refused:
            said += f"; a repair would be refused: {run.would_be_refused}"
    else:
        said = f"REPAIRED: {share(_repaired(totals), totals.drifted, 'difference')}"
    if totals.first_fill and run.outcome is RunOutcome.SUCCESS:
        rows = ", ".join(counted(count, name) for name, count in totals.first_fill.items())
        said += f"; first fill: {rows}" + (" missing" if run.mode == "report" else "")
    return f"{said}; {missed}" if missed else said


def _repaired(totals: Totals) -> int:
    """Return what was repaired of what had drifted."""
    filled = sum(totals.by_object[name]["repaired"] for name in totals.first_fill)
    return totals.repaired - filled


def missed_events(events: Events) -> str | None:
    """Say how many of its events the webhook missed, if it missed any."""
    if not events.webhook_missed:
        return None
    missed = share(events.webhook_missed, events.webhook_expected, "event")
    return f"the webhook missed {missed} since {time(events.webhook_since)}"
