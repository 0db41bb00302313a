"""What a difference comes to a month: computed as Stripe bills it, or named as not computed."""

from typing import Any

import pytest

from reconcile.comparison.amounts import Amounts, NotComputed
from reconcile.comparison.compare import compare_one
from reconcile.comparison.consequence import consequence, monthly_amounts
from reconcile.report.as_text import _NOT_COMPUTED
from shared.objects.subscription import SUBSCRIPTION
from shared.truth import Interval
from tests.unit.bodies import content, held, item, subscription

ACCESS = frozenset({"active", "trialing", "past_due"})
Body = dict[str, Any]


def amounts(here: Body | None, there: Body | None, *, missing: int | None = None) -> Amounts:
    row = None if here is None else held(here, missing=missing)
    stripe = None if there is None else content(there)
    found = compare_one(SUBSCRIPTION, "sub_1", row, stripe, Interval(10, 12))
    assert found is not None
    return monthly_amounts(SUBSCRIPTION, found, consequence(SUBSCRIPTION, found, ACCESS))


def of_price(quantity: int | None = 1, **price: Any) -> Body:
    """A subscription of one item; a decimal that is given has no whole amount beside it."""
    if "unit_amount_decimal" in price:
        price.setdefault("unit_amount", None)
    currency = price.get("currency", "eur")
    return subscription(item(quantity=quantity, price=price), currency=currency)


def every(interval: str | None, count: int | None = 1, usage: str | None = "licensed") -> Body:
    said = {"interval": interval, "interval_count": count, "usage_type": usage}
    return {"recurring": said}


UNKNOWN: tuple[Any, ...] = (
    *({}, {"divide_by": 0, "round": "up"}, {"divide_by": -1, "round": "up"}),
    *({"divide_by": 10}, {"divide_by": 10, "round": "half"}, {"round": "up"}),
    *({"divide_by": "10", "round": "up"}, {"divide_by": True, "round": "up"}, [], 5, "x"),
)
"""What `transform_quantity` may never be."""

PRICES: list[tuple[Body, dict[str, int] | str]] = [
    (of_price(), {"eur": 900}),
    (of_price(7), {"eur": 6_300}),
    (of_price(0), {}),
    (of_price(**every("month", 3)), {"eur": 300}),
    (of_price(**every("year")), {"eur": 75}),
    (of_price(**every("year", 2)), {"eur": 38}),
    (of_price(**every("week")), {"eur": 3_911}),
    (of_price(**every("week", 2)), {"eur": 1_955}),
    (of_price(**every("day")), {"eur": 27_375}),
    (of_price(**every("day", 365)), {"eur": 75}),
    (of_price(**every("eon")), "interval"),
    (of_price(**every(None)), "interval"),
    (of_price(**every("month", 0)), "interval"),
    (of_price(**every("month", -1)), "interval"),
    (of_price(**every("month", None)), "interval"),
    (of_price(recurring=None), "usage_type"),
    (of_price(None), "quantity"),
    (of_price(None, **every("month", 1, "metered")), "metered"),
    (of_price(5, **every("month", 1, "metered")), "metered"),
    (of_price(5, **every("month", 1, "prepaid")), "usage_type"),
    (of_price(5, **every("month", 1, None)), "usage_type"),
    (of_price(3, unit_amount_decimal="0.5"), {"eur": 2}),
    (of_price(1, unit_amount_decimal="0.4"), {"eur": 0}),
    (of_price(10**12, unit_amount_decimal="0.000000000001"), {"eur": 1}),
    (of_price(3, unit_amount_decimal="33.333333333333", **every("year")), {"eur": 8}),
    (of_price(1, unit_amount_decimal="900.000"), {"eur": 900}),
    (of_price(1, unit_amount=900, unit_amount_decimal=None), {"eur": 900}),
    (of_price(1, unit_amount=900, unit_amount_decimal="900.0"), {"eur": 900}),
    (of_price(1, unit_amount=-900, unit_amount_decimal="-900"), {"eur": 900}),
    (of_price(1, unit_amount=900, unit_amount_decimal="901"), "contradiction"),
    (of_price(1, unit_amount=0, unit_amount_decimal="0.25"), "contradiction"),
    (of_price(1, unit_amount=0, unit_amount_decimal="0"), {}),
    # Tiers, and amounts that a customer chooses, come without a unit amount.
    *(
        (of_price(50, unit_amount=None, unit_amount_decimal=None, **more), "no_unit_amount")
        for more in (
            {"billing_scheme": "tiered", "tiers_mode": "graduated"},
            {"billing_scheme": "tiered", "tiers_mode": "volume"},
            {"custom_unit_amount": {"minimum": 100, "maximum": None, "preset": 500}},
        )
    ),
    *(
        (
            of_price(quantity, transform_quantity={"divide_by": by, "round": way}),
            {"eur": packages * 900} if packages else {},
        )
        for quantity, by, way, packages in (
            (12, 10, "up", 2),
            (12, 10, "down", 1),
            (10, 10, "up", 1),
            (9, 10, "down", 0),
            (0, 10, "up", 0),
            (12, 1, "up", 12),
        )
    ),
    *((of_price(12, transform_quantity=odd), "transform_quantity") for odd in UNKNOWN),
    (of_price(1, currency="jpy"), {"jpy": 900}),
    (of_price(1, currency="kwd"), {"kwd": 900}),
    # A price in several currencies shows the amount in its default one.
    (subscription(item(price={"currency": "usd"})), "currency_options"),
    (subscription(currency="usd"), "currency_options"),
    (subscription(items={"data": [], "has_more": False}), {}),
]


@pytest.mark.parametrize("body, expected", PRICES)
def test_price_is_computed_as_stripe_bills_it_or_named(
    body: Body, expected: dict[str, int] | str
) -> None:
    told, names = ({}, [expected]) if isinstance(expected, str) else (expected, [])
    found = amounts(None, body)
    assert (found.at_stake, found.not_computed) == (told, names)
    assert {name: abs(value) for name, value in found.after.items()} == told
    assert found.before == {}
    leak = amounts(body, None)
    assert (leak.at_stake, leak.not_computed) == (told, names)
    assert (leak.before, leak.after) == (found.after, {})


def test_quantity_that_differs_says_before_after_and_the_difference() -> None:
    found = amounts(of_price(12), of_price(5))
    assert found == Amounts(at_stake={"eur": 6_300}, before={"eur": 10_800}, after={"eur": 4_500})
    back = amounts(of_price(5), of_price(12))
    assert back == Amounts(at_stake={"eur": 6_300}, before={"eur": 4_500}, after={"eur": 10_800})


METERED = item("si_m", quantity=None, price={"id": "m", **every("month", 1, "metered")})
USD = of_price(2, currency="usd")
MANY = [
    item(f"si_9{n}", price={"unit_amount_decimal": "0.3", "unit_amount": None}) for n in range(3)
]


@pytest.mark.parametrize(
    "here, there, expected",
    [
        # What is equal on both sides is in no amount, and need not be computed.
        (
            subscription(item(quantity=2), METERED, item("si_3", quantity=9)),
            subscription(item(quantity=3), METERED, item("si_3", quantity=9)),
            Amounts(at_stake={"eur": 900}, before={"eur": 1_800}, after={"eur": 2_700}),
        ),
        # Items that come, go and change are one difference.
        (
            subscription(item("si_1"), item("si_2")),
            subscription(item("si_1", quantity=3), item("si_3")),
            Amounts(at_stake={"eur": 1_800}, before={"eur": 1_800}, after={"eur": 3_600}),
        ),
        (
            subscription(item("si_1")),
            subscription(item("si_2")),
            Amounts(before={"eur": 900}, after={"eur": 900}),
        ),
        # Fractions are rounded once, at the end.
        (
            subscription(),
            subscription(item(), *MANY),
            Amounts(at_stake={"eur": 1}, after={"eur": 1}),
        ),
        # A currency that changes: both are at stake, there is no rate.
        (
            of_price(2),
            USD,
            Amounts(
                at_stake={"eur": 1_800, "usd": 1_800}, before={"eur": 1_800}, after={"usd": 1_800}
            ),
        ),
        # A currency that only the row's item has is the row's fault, not a price's options.
        (
            subscription(item(price={"currency": "usd"})),
            subscription(),
            Amounts(at_stake={"eur": 900, "usd": 900}, before={"usd": 900}, after={"eur": 900}),
        ),
        # What one side does not tell is not computed, and what the other says is still said.
        (
            of_price(2),
            of_price(None, **every("month", 1, "metered")),
            Amounts(before={"eur": 1_800}, not_computed=["metered"]),
        ),
        (
            of_price(2, **every("month", 1, "metered")),
            of_price(2),
            Amounts(after={"eur": 1_800}, not_computed=["metered"]),
        ),
        (
            subscription(currency="usd"),
            subscription(),
            Amounts(after={"eur": 900}, not_computed=["currency_options"]),
        ),
        (
            subscription(item(price={"unit_amount": 1_200})),
            subscription(),
            Amounts(after={"eur": 900}, not_computed=["contradiction"]),
        ),
        # Packages on one side only.
        (
            of_price(12),
            of_price(12, transform_quantity={"divide_by": 10, "round": "up"}),
            Amounts(at_stake={"eur": 9_000}, before={"eur": 10_800}, after={"eur": 1_800}),
        ),
        # Beside the items.
        (subscription(discounts=["di_1"]), subscription(), Amounts(not_computed=["discounts"])),
        (
            subscription(),
            subscription(pause_collection={"behavior": "void"}),
            Amounts(not_computed=["pause_collection"]),
        ),
        (subscription(), subscription(status="trialing"), Amounts(not_computed=["status"])),
        (subscription(), subscription(status="past_due"), Amounts()),
        (
            subscription(status="paused"),
            subscription(status="unpaid"),
            Amounts(not_computed=["status"]),
        ),
        (subscription(), subscription(cancel_at=9), Amounts()),
        (subscription(), subscription(metadata={"a": "b"}), Amounts()),
        # What has ended bills nothing.
        (
            subscription(status="unpaid"),
            subscription(status="canceled"),
            Amounts(at_stake={"eur": 900}, before={"eur": 900}),
        ),
        (
            subscription(status="canceled"),
            subscription(item(quantity=4), status="canceled"),
            Amounts(),
        ),
        # A leak is the whole subscription here, a lockout the whole one in Stripe.
        (
            of_price(1),
            {**of_price(5), "status": "canceled"},
            Amounts(at_stake={"eur": 900}, before={"eur": 900}),
        ),
        (
            {**of_price(5), "status": "canceled"},
            of_price(1),
            Amounts(at_stake={"eur": 900}, after={"eur": 900}),
        ),
        (
            subscription(status="trialing"),
            subscription(status="paused"),
            Amounts(at_stake={"eur": 900}, before={"eur": 900}),
        ),
        (
            subscription(discounts=["di_1"], status="active"),
            subscription(discounts=["di_1"], status="unpaid"),
            Amounts(at_stake={"eur": 900}, before={"eur": 900}, not_computed=["discounts"]),
        ),
        (subscription(status="canceled"), None, Amounts()),
        (None, subscription(status="unpaid"), Amounts()),
    ],
)
def test_difference_is_told_with_what_it_is_made_of(
    here: Body | None, there: Body | None, expected: Amounts
) -> None:
    assert amounts(here, there) == expected


def test_absurd_amount_is_cut_and_named() -> None:
    found = amounts(of_price(2**62, unit_amount=2**62, unit_amount_decimal=str(2**62)), None)
    assert (found.at_stake, found.not_computed) == ({"eur": 2**63 - 1}, ["too_large"])


def test_every_reason_is_said_in_words() -> None:
    assert set(_NOT_COMPUTED) == set(NotComputed)
