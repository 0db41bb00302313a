"""The double's bodies have the fields and types that the pinned Stripe library declares."""

import types
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ForwardRef, Literal, TypeAlias, Union, get_args, get_origin

import pytest
import stripe

from sandbox.stripe_double import StripeDouble
from sandbox.stripe_double.objects.customer import FUTURE_CUSTOMER_FIELDS
from sandbox.stripe_double.objects.states import NEWEST_VERSION
from sandbox.stripe_double.objects.subscription_body import FUTURE_SUBSCRIPTION_FIELDS
from tests.integration.double_client import Client

Shape: TypeAlias = type[stripe.StripeObject]

# Fields of expansions, of deleted objects, or that Stripe sends only in certain cases. All others
# that the library declares are sent, also those that may be null.
SELDOM: dict[Shape, set[str]] = {
    stripe.Subscription: {"presentment_details"},
    stripe.Subscription.BillingMode: {"updated_at"},
    stripe.Subscription.InvoiceSettings.Issuer: {"account"},
    stripe.Subscription.PaymentSettings.PaymentMethodOptions: {"billie", "blik"},
    stripe.Subscription.PaymentSettings.PaymentMethodOptions.Card: {"mandate_options"},
    # Metered prices have no quantity.
    stripe.SubscriptionItem: {"billed_until", "deleted", "quantity"},
    stripe.Price: {"deleted", "currency_options", "tiers"},
    stripe.Plan: {"deleted", "tiers"},
    stripe.Product: {"deleted"},
    stripe.Event: {"account", "context"},
    stripe.Event.Data: {"previous_attributes"},
    stripe.Customer: {
        "business_name",
        "cash_balance",
        "deleted",
        "individual_name",
        "invoice_credit_balance",
        "sources",
        "subscriptions",
        "tax",
        "tax_ids",
    },
}
# What Stripe sends beside what the library declares: the older names of one item's price and
# quantity, in recorded answers of every version.
BESIDE: dict[Shape, set[str]] = {
    stripe.Subscription: {"plan", "quantity"},
    # Seen in every probe of a product (stripe_world, at 2026-08-26.dahlia).
    stripe.Product: {"attributes"},
}
SHAPES: dict[str, Shape] = {
    "subscription": stripe.Subscription,
    "subscription_item": stripe.SubscriptionItem,
    "price": stripe.Price,
    "plan": stripe.Plan,
    "customer": stripe.Customer,
    "product": stripe.Product,
    "event": stripe.Event,
    "tax_rate": stripe.TaxRate,
}
CANCELED = {"comment": None, "feedback": None, "feedback_option": None, "reason": None}
FUTURE = FUTURE_SUBSCRIPTION_FIELDS | FUTURE_CUSTOMER_FIELDS


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


def test_products_and_prices_have_the_librarys_fields(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    control.switch(shop="open")
    control.create_price("once", interval=None, unit_amount=100)
    control.create_price("pieces", transform_quantity={"divide_by": 10, "round": "up"})
    for found in client.read("/v1/products", limit=100)["data"]:
        assert faults(found, stripe.Product) == []
    expand = ["data.tiers", "data.currency_options"]
    prices = client.read("/v1/prices", limit=100, expand=expand)["data"]
    assert len(prices) == len(control.prices)
    for found in prices:
        assert faults(found, stripe.Price) == []


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


def test_account_and_errors_have_only_the_librarys_fields(client: Client) -> None:
    account = client.read("/v1/account")
    assert [one for one in faults(account, stripe.Account) if not one.endswith("is not sent")] == []
    for path in ("/v1/subscriptions?nope=1", "/v1/customers/cus_nope", "/v1/invoices"):
        error = client.get(path).json()["error"]
        found = faults(error, stripe.ErrorObject)
        assert [one for one in found if not one.endswith("is not sent")] == []


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
    period = {**item["price"]["recurring"], "interval": 3}
    bad_item = {**item, "price": {**item["price"], "recurring": period}}
    for change, fault in (
        ({"status": 3}, "status = 3 is no"),
        ({"created": "today"}, "created = 'today' is no"),
        ({"cancel_at": "later"}, "cancel_at = 'later' is no"),
        ({"period": None}, "period is not declared"),
        ({"billing_mode": {"type": "flexible"}}, "billing_mode.flexible is not sent"),
        ({"cancellation_details": {**CANCELED, "why": 1}}, "cancellation_details.why is not"),
        ({"pause_collection": {"behavior": "void"}}, "pause_collection.resumes_at is not sent"),
        ({"items": {**sound["items"], "data": [bad_item]}}, "items.data[].price.recurring.inte"),
    ):
        found = faults({**sound, **change}, stripe.Subscription)
        assert f"Subscription.{fault}" in found[0]
    del sound["status"]
    assert faults(sound, stripe.Subscription) == ["Subscription.status is not sent"]


def faults(body: dict[str, Any], shape: Shape, where: str | None = None) -> list[str]:
    """Whatever in a body, and in the objects in it, is not as the library declares it."""
    where = where or shape.__name__
    declared = {name: kind for name, kind in shape.__annotations__.items() if name.islower()}
    unknown = body.keys() - declared.keys() - FUTURE - BESIDE.get(shape, set())
    absent = declared.keys() - body.keys() - SELDOM.get(shape, set())
    found = [f"{where}.{name} is not declared" for name in sorted(unknown)]
    found += [f"{where}.{name} is not sent" for name in sorted(absent)]
    for name, annotation in declared.items():
        if name in body:
            found += misfits(body[name], annotation, f"{where}.{name}")
    return found


def misfits(value: object, annotation: Any, where: str) -> list[str]:
    """Why a JSON value cannot be what an annotation says; names of classes mean any object."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        tried = [misfits(value, part, where) for part in parts]
        inside = [one for one in tried if one and one[0].startswith(f"{where}.")]
        return [] if [] in tried else (inside or [[_wrong(value, annotation, where)]])[0]
    if origin is list and isinstance(value, list):
        return [one for part in value for one in misfits(part, parts[0], f"{where}[]")]
    if origin is stripe.ListObject and isinstance(value, dict):
        return [one for part in value["data"] for one in misfits(part, parts[0], f"{where}.data[]")]
    if isinstance(value, dict) and (shape := _shape(value, annotation)) is not None:
        return faults(value, shape, where)
    return [] if _fits(value, annotation) else [_wrong(value, annotation, where)]


def _wrong(value: object, annotation: Any, where: str) -> str:
    return f"{where} = {value!r} is no {annotation}"


def _shape(value: dict[str, Any], annotation: Any) -> Shape | None:
    if isinstance(annotation, ForwardRef | str):
        return SHAPES.get(str(value.get("object")))
    known = isinstance(annotation, type) and issubclass(annotation, stripe.StripeObject)
    return annotation if known else None


def _fits(value: object, annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Literal:
        return value in get_args(annotation)
    # An id is declared as `str` beside the name of the class.
    if origin is not None or isinstance(annotation, ForwardRef | str):
        return isinstance(value, dict)
    if annotation is Decimal:
        return isinstance(value, str) and Decimal(value).is_finite()
    return type(value) in ({int, float} if annotation is float else {annotation})
