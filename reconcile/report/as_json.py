"""The report as one JSON object, for programs. The names are a contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import IO, Any

from reconcile.report.model import Report, Totals, in_order
from reconcile.report.verdict import verdict
from shared.repository.drifts import CONSEQUENCES, DriftRow

FORMAT = 2
"""Of the object's shape. 2: `monthly_amount` is what the sides differ by."""


def write(report: Report, totals: Totals, stream: IO[str]) -> None:
    """Write the object, one difference a line, without holding the differences in memory."""
    head = {
        "format": FORMAT,
        "version": report.conditions.version,
        "flags": report.conditions.flags,
        "grace_seconds": report.conditions.grace_seconds,
        "access_statuses": report.conditions.access_statuses,
        "run": {
            "id": report.run.id,
            "attempt": report.run.attempt or report.run.id,
            "mode": report.run.mode,
            "started_at": _time(report.run.started_at),
            "finished_at": _time(report.run.finished_at),
            "account": report.run.account,
            "livemode": report.run.livemode,
            "outcome": report.run.outcome,
            "reason": report.run.reason,
            "verdict": verdict(report, totals),
            "exit_status": report.run.exit_status,
            "would_be_refused": report.run.would_be_refused,
            "first_fill": report.run.is_first_fill,
            "not_compared": report.run.not_compared,
            "compared_since": _time(report.run.compared_since or report.run.started_at),
        },
        "counts": {
            "stripe": totals.stripe,
            "database": totals.database,
            "in_sync": totals.in_sync,
            "in_flight": totals.in_flight,
            "drift": totals.drift,
            "repaired": totals.repaired,
            "stripe_requests": totals.stripe_requests,
            "by_object": totals.by_object,
        },
        "totals": {
            name: {
                "count": totals.by_consequence.get(name, 0),
                "monthly_amount": totals.monthly_amount.get(name, {}),
                "not_wholly_computed": totals.partial.get(name, 0),
            }
            for name in CONSEQUENCES
        },
    }
    stream.write("{\n")
    for name, value in head.items():
        stream.write(f" {json.dumps(name)}: {json.dumps(value)},\n")
    stream.write(' "drift": [')
    separator = "\n"
    for row in report.drift():
        stream.write(f"{separator}  {json.dumps(_drift(row))}")
        separator = ",\n"
    stream.write("\n ],\n" if separator != "\n" else "],\n")
    events = {
        "listed": report.events.listed,
        "missed": report.events.missed,
        "not_entered": report.events.left,
        "refused": report.events.refused,
        "missed_by_type": dict(sorted(report.events.by_type.items())),
        "missed_by_day": dict(sorted(report.events.by_day.items())),
        "webhook": {
            "missed": report.events.webhook_missed,
            "expected": report.events.webhook_expected,
            "since": _time(report.events.webhook_since),
        }
        if report.events.listed is not None
        else None,
        "failed": report.failed,
        "oldest_unprocessed": _time(report.failures[0].received_at if report.failures else None),
        "failures": [
            {
                "id": failed.event_id,
                "type": failed.type,
                "object_id": failed.object_id,
                "attempts": failed.attempts,
                "error": failed.error,
                "received_at": _time(failed.received_at),
            }
            for failed in report.failures
        ],
    }
    stream.write(f' "events": {json.dumps(events)}\n}}\n')


def _drift(row: DriftRow) -> dict[str, Any]:
    return {
        "object": row.object,
        "id": row.object_id,
        "kind": row.kind,
        "consequence": row.consequence,
        "customer": row.customer
        and {
            "id": row.customer.id,
            "email": row.customer.email,
            "name": row.customer.name,
        },
        "plans": row.plans,
        "fields": dict(in_order(row)),
        "monthly_amount": _sorted(row.monthly_amount),
        "monthly_before": _sorted(row.monthly_before),
        "monthly_after": _sorted(row.monthly_after),
        "not_computed": row.not_computed,
        "action": row.action,
    }


def _sorted(amounts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(amounts.items())) if len(amounts) > 1 else amounts


def _time(epoch: int | None) -> str | None:
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
