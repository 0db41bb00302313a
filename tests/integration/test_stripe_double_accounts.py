"""Whose things these are: the account's own answer, events' contexts, customers as accounts."""

import json
import time
from collections.abc import Iterator

import pytest
import stripe

from sandbox.stripe_double import MAIN_ACCOUNT, DeliveryPlan, StripeDouble, sign
from tests.integration.double_client import Client, Endpoint, open_endpoint
from tests.integration.test_stripe_double_shapes import faults

SECRETS = ["whsec_double"]
CONTEXTS = [MAIN_ACCOUNT, "acct_1Stranger", f"org_1Double/{MAIN_ACCOUNT}", "org_1/acct_1Stranger"]


@pytest.fixture
def client(stripe_double: StripeDouble) -> Iterator[Client]:
    opened = Client(stripe_double)
    yield opened
    opened.close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint() as opened:
        yield opened


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_account_answers_what_it_is_switched_to_and_nothing_else_does(
    stripe_double: StripeDouble, client: Client, status: int
) -> None:
    stripe_double.control.switch(account_status=status)
    answer = client.get("/v1/account")
    assert answer.status == status
    assert answer.json()["error"]["type"] in {"invalid_request_error", "api_error"}
    assert "code" not in answer.json()["error"]
    assert client.get("/v1/subscriptions").status == 200
    restricted = Client(stripe_double, key="rk_test_double")
    assert restricted.get("/v1/account").status == 403
    restricted.close()


@pytest.mark.parametrize("context", CONTEXTS)
def test_events_say_their_context_wherever_they_are_read(
    stripe_double: StripeDouble, client: Client, endpoint: Endpoint, context: str
) -> None:
    control = stripe_double.control
    control.switch(event_context=context)
    control.create_customer()
    control.deliver(endpoint.url, SECRETS, DeliveryPlan(thin=1.0))
    assert [event["object"] for event in endpoint.events()] == ["event", "v2.core.event"]
    listed = client.read("/v1/events")["data"]
    for event in (*endpoint.events(), *listed):
        assert event["context"] == context
    assert faults(listed[0], stripe.Event) == []
    control.switch(event_context=None)
    assert "context" not in client.read("/v1/events")["data"][0]


def test_customer_beside_its_account_is_both(stripe_double: StripeDouble, client: Client) -> None:
    """docs.stripe.com/accounts-v2/use-accounts-as-customers: the two are kept interoperable."""
    control = stripe_double.control
    control.create_subscription()
    control.switch(accounts_v2="beside")
    name = control.create_subscription()
    found = client.read(f"/v1/subscriptions/{name}")
    account = found["customer_account"]
    assert account.startswith("acct_")
    assert client.read(f"/v1/customers/{found['customer']}")["customer_account"] == account
    assert client.ids("/v1/subscriptions", customer_account=account) == [name]
    assert client.ids("/v1/subscriptions", customer=found["customer"]) == [name]
    assert faults(found, stripe.Subscription) == []
    assert {kind for _, kind in control.event_types()} == {
        "customer.created",
        "customer.subscription.created",
    }


def test_account_instead_of_a_customer_is_all_that_a_subscription_names(
    stripe_double: StripeDouble, client: Client, endpoint: Endpoint
) -> None:
    control = stripe_double.control
    control.switch(accounts_v2="instead")
    customer = control.create_customer()
    name = control.create_subscription(customer=customer)
    control.update_customer(customer, phone="+33 1")
    control.delete_customer(customer)

    found = client.read(f"/v1/subscriptions/{name}")
    assert (found["customer"], found["status"]) == (None, "canceled")
    assert faults(found, stripe.Subscription) == [
        f"Subscription.customer = None is no {stripe.Subscription.__annotations__['customer']}"
    ]
    listed = {event["type"] for event in client.read("/v1/events")["data"]}
    assert listed == {"customer.subscription.created", "customer.subscription.deleted"}
    assert {event["type"] for event in control.events()} == listed

    control.deliver(endpoint.url, SECRETS)
    thin = [event for event in endpoint.events() if event["object"] == "v2.core.event"]
    assert [event["type"] for event in thin] == [
        "v2.core.account.created",
        "v2.core.account[configuration.customer].updated",
        "v2.core.account.closed",
    ]
    account = found["customer_account"]
    for event in thin:
        assert event["related_object"] == {
            "id": account,
            "type": "v2.core.account",
            "url": f"/v2/core/accounts/{account}",
        }
        assert client.get(f"/v1/events/{event['id']}").status == 404


def test_thin_events_have_the_librarys_fields_and_are_known_to_it(
    stripe_double: StripeDouble, client: Client
) -> None:
    """`related_object` is declared by each kind of event (stripe/events), `changes` is seldom."""
    control = stripe_double.control
    customers = [control.create_customer()]
    control.create_subscription(customer=customers[0])
    control.switch(accounts_v2="instead")
    customers.append(control.create_customer())
    for customer in customers:
        control.update_customer(customer, phone="+33 1")
        control.delete_customer(customer)
    library = stripe.StripeClient("sk_test_double")
    assert len(control.event_types()) == 8
    for name, _ in control.event_types():
        body = control.thin_body(name)
        assert set(faults(json.loads(body), stripe.v2.core.Event)) <= {
            "Event.related_object is not declared",
            "Event.changes is not sent",
            "Event.snapshot_event is not sent",
        }
        header = sign(body, "whsec_double", int(time.time()))
        known = library.parse_event_notification(body, header, "whsec_double")
        assert client.read(f"/v2/core/events/{known.id}") == json.loads(body)
        assert not type(known).__name__.startswith("Unknown"), known.type
