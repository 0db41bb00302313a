"""What a difference means for a customer, and the money that hangs on it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, Literal

from reconcile.compare import Difference
from shared.columns import Concern, Row, Value
from shared.mirrored import Content, Held, MirroredObject
from shared.objects import SUBSCRIPTION

Consequence = Literal["leak", "lockout", "money", "cosmetic"]

_MOST = 2**63 - 1
"""Where an absurd amount is cut, so that every reader of the report can hold it."""

_MONTHS = {
    "day": Fraction(12, 365),
    "week": Fraction(12 * 7, 365),
    "month": Fraction(1),
    "year": Fraction(12),
}
"""Length of a billing interval in months."""


def consequence(
    mirrored: MirroredObject, difference: Difference, access_statuses: Collection[str]
) -> Consequence:
    """Say what a difference does to the customer while it stands.

    `leak`: the database grants access that Stripe does not; `lockout`: the reverse; `money`: a
    field that decides an amount or a date of billing; `cosmetic`: anything else.
    """
    if mirrored is SUBSCRIPTION:
        here = difference.held is not None and grants(difference.held, access_statuses)
        there = difference.content is not None and _stripe_grants(
            difference.content.row, access_statuses
        )
        if here != there:
            return "leak" if here else "lockout"
    if difference.kind == "differs" and _touches_money(mirrored, difference):
        return "money"
    return "cosmetic"


def of_missing(
    mirrored: MirroredObject, one: Any, access_statuses: Collection[str]
) -> tuple[Consequence, dict[str, int]]:
    """Return consequence and monthly amount of a decoded object that the database lacks.

    The same as of its difference, at a tenth of the price: a first run has one for every object.
    """
    if mirrored is not SUBSCRIPTION or one.status not in access_statuses:
        return "cosmetic", {}
    totals: dict[str, Fraction | int] = {}
    for item in one.items.data:
        price = item.price
        every = price.recurring
        interval, count = (every.interval, every.interval_count) if every else (None, None)
        amount = _a_month(
            price.unit_amount_decimal, price.unit_amount, item.quantity, interval, count
        )
        totals[price.currency] = totals.get(price.currency, 0) + amount
    return "lockout", _told(totals)


def grants(held: Held, access_statuses: Collection[str]) -> bool:
    """Return whether an application lets a customer in on the strength of this row."""
    return held.missing_in_stripe_since is None and _stripe_grants(held.row, access_statuses)


def ends_access(meaning: Consequence) -> bool:
    """Return whether repairing the difference would lock somebody out who is let in today."""
    return meaning == "leak"


def monthly_amount(
    mirrored: MirroredObject, difference: Difference, meaning: Consequence
) -> dict[str, int]:
    """Return the amount a month that is concerned, in minor units by currency.

    The side that has the subscription says it: of a leak the database (what is given away), of
    everything else Stripe (what is paid, or billed). Discounts, taxes and metered usage are not
    in it; amounts are rounded half up.
    """
    if mirrored is not SUBSCRIPTION or meaning == "cosmetic":
        return {}
    if (meaning == "leak" or difference.content is None) and difference.held is not None:
        items = difference.held.items
    else:
        content: Content | None = difference.content
        items = (content.items or ()) if content is not None else ()
    totals: dict[str, Fraction | int] = {}
    for item in items:
        currency, amount = _monthly(item)
        totals[currency] = totals.get(currency, 0) + amount
    return _told(totals)


def _stripe_grants(row: Row, access_statuses: Collection[str]) -> bool:
    return row[SUBSCRIPTION.decoded.index["status"]] in access_statuses


def _touches_money(mirrored: MirroredObject, difference: Difference) -> bool:
    concern, item_concern = _concerns(mirrored)
    for name in difference.fields:
        if name.startswith("items."):
            parts = name.rsplit(".", 1)
            # A whole item is `items.<id>`, and ids have no dots.
            whole = name.count(".") == 1
            if whole or item_concern.get(parts[1]) is not Concern.COSMETIC:
                return True
        elif concern.get(name, Concern.COSMETIC) is not Concern.COSMETIC:
            return True
    return False


@cache
def _concerns(mirrored: MirroredObject) -> tuple[dict[str, Concern], dict[str, Concern]]:
    """Return what the columns of an object, and of its items, decide."""
    items = mirrored.items.columns if mirrored.items is not None else ()
    return (
        {column.name: column.concern for column in mirrored.columns},
        {column.name: column.concern for column in items},
    )


def _monthly(item: Row) -> tuple[str, Fraction | int]:
    assert SUBSCRIPTION.items is not None
    index = SUBSCRIPTION.items.decoded.index
    amount = _a_month(*(item[index[name]] for name in _DECIDING))
    return str(item[index["currency"]]), amount


_DECIDING = ("unit_amount_decimal", "unit_amount", "quantity", "interval", "interval_count")


@lru_cache(maxsize=4096)
def _a_month(
    decimal: Value, whole: Value, quantity: Value, interval: Value, interval_count: Value
) -> Fraction | int:
    """Return an item's amount a month; an account has few prices and many items of them."""
    count = int(interval_count or 1)
    each = _exact(decimal) if decimal is not None else int(whole or 0)
    months = _MONTHS.get(str(interval))
    if months is None or count <= 0:
        return 0
    if count == 1 and months == 1:
        return each * int(quantity or 0)
    return each * int(quantity or 0) / (months * count)


def _exact(decimal: Value) -> Fraction | int:
    text = str(decimal)
    if text.isdecimal():
        return int(text)
    try:
        return Fraction(text)
    except ValueError:  # NaN, which only somebody else can have put into the row
        return 0


def _told(totals: dict[str, Fraction | int]) -> dict[str, int]:
    return {currency: _rounded(total) for currency, total in sorted(totals.items()) if total}


def _rounded(amount: Fraction | int) -> int:
    rounded = (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)
    return max(-_MOST, min(rounded, _MOST))
