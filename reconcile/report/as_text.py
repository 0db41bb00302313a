"""The report for people at a terminal."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import IO, Any

from reconcile.report.model import MISSING, Report, Totals, in_order
from reconcile.report.shown import Printable, amounts, as_text, harmless, time, unit_amount
from reconcile.report.verdict import verdict
from shared.objects.catalogue import BY_NAME
from shared.objects.column import Type
from shared.objects.difference import named
from shared.repository.drifts import DriftRow
from shared.stripe.account import mode
from shared.wording import counted

_MOST_ROWS = 25
_MOST_FIELDS = 12

_MEANING = {
    "leak": "let in, though Stripe does not",
    "lockout": "locked out, though Stripe lets them in",
    "money": "amounts or billing dates differ",
    "cosmetic": "nothing that decides access or money",
}
_NOT_COMPUTED = {
    "metered": "usage of metered prices",
    "no_unit_amount": "tiers, or an amount that is no number",
    "contradiction": "unit_amount and unit_amount_decimal contradict each other",
    "currency_options": "a price in another currency than its subscription",
    "quantity": "no quantity",
    "transform_quantity": "an unknown transform_quantity",
    "interval": "an unknown interval",
    "usage_type": "an unknown usage_type",
    "discounts": "discounts",
    "pause_collection": "collection is paused",
    "status": "when it is billed again",
    "too_large": "an amount too large to be true",
}
_UNIT_AMOUNTS = ("unit_amount_decimal", "unit_amount")
_KIND = {
    "missing_in_database": "missing in the database",
    "missing_in_stripe": "missing in Stripe",
    "differs": "differs",
}


def write(report: Report, totals: Totals, output: IO[str]) -> None:
    """Write the report; with very many differences it shows the first and says so."""
    stream = Printable(output)
    run = report.run
    stream.write(
        f"subscription-sync {run.mode}  {time(run.started_at)}"
        f"  account {run.account or '(unknown)'} ({mode(run.livemode)})\n\n"
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
    for name in run.not_compared:
        stream.write(f"{name + 's':<14}{'not compared':>20}\n")
    stream.write("\n")
    if totals.is_first_fill:
        stream.write("nothing was locked out: the database was empty, so every row was missing\n")
    else:
        _write_consequences(report, totals, stream)
    _write_events(report, stream)
    stream.write(f"\n{_spent(report, totals)}\n{verdict(report, totals)}\n")


def _write_consequences(report: Report, totals: Totals, stream: Printable) -> None:
    for name, meaning in _MEANING.items():
        count = totals.by_consequence.get(name, 0)
        if count:
            amount = _at_stake(totals.monthly_amount.get(name, {}))
            if partial := totals.partial.get(name):
                amount += f", {partial:,} not or not wholly computed"
            stream.write(f"{name:<9}{count:>7,}  {meaning}{amount}\n")
    if any(totals.monthly_amount.values()):
        stream.write("\namounts are the prices' own, before discounts and taxes\n")
    for name in totals.listed:
        _write_rows(report, totals, name, stream)


def _write_events(report: Report, stream: Printable) -> None:
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
                stream.write(f"    {title} {harmless(name)}: {count:,}\n")
    if report.failed:
        what = counted(report.failed, "event")
        stream.write(f"\n{what} could not be applied so far:\n")
        for failed in report.failures[:_MOST_ROWS]:
            stream.write(
                f"    {harmless(failed.event_id)}  {harmless(failed.type)},"
                f" received {time(failed.received_at)}\n"
                f"        attempt {failed.attempts}: {as_text(failed.error)}\n"
            )
        them = "it" if report.failed == 1 else "them"
        stream.write(f"    `reconcile replay` tries {them} again\n")


def _write_rows(report: Report, totals: Totals, consequence: str, stream: Printable) -> None:
    count = totals.listed[consequence]
    rows = (row for row in report.drift(consequence) if row.object not in totals.first_fill)
    for row in islice(rows if count else (), _MOST_ROWS):
        stream.write(
            f"\n{row.consequence.upper()}  {row.object} {harmless(row.object_id)}"
            f"  {_KIND[row.kind]}{_at_stake(row.monthly_amount)}  [{row.action}]\n"
        )
        _write_circumstances(row, stream)
        fields = in_order(row)
        for name, pair in fields[:_MOST_FIELDS]:
            stream.write(f"    {_difference(row, name, pair)}\n")
        if len(fields) > _MOST_FIELDS:
            more = counted(len(fields) - _MOST_FIELDS, "field")
            stream.write(f"    and {more} more\n")
    if count > _MOST_ROWS:
        left = count - _MOST_ROWS
        stream.write(f"\nand {left:,} {consequence} more: --format json lists them all\n")


def _write_circumstances(row: DriftRow, stream: Printable) -> None:
    """Write whose it is, what it is for, and what the amount at stake is made of."""
    if row.customer is not None:
        known = [harmless(row.customer.name)] if row.customer.name else []
        known += [f"<{harmless(row.customer.email)}>"] if row.customer.email else []
        stream.write(f"    customer: {'  '.join([harmless(row.customer.id), *known])}\n")
    if row.plans:
        stream.write(f"    plan: {', '.join(harmless(name) for name in row.plans)}\n")
    if row.consequence == "money" and (row.monthly_before or row.monthly_after):
        nothing = "nothing computed" if row.not_computed else "nothing"
        here, there = (amounts(of) or nothing for of in (row.monthly_before, row.monthly_after))
        stream.write(f"    a month: {here} -> {there}\n")
    if row.not_computed:
        reasons = "; ".join(_NOT_COMPUTED.get(name, name) for name in row.not_computed)
        stream.write(f"    not computed: {reasons}\n")


def _spent(report: Report, totals: Totals) -> str:
    run = report.run
    requests = counted(totals.stripe_requests, "request")
    spent = f"{requests} to Stripe, {run.finished_at - run.started_at} s; run {run.id}"
    if run.compared_since is not None:
        spent += f"; part of it was compared by an earlier run, since {time(run.compared_since)}"
    return spent


def _at_stake(of: dict[str, int]) -> str:
    return f", {amounts(of)} a month at stake" if of else ""


def _difference(row: DriftRow, name: str, pair: tuple[Any, Any]) -> str:
    """Say how a field differs: what the database says, then what Stripe says."""
    here, there = pair
    if name == MISSING:
        if here is None:
            return "Stripe does not know it"
        return f"Stripe knows it, though it is marked as missing since {time(here)}"
    shown = _shower(row, name, pair)
    return f"{harmless(name)}: {shown(here)} -> {shown(there)}"


def _shower(row: DriftRow, name: str, pair: tuple[Any, Any]) -> Callable[[Any], str]:
    """Return how a field's values are shown."""
    field = named(name, pair)
    if field.column is None:
        return lambda value: _item(value) if isinstance(value, dict) else as_text(value)
    mirrored = BY_NAME.get(row.object)
    columns = mirrored.columns if mirrored is not None else ()
    if field.item is not None:
        columns = mirrored.items.columns if mirrored is not None and mirrored.items else ()
    types = {column.name: column.type for column in columns}
    if types.get(field.column) is Type.TIMESTAMP:
        return lambda value: as_text(value) if value is None else time(value)
    if field.column in _UNIT_AMOUNTS:
        currencies = row.monthly_before.keys() | row.monthly_after.keys()
        currency = next(iter(currencies)) if len(currencies) == 1 else None
        return lambda value: unit_amount(value, currency)
    return as_text


def _item(item: dict[str, Any]) -> str:
    """Show a whole item in short: what it is, how many, at what price.

    Nothing is taken for granted: what it is made of is declared elsewhere, and may be missing.
    """
    quantity, currency = item.get("quantity"), item.get("currency")
    amount = next((item[name] for name in _UNIT_AMOUNTS if item.get(name) is not None), None)
    count = f"{as_text(quantity)} x " if quantity is not None else ""
    what = as_text(item.get("price_id", item.get("id", "an item")))
    price = "a metered or tiered price"
    if amount is not None:
        price = unit_amount(amount, currency if isinstance(currency, str) else None)
    every = f"{as_text(item.get('interval_count', 1))} {as_text(item.get('interval', '?'))}"
    return f"{count}{what} at {price} every {every}"
