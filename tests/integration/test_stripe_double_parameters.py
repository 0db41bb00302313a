"""The double takes the parameters that the pinned library declares; the product sends no others.

Stripe refuses a parameter that it does not know (docs.stripe.com/error-codes#parameter-unknown), so
one wrong name would end every night.
"""

import time
from typing import Any

import pytest
from stripe import RequestOptions
from stripe.params import (
    AccountRetrieveCurrentParams,
    CustomerListParams,
    CustomerRetrieveParams,
    EventListParams,
    EventRetrieveParams,
    PriceListParams,
    PriceRetrieveParams,
    ProductListParams,
    ProductRetrieveParams,
    SubscriptionItemListParams,
    SubscriptionListParams,
    SubscriptionRetrieveParams,
)
from stripe.params.v2.core import EventRetrieveParams as ThinEventRetrieveParams

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from sandbox.stripe_double.http.parameters import PARAMETERS
from shared.stripe.event import decode_event
from tests.builders import mirror, reconcile

DECLARED: dict[str, Any] = {
    "subscriptions.list": SubscriptionListParams,
    "subscriptions.retrieve": SubscriptionRetrieveParams,
    "subscription_items.list": SubscriptionItemListParams,
    "customers.list": CustomerListParams,
    "customers.retrieve": CustomerRetrieveParams,
    "products.list": ProductListParams,
    "products.retrieve": ProductRetrieveParams,
    "prices.list": PriceListParams,
    "prices.retrieve": PriceRetrieveParams,
    "events.list": EventListParams,
    "events.retrieve": EventRetrieveParams,
    "account.retrieve": AccountRetrieveCurrentParams,
    "thin_events.retrieve": ThinEventRetrieveParams,
}
# Events are asked for by their ids only where it is not known whose they are.
ASKED = DECLARED.keys() - {
    "events.retrieve",
    "thin_events.retrieve",
}
# Of what is deleted there Stripe says that there is no such object.
GONE = {"products.retrieve", "prices.retrieve"}


def declared(endpoint: str) -> set[str]:
    """The names that the library sends to Stripe; options of the client itself are none of them."""
    return set(DECLARED[endpoint].__annotations__) - set(RequestOptions.__annotations__)


@pytest.mark.parametrize("endpoint", DECLARED)
def test_double_takes_just_the_parameters_that_the_library_declares(endpoint: str) -> None:
    assert PARAMETERS[endpoint] == declared(endpoint)
    assert PARAMETERS.keys() == DECLARED.keys()


def test_product_asks_only_with_parameters_that_the_library_declares(
    database_url: str, stripe_double: StripeDouble
) -> None:
    """Every way of asking: pages, cursors, narrowed ranges, single objects, items, events."""
    control = stripe_double.control
    long_ago = int(control.now()) - 90 * 86_400
    control.seed(350, start=long_ago, end=long_ago)
    control.seed(200)
    crowded = control.create_subscription(items=[{"price": "basic"}] * 130)
    for number in range(250):
        control.update_subscription(crowded, metadata={"number": str(number)})
        if number % 3 == 0:
            control.advance(1)
    product, price = control.create_product(), control.create_price()
    control.advance(3_600)
    for _ in range(2):
        report = reconcile(database_url, stripe_double, every_field=True)
        assert report.run.outcome is RunOutcome.SUCCESS
        control.create_subscription()
        control.delete_product(product)
        control.delete_price(price)
        control.advance(3_600)
    with mirror(database_url, stripe_double) as heart:
        control.update_customer(control.create_customer(), phone="+33 1")
        for name, _ in control.event_types()[-3:]:
            body = control.thin_body(name)
            heart.apply_event(decode_event(body), body, time.monotonic() + 8)

    asked = control.requests()
    assert {line.endpoint for line in asked} >= ASKED
    for line in asked:
        names = {name.partition("[")[0] for name, _ in line.query}
        assert names <= declared(line.endpoint), line
        assert line.status == 200 or line.endpoint in GONE, line
    sent = {name for line in asked for name, _ in line.query}
    assert sent >= {"starting_after", "created[gte]", "created[lt]", "types[]", "status", "limit"}
