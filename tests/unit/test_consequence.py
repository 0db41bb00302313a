"""What a difference means for the customer, and the money that hangs on it."""

from typing import Any

import pytest

from reconcile.compare import Difference, compare_one
from reconcile.consequence import consequence, ends_access, monthly_amount
from shared.mirrored import Held
from shared.objects import CUSTOMER, SUBSCRIPTION
from shared.truth import Interval
from tests.unit.bodies import content, held, item, subscription

ACCESS = frozenset({"active", "trialing", "past_due"})
ASKED = Interval(10, 12)


def difference(
    here: dict[str, Any] | None, there: dict[str, Any] | None, *, missing: int | None = None
) -> Difference:
    row = None if here is None else held(here, missing=missing)
    stripe = None if there is None else content(there)
    found = compare_one(SUBSCRIPTION, "sub_1", row, stripe, ASKED)
    assert found is not None
    return found


def meaning(found: Difference) -> str:
    return consequence(SUBSCRIPTION, found, ACCESS)


def amount(found: Difference) -> dict[str, int]:
    return monthly_amount(SUBSCRIPTION, found, consequence(SUBSCRIPTION, found, ACCESS))


GRANTS = subscription(status="active")
ENDED = subscription(status="canceled")


@pytest.mark.parametrize(
    "here, there, expected",
    [
        (GRANTS, ENDED, "leak"),
        (GRANTS, None, "leak"),
        (ENDED, GRANTS, "lockout"),
        (None, GRANTS, "lockout"),
        (None, ENDED, "cosmetic"),
        (ENDED, None, "cosmetic"),
        (subscription(status="active"), subscription(status="trialing"), "money"),
        (subscription(status="canceled"), subscription(status="unpaid"), "money"),
        (subscription(), subscription(metadata={"a": "b"}), "cosmetic"),
        (subscription(), subscription(latest_invoice="in_1"), "cosmetic"),
        (subscription(), subscription(cancel_at=9), "money"),
        (subscription(), subscription(cancel_at_period_end=True), "money"),
        (subscription(), subscription(pause_collection={"behavior": "void"}), "money"),
        (subscription(), subscription(currency="usd"), "money"),
        (subscription(), subscription(item(quantity=2)), "money"),
        (subscription(), subscription(item(price={"id": "price_2"})), "money"),
        (subscription(), subscription(item(), item("si_2")), "money"),
        (subscription(), subscription(item(metadata={"a": "b"})), "cosmetic"),
    ],
)
def test_difference_means(here: Any, there: Any, expected: str) -> None:
    assert meaning(difference(here, there)) == expected


def test_row_that_is_marked_missing_grants_nothing() -> None:
    assert meaning(difference(GRANTS, GRANTS, missing=5)) == "lockout"


def test_access_is_what_the_settings_say() -> None:
    found = difference(subscription(status="past_due"), ENDED)
    assert consequence(SUBSCRIPTION, found, {"active"}) == "money"
    assert consequence(SUBSCRIPTION, found, ACCESS) == "leak"


def test_only_a_leak_ends_access() -> None:
    assert ends_access(consequence(SUBSCRIPTION, difference(GRANTS, ENDED), ACCESS))
    assert ends_access(consequence(SUBSCRIPTION, difference(GRANTS, None), ACCESS))
    assert not ends_access(consequence(SUBSCRIPTION, difference(ENDED, GRANTS), ACCESS))
    assert not ends_access(consequence(SUBSCRIPTION, difference(None, GRANTS), ACCESS))


def test_customer_means_neither_access_nor_money() -> None:
    one = CUSTOMER.decode(b'{"id": "cus_1", "email": "a@b.c", "metadata": {}}')
    other = CUSTOMER.decode(b'{"id": "cus_1", "deleted": true}')
    row = Held(one.row, (), ASKED, 1, None)
    found = compare_one(CUSTOMER, "cus_1", row, other, ASKED)
    assert found is not None
    assert consequence(CUSTOMER, found, ACCESS) == "cosmetic"
    assert monthly_amount(CUSTOMER, found, "cosmetic") == {}


def every(interval: str, count: int = 1) -> dict[str, Any]:
    return {"recurring": {"interval": interval, "interval_count": count, "usage_type": "licensed"}}


@pytest.mark.parametrize(
    "one, expected",
    [
        (item(price=every("month")), {"eur": 900}),
        (item(price=every("month", 3)), {"eur": 300}),
        (item(price=every("year")), {"eur": 75}),
        (item(price=every("year", 2)), {"eur": 38}),
        (item(price=every("week")), {"eur": 3911}),
        (item(price=every("week", 2)), {"eur": 1955}),
        (item(price=every("day")), {"eur": 27375}),
        (item(price=every("eon")), {}),
        (item(price=every("month", 0)), {"eur": 900}),
        (item(quantity=7), {"eur": 6300}),
        (item(quantity=0), {}),
        (item(quantity=None), {}),
        (item(price={"unit_amount": None, "unit_amount_decimal": None}), {}),
        (item(price={"unit_amount": None, "unit_amount_decimal": "0.5"}, quantity=3), {"eur": 2}),
        (item(price={"unit_amount": None, "unit_amount_decimal": "0.4"}), {}),
        (item(price={"unit_amount_decimal": None}), {"eur": 900}),
        (item(price={"recurring": None}), {}),
    ],
)
def test_monthly_amount_of_an_item(one: dict[str, Any], expected: dict[str, int]) -> None:
    found = amount(difference(None, subscription(one)))
    assert {name: value for name, value in found.items() if value} == expected


def test_monthly_amounts_add_up_by_currency() -> None:
    body = subscription(
        item("si_1"),
        item("si_2", price={"currency": "usd", "unit_amount_decimal": "1.5"}, quantity=3),
        item("si_3", price=every("year")),
    )
    assert amount(difference(None, body)) == {"eur": 975, "usd": 5}


def test_leak_costs_what_the_database_gives_away_and_the_rest_what_stripe_bills() -> None:
    small = subscription(item(quantity=1))
    large = subscription(item(quantity=5), status="canceled")
    assert amount(difference(small, large)) == {"eur": 900}
    assert amount(difference(large, small)) == {"eur": 900}
    assert amount(difference(small, None)) == {"eur": 900}
    assert amount(difference(small, subscription(item(quantity=5)))) == {"eur": 4500}
    assert amount(difference(small, subscription(metadata={"a": "b"}))) == {}
