"""The report for people at a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from math import floor
from typing import IO, Any

from reconcile.drift import OBJECTS
from reconcile.report.model import Report, Totals
from reconcile.report.verdict import is_fill, verdict
from shared.columns import Type
from shared.repository.drifts import DriftRow
from shared.wording import counted

_MOST_ROWS = 25
_MOST_FIELDS = 12

_WITHOUT_DECIMALS = frozenset(
    [
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    ]
)
_THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])

_MEANING = {
    "leak": "let in, though Stripe does not",
    "lockout": "locked out, though Stripe lets them in",
    "money": "amounts or billing dates differ",
    "cosmetic": "nothing that decides access or money",
}
_KIND = {
    "missing_in_database": "missing in the database",
    "missing_in_stripe": "missing in Stripe",
    "differs": "differs",
}


def write(report: Report, totals: Totals, stream: IO[str]) -> None:
    """Write the report; with very many differences it shows the first and says so."""
    run = report.run
    mode = "live" if run.livemode else "test"
    stream.write(
        f"subscription-sync {run.mode}  {_time(run.started_at)}"
        f"  account {run.account or '(unknown)'} ({mode})\n\n"
    )
    stream.write(
        f"{'':<14}{'Stripe':>10}{'database':>10}{'in sync':>10}{'in flight':>11}{'drift':>8}"
    )
    stream.write(f"{'repaired':>10}\n" if run.mode == "repair" else "\n")
    for name, counts in totals.by_object.items():
        stream.write(
            f"{name + 's':<14}{counts['stripe']:>10,}{counts['database']:>10,}"
            f"{counts['in_sync']:>10,}{counts['in_flight']:>11,}{counts['drift']:>8,}"
        )
        stream.write(f"{counts['repaired']:>10,}\n" if run.mode == "repair" else "\n")
    stream.write("\n")
    if is_fill(report, totals):
        stream.write("nothing was locked out: the database was empty, so every row was missing\n")
    else:
        _write_consequences(report, totals, stream)
    _write_events(report, stream)
    stream.write(f"\n{_spent(report, totals)}\n{verdict(report, totals)}\n")


def _write_consequences(report: Report, totals: Totals, stream: IO[str]) -> None:
    for name, meaning in _MEANING.items():
        count = totals.by_consequence.get(name, 0)
        if count:
            amount = _amounts(totals.monthly_amount.get(name, {}))
            stream.write(f"{name:<9}{count:>7,}  {meaning}{amount}\n")
    for name, count in totals.listed.items():
        _write_rows(report, name, count, stream)


def _write_events(report: Report, stream: IO[str]) -> None:
    events = report.events
    if events.listed is not None:
        entered = ", now entered" if report.run.mode == "repair" and events.missed else ""
        stream.write(
            f"\nevents: Stripe lists {events.listed:,}, {events.missed:,} never arrived{entered}\n"
        )
        if events.refused:
            stream.write(
                f"    {events.refused:,} of these can never be applied: no event, or of another"
                " account; the log tells which\n"
            )
        for title, counts in (("type", events.by_type), ("day", events.by_day)):
            for name, count in sorted(counts.items())[:_MOST_ROWS]:
                stream.write(f"    {title} {name}: {count:,}\n")
    if report.failed:
        what = counted(report.failed, "event")
        stream.write(f"\n{what} could not be applied so far:\n")
        for failed in report.failures[:_MOST_ROWS]:
            stream.write(
                f"    {failed.event_id}  {failed.type}, received {_time(failed.received_at)}\n"
                f"        attempt {failed.attempts}: {failed.error}\n"
            )
        them = "it" if report.failed == 1 else "them"
        stream.write(f"    `reconcile --replay` tries {them} again\n")


def _write_rows(report: Report, consequence: str, count: int, stream: IO[str]) -> None:
    for row in islice(report.drift(consequence), min(count, _MOST_ROWS)):
        stream.write(
            f"\n{row.consequence.upper()}  {row.object} {row.object_id}"
            f"  {_KIND[row.kind]}{_amounts(row.monthly_amount)}  [{row.action}]\n"
        )
        if row.kind == "missing_in_database":
            shown = {name: row.fields[name] for name in ("status",) if name in row.fields}
        else:
            shown = row.fields
        for name, (here, there) in list(shown.items())[:_MOST_FIELDS]:
            stream.write(f"    {name}: {_value(row, name, here)} -> {_value(row, name, there)}\n")
        if len(shown) > _MOST_FIELDS:
            more = counted(len(shown) - _MOST_FIELDS, "field")
            stream.write(f"    and {more} more\n")
    if count > _MOST_ROWS:
        left = count - _MOST_ROWS
        stream.write(f"\nand {left:,} {consequence} more: --format json lists them all\n")


def _spent(report: Report, totals: Totals) -> str:
    run = report.run
    requests = counted(totals.stripe_requests, "request")
    spent = f"{requests} to Stripe, {run.finished_at - run.started_at} s; run {run.id}"
    if run.compared_since is not None:
        spent += f"; part of it was compared by an earlier run, since {_time(run.compared_since)}"
    return spent


def _amounts(amounts: dict[str, int]) -> str:
    if not amounts:
        return ""
    return ", " + ", ".join(f"{money(value, name)} a month" for name, value in amounts.items())


def money(minor: int, currency: str) -> str:
    """Show minor units as people write the amount (docs.stripe.com/currencies)."""
    decimals = 0 if currency in _WITHOUT_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    return f"{Decimal(minor).scaleb(-decimals):,.{decimals}f} {currency.upper()}"


def _value(row: DriftRow, name: str, value: Any) -> str:
    """Show a value; times, which are epoch seconds, as dates."""
    if isinstance(value, int) and not isinstance(value, bool) and _is_time(row, name):
        return _time(value)
    if isinstance(value, str) and _is_time(row, name):
        return _fraction(value)
    if isinstance(value, dict) and name.startswith("items.") and name.count(".") == 1:
        return _item(value)
    if isinstance(value, str):
        return _harmless(value)
    return _harmless(json.dumps(value, ensure_ascii=False))


def _harmless(text: str) -> str:
    """Return text that a customer may have chosen so that it cannot steer a terminal."""
    return text if text.isprintable() else json.dumps(text)


def _item(item: dict[str, Any]) -> str:
    """Show a whole item in short: what it is, how many, at what price."""
    quantity = item.get("quantity")
    amount = item.get("unit_amount_decimal", "metered or tiered")
    every = f"{item.get('interval_count', 1)} {item.get('interval', '?')}"
    count = f"{quantity} x " if quantity is not None else ""
    return f"{count}{item['price_id']} at {amount} {item['currency']} every {every}"


def _is_time(row: DriftRow, name: str) -> bool:
    mirrored = OBJECTS[row.object]
    columns = list(mirrored.columns)
    if name.startswith("items.") and mirrored.items is not None:
        columns, name = list(mirrored.items.columns), name.rsplit(".", 1)[1]
    times = {column.name for column in columns if column.type is Type.TIMESTAMP}
    return name in times or name == "missing_in_stripe_since"


def _fraction(seconds: str) -> str:
    """Show a time that is not of whole seconds, which only somebody else can have written."""
    whole = floor(Decimal(seconds))
    date, utc, _ = _time(whole).partition(" UTC")
    fraction = f"{Decimal(seconds) - whole:f}".lstrip("0")
    return f"{date}{fraction}{utc}" if utc else seconds


def _time(epoch: int | None) -> str:
    if epoch is None:
        return "-"
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(epoch)  # beyond the year 9999
