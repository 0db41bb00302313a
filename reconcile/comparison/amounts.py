"""What a difference comes to a month, by what Stripe's prices say. Pure.

A price turns a quantity into an amount by its unit amount, of which `unit_amount_decimal` is the
exact form, after `transform_quantity` has made packages of the quantity. Tiers, amounts that a
customer chooses and usage are not mirrored: what they decide is named, never guessed
(docs.stripe.com/api/prices/object). The amounts are before discounts and taxes.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Collection
from fractions import Fraction
from functools import cache, lru_cache
from operator import itemgetter
from typing import NamedTuple

import msgspec

from shared.objects.column import Row, Value
from shared.objects.declaration import MirroredObject

_MOST = 2**63 - 1
"""Where an absurd amount is cut, so that every reader of the report can hold it."""

_MONTHS = {
    "day": Fraction(12, 365),
    "week": Fraction(12 * 7, 365),
    "month": Fraction(1),
    "year": Fraction(12),
}
"""Length of a billing interval in months, of which a year of 365 days has 12."""

_BILLED_NOW = frozenset({"active", "past_due", "unpaid"})
"""Statuses in which a period's end brings an invoice; a trial, a pause or no first payment do not
(docs.stripe.com/billing/subscriptions/overview)."""


class NotComputed(enum.StrEnum):
    """Why an amount is not the whole truth."""

    METERED = "metered"
    NO_UNIT_AMOUNT = "no_unit_amount"
    CONTRADICTION = "contradiction"
    CURRENCY_OPTIONS = "currency_options"
    QUANTITY = "quantity"
    TRANSFORM_QUANTITY = "transform_quantity"
    INTERVAL = "interval"
    USAGE_TYPE = "usage_type"
    DISCOUNTS = "discounts"
    PAUSE_COLLECTION = "pause_collection"
    STATUS = "status"
    TOO_LARGE = "too_large"


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts a month, in minor units by currency, of those items that differ.

    `at_stake`: by how much the sides differ, never below zero; rounded half up, each amount once,
    from exact fractions. `not_computed`: what is not in it, in order.
    """

    at_stake: dict[str, int] = {}
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    not_computed: list[str] = []


NOTHING = Amounts()
_ZERO = Fraction(0)
_Sums = dict[str, Fraction]


class Side(NamedTuple):
    """A subscription, or what else is billed by its items, as one side has it."""

    mirrored: MirroredObject
    row: Row
    items: tuple[Row, ...]

    def value(self, name: str) -> Value:
        """Return one of its columns."""
        return self.mirrored.value(self.row, name)


def between(here: Side | None, there: Side | None) -> Amounts:
    """Return what two sides differ by; None is a side on which nothing is billed."""
    old, new = _items(here), _items(there)
    names = sorted(old.keys() | new.keys())
    pairs = tuple((old.get(name), new.get(name)) for name in names)
    return _of_pairs(pairs, _beside_items(here, there))


@lru_cache(maxsize=1024)
def _of_pairs(
    pairs: tuple[tuple[_Item | None, _Item | None], ...], beside: frozenset[NotComputed]
) -> Amounts:
    """Return what pairs of items differ by; an account has few prices and many items of them.

    `beside`: what else differs.
    """
    reasons = set(beside)
    before: _Sums = {}
    after: _Sums = {}
    at_stake: _Sums = {}
    for item, other in pairs:
        if item == other:
            continue
        old_amount = _amount_here(item, other)
        new_amount = _ZERO if other is None else _amount(other)
        for one, amount, sums in ((item, old_amount, before), (other, new_amount, after)):
            if isinstance(amount, NotComputed):
                reasons.add(amount)
            elif one is not None:
                _add(sums, str(one.currency), amount)
        if not isinstance(old_amount, NotComputed) and not isinstance(new_amount, NotComputed):
            if item is not None:
                _add(at_stake, str(item.currency), -old_amount)
            if other is not None:
                _add(at_stake, str(other.currency), new_amount)
    return _summed(at_stake, before, after, reasons)


class _Item(NamedTuple):
    """What of an item decides its amount a month; its subscription is `billed_in` a currency."""

    currency: Value
    unit_amount_decimal: Value
    unit_amount: Value
    quantity: Value
    interval: Value
    interval_count: Value
    usage_type: Value
    transform_quantity: Value
    billed_in: Value


def _items(side: Side | None) -> dict[str, _Item]:
    if side is None:
        return {}
    billed_in = side.value("currency")
    told = _told(side.mirrored)
    return {str(row[0]): _Item._make((*told(row), billed_in)) for row in side.items}


@cache
def _told(mirrored: MirroredObject) -> Callable[[Row], Row]:
    """Return what takes out of an item's row what decides its amount."""
    assert mirrored.items is not None
    index = mirrored.items.decoded.index
    return itemgetter(*(index[name] for name in _Item._fields[:-1]))


def _amount(item: _Item) -> Fraction | NotComputed:
    """Return an item's amount a month.

    A price may have further currencies. The subscription is billed in its own, and the amount in
    the price's default currency is then not what is billed (docs.stripe.com/products-prices).
    """
    if item.currency != item.billed_in:
        return NotComputed.CURRENCY_OPTIONS
    return _a_month(item)


def _amount_here(item: _Item | None, other: _Item | None) -> Fraction | NotComputed:
    """Return the same of the database's item; a wrong currency is the row's, where Stripe has one.

    Then the row says an amount in that currency, whatever the price's currencies are.
    """
    if item is None:
        return _ZERO
    if other is not None and item.billed_in == other.billed_in == other.currency:
        return _a_month(item)
    return _amount(item)


@lru_cache(maxsize=4096)
def _a_month(item: _Item) -> Fraction | NotComputed:
    """Return an amount a month; an account has few prices and many items of them."""
    if item.usage_type != "licensed":
        is_metered = item.usage_type == "metered"
        return NotComputed.METERED if is_metered else NotComputed.USAGE_TYPE
    each = _unit_amount(item.unit_amount_decimal, item.unit_amount)
    if isinstance(each, NotComputed):
        return each
    if item.quantity is None:
        return NotComputed.QUANTITY
    months = _MONTHS.get(str(item.interval))
    count = int(item.interval_count or 0)
    if months is None or count <= 0:
        return NotComputed.INTERVAL
    units = int(item.quantity)
    if item.transform_quantity is not None:
        packages = _packages(units, str(item.transform_quantity))
        if packages is None:
            return NotComputed.TRANSFORM_QUANTITY
        units = packages
    return each * units / (months * count)


def _unit_amount(decimal: Value, whole: Value) -> Fraction | NotComputed:
    """Return a price's unit amount; only prices without tiers have one."""
    if decimal is None:
        return NotComputed.NO_UNIT_AMOUNT if whole is None else Fraction(int(whole))
    try:
        exact = Fraction(str(decimal))
    except ValueError:  # NaN, which only somebody else can have put into the row
        return NotComputed.NO_UNIT_AMOUNT
    is_contradicted = whole is not None and exact != int(whole)
    return NotComputed.CONTRADICTION if is_contradicted else exact


def _packages(quantity: int, transform: str) -> int | None:
    """Return how many packages a quantity makes, None where the price does not say it."""
    try:
        said = json.loads(transform)
    except ValueError:  # a number too long to be read, which only somebody else can have put there
        return None
    if not isinstance(said, dict):
        return None
    by, way = said.get("divide_by"), said.get("round")
    if type(by) is not int or by <= 0:
        return None
    return {"up": -(-quantity // by), "down": quantity // by}.get(str(way))


_BESIDE_ITEMS = (
    ("discounts", NotComputed.DISCOUNTS, frozenset({None, "[]", "null"})),
    ("pause_collection", NotComputed.PAUSE_COLLECTION, frozenset({None, "null"})),
)


def _beside_items(here: Side | None, there: Side | None) -> frozenset[NotComputed]:
    """Return what differs, beside the items, in what is billed in the end."""
    reasons: set[NotComputed] = set()
    for name, reason, empty in _BESIDE_ITEMS:
        old, new = _unless(empty, here, name), _unless(empty, there, name)
        if old != new:
            reasons.add(reason)
    if here is not None and there is not None:
        is_billed = [side.value("status") in _BILLED_NOW for side in (here, there)]
        reasons |= {NotComputed.STATUS} if is_billed[0] != is_billed[1] else set()
    return frozenset(reasons)


def _unless(empty: Collection[Value], side: Side | None, name: str) -> Value:
    """Return a column's value, None where that says nothing."""
    value = None if side is None else side.value(name)
    return None if value in empty else value


def _add(sums: _Sums, currency: str, amount: Fraction) -> None:
    sums[currency] = sums[currency] + amount if currency in sums else amount


def _summed(at_stake: _Sums, before: _Sums, after: _Sums, reasons: set[NotComputed]) -> Amounts:
    if any(abs(amount) > _MOST for sums in (before, after) for amount in sums.values()):
        reasons.add(NotComputed.TOO_LARGE)
    return Amounts(
        at_stake=_rounded({currency: abs(sum_) for currency, sum_ in at_stake.items()}),
        before=_rounded(before),
        after=_rounded(after),
        not_computed=sorted(reasons),
    )


def _rounded(sums: _Sums) -> dict[str, int]:
    return {currency: _whole(amount) for currency, amount in sorted(sums.items()) if amount}


def _whole(amount: Fraction) -> int:
    """Round half up and cut."""
    if amount.denominator == 1:
        rounded = amount.numerator
    else:
        rounded = (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)
    return max(-_MOST, min(rounded, _MOST))
