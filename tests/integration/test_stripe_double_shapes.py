"""The double's bodies have the fields and types that the pinned Stripe library declares."""

import types
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import pytest
import stripe

from sandbox.stripe_double import StripeDouble
from sandbox.stripe_double.customer_body import FUTURE_CUSTOMER_FIELDS
from sandbox.stripe_double.states import NEWEST_VERSION
from sandbox.stripe_double.subscription_body import FUTURE_SUBSCRIPTION_FIELDS
from tests.integration.double_client import Client

# Fields of expansions, of deleted objects, or that Stripe sends only in certain cases.
SELDOM: dict[type[stripe.StripeObject], set[str]] = {
    stripe.Subscription: {"presentment_details"},
    stripe.SubscriptionItem: {"deleted"},
    stripe.Price: {"deleted", "currency_options", "tiers"},
    stripe.Plan: {"deleted", "tiers"},
    stripe.Event: {"account", "context"},
    stripe.Customer: {
        "cash_balance",
        "deleted",
        "invoice_credit_balance",
        "sources",
        "subscriptions",
        "tax",
        "tax_ids",
    },
}
SHAPES: dict[str, type[stripe.StripeObject]] = {
    "subscription": stripe.Subscription,
    "subscription_item": stripe.SubscriptionItem,
    "price": stripe.Price,
    "plan": stripe.Plan,
    "customer": stripe.Customer,
    "event": stripe.Event,
    "tax_rate": stripe.TaxRate,
}
FUTURE = FUTURE_SUBSCRIPTION_FIELDS | FUTURE_CUSTOMER_FIELDS
# Not sent for metered prices.
OPTIONAL_BY_PRICE = {"quantity"}


@pytest.fixture
def client(stripe_double: StripeDouble) -> Iterator[Client]:
    opened = Client(stripe_double)
    yield opened
    opened.close()


def test_newest_version_is_the_librarys() -> None:
    assert stripe.api_version == NEWEST_VERSION


@pytest.mark.parametrize(
    "price", ["basic", "pro_yearly", "team", "metered", "tiered", "decimal", "yen"]
)
def test_subscription_has_the_librarys_fields(
    stripe_double: StripeDouble, client: Client, price: str
) -> None:
    name = stripe_double.control.create_subscription(price=price, trial_days=3)
    found = client.read(f"/v1/subscriptions/{name}")
    assert faults(found, stripe.Subscription) == []


@pytest.mark.parametrize("change", ["pause", "pause_collection", "cancel", "expire", "renew"])
def test_changed_subscription_has_the_librarys_fields(
    stripe_double: StripeDouble, client: Client, change: str
) -> None:
    name = stripe_double.control.create_subscription(discounts=["di_1"])
    getattr(stripe_double.control, change)(name)
    assert faults(client.read(f"/v1/subscriptions/{name}"), stripe.Subscription) == []


def test_seeds_have_the_librarys_fields(stripe_double: StripeDouble, client: Client) -> None:
    stripe_double.control.seed(100)
    for found in client.read("/v1/subscriptions", status="all", limit=100)["data"]:
        assert faults(found, stripe.Subscription) == []
    for found in client.read("/v1/customers", limit=20)["data"]:
        assert faults(found, stripe.Customer) == []


def test_listed_items_and_customers_have_the_librarys_fields(
    stripe_double: StripeDouble, client: Client
) -> None:
    customer = stripe_double.control.create_customer(phone="+33 1", description="good")
    name = stripe_double.control.create_subscription(customer=customer)
    for item in client.read("/v1/subscription_items", subscription=name)["data"]:
        assert faults(item, stripe.SubscriptionItem) == []
    assert faults(client.read(f"/v1/customers/{customer}"), stripe.Customer) == []


def test_events_have_the_librarys_fields(stripe_double: StripeDouble, client: Client) -> None:
    stripe_double.control.churn(150, seed=1)
    page = client.read("/v1/events", limit=100)
    kinds = set()
    for event in page["data"]:
        assert faults(event, stripe.Event) == []
        shape = SHAPES[event["data"]["object"]["object"]]
        assert faults(event["data"]["object"], shape) == []
        kinds.add(event["type"])
    assert "customer.subscription.updated" in kinds


def test_bodies_carry_fields_that_the_library_does_not_know(
    stripe_double: StripeDouble, client: Client
) -> None:
    name = stripe_double.control.create_subscription()
    assert client.read(f"/v1/subscriptions/{name}").keys() >= FUTURE_SUBSCRIPTION_FIELDS


def test_the_check_itself_sees_wrong_types_and_unknown_and_absent_fields(
    stripe_double: StripeDouble, client: Client
) -> None:
    name = stripe_double.control.create_subscription()
    sound = client.read(f"/v1/subscriptions/{name}")
    item = sound["items"]["data"][0]
    bad_item = {**item, "price": {**item["price"], "recurring": {"interval": 3}}}
    for change in (
        {"status": 3},
        {"created": "today"},
        {"cancel_at": "later"},
        {"plan": None},
        {"pause_collection": {"behaviour": "void"}},
        {"items": {**sound["items"], "data": [bad_item]}},
    ):
        assert len(faults({**sound, **change}, stripe.Subscription)) == 1
    del sound["status"]
    assert faults(sound, stripe.Subscription) == ["Subscription.status is not sent"]


def faults(body: dict[str, Any], shape: type[stripe.StripeObject]) -> list[str]:
    """Whatever in a body is not as the library declares it."""
    declared = {name: kind for name, kind in shape.__annotations__.items() if name.islower()}
    unknown = body.keys() - declared.keys() - FUTURE
    absent = declared.keys() - body.keys() - SELDOM.get(shape, set()) - OPTIONAL_BY_PRICE
    found = [f"{shape.__name__}.{name} is not declared" for name in sorted(unknown)]
    if shape in SELDOM:
        found += [f"{shape.__name__}.{name} is not sent" for name in sorted(absent)]
    found += [
        f"{shape.__name__}.{name} = {body[name]!r} is no {annotation}"
        for name, annotation in declared.items()
        if name in body and not fits(body[name], annotation)
    ]
    return found


def fits(value: object, annotation: Any) -> bool:
    """Whether a JSON value can be what an annotation says; names of classes mean any object."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is list:
        return isinstance(value, list) and all(fits(one, parts[0]) for one in value)
    if origin is stripe.ListObject:
        return isinstance(value, dict) and all(fits(one, parts[0]) for one in value["data"])
    return _fits_plain(value, annotation) if origin is None else isinstance(value, dict)


def _fits_plain(value: object, annotation: Any) -> bool:
    if isinstance(annotation, ForwardRef | str):
        return _fits_object(value)
    if issubclass(annotation, stripe.StripeObject):
        return isinstance(value, dict) and faults(value, annotation) == []
    if annotation is Decimal:
        return isinstance(value, str) and Decimal(value).is_finite()
    return type(value) in ({int, float} if annotation is float else {annotation})


def _fits_object(value: object) -> bool:
    if not isinstance(value, dict):
        # An id is declared as `str` beside the name of the class.
        return False
    shape = SHAPES.get(str(value.get("object")))
    return shape is None or faults(value, shape) == []
