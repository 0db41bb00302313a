"""What a difference means for the customer."""

from typing import Any

import pytest

from reconcile.comparison.amounts import NOTHING
from reconcile.comparison.compare import Difference, compare_one
from reconcile.comparison.consequence import consequence, ends_access, monthly_amounts
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import Held
from shared.objects.subscription import SUBSCRIPTION
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
        (subscription(item("a.metadata")), subscription(item("b.metadata")), "money"),
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
    assert monthly_amounts(CUSTOMER, found, "cosmetic") == NOTHING
