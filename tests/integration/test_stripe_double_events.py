"""The double makes and lists events like Stripe, and remembers every state for a judge."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from sandbox.stripe_double import StripeDouble
from tests.integration.double_client import Client, Endpoint, open_endpoint

SECRETS = ["whsec_one"]


@pytest.fixture
def client(stripe_double: StripeDouble) -> Iterator[Client]:
    opened = Client(stripe_double)
    yield opened
    opened.close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint() as opened:
        yield opened


def types_of(double: StripeDouble) -> list[str]:
    return [kind.removeprefix("customer.") for _, kind in double.control.event_types()]


# Which events a change makes


def test_life_of_a_subscription_makes_stripes_events(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    name = control.create_subscription(trial_days=7)
    control.emit("customer.subscription.trial_will_end", name)
    control.pause(name)
    control.resume(name)
    control.update_subscription(name, metadata={"a": "b"})
    control.update_subscription(name, metadata={"a": "b"})
    control.cancel(name, at_period_end=True)
    control.cancel(name)
    assert types_of(stripe_double) == [
        "created",
        "subscription.created",
        "subscription.trial_will_end",
        "subscription.updated",
        "subscription.paused",
        "subscription.updated",
        "subscription.resumed",
        "subscription.updated",
        "subscription.updated",
        "subscription.deleted",
    ]


def test_deleting_a_customer_cancels_its_subscriptions_first(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    customer = control.create_customer()
    for _ in range(2):
        control.create_subscription(customer=customer)
    control.update_customer(customer, name="New")
    control.delete_customer(customer)
    assert types_of(stripe_double) == [
        "created",
        "subscription.created",
        "subscription.created",
        "updated",
        "subscription.deleted",
        "subscription.deleted",
        "deleted",
    ]


def test_event_shows_the_object_as_it_became_and_what_it_was(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    name = control.create_subscription(quantity=1, metadata={"a": "1", "b": "2"})
    item = client.read(f"/v1/subscriptions/{name}")["items"]["data"][0]["id"]
    control.change_item(name, item, quantity=5)
    control.update_subscription(name, metadata={"a": "1", "b": "3"}, cancel_at=1_900_000_000)
    control.advance(3.7)
    control.cancel(name)

    changed, labelled, gone = control.events()[-3:]

    assert changed["data"]["previous_attributes"]["items"]["data"][0]["quantity"] == 1
    assert changed["data"]["object"]["items"]["data"][0]["quantity"] == 5
    assert labelled["data"]["previous_attributes"] == {"cancel_at": None, "metadata": {"b": "2"}}
    assert "previous_attributes" not in gone["data"]
    assert gone["data"]["object"]["status"] == "canceled"
    assert gone["created"] == int(control.now())
    assert gone["livemode"] is False
    assert client.read("/v1/events", type="customer.subscription.deleted")["data"] == [gone]


def test_stripe_may_make_no_event_or_two_for_one_change(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    name = control.create_subscription(events=0)
    assert control.events() == []
    control.update_subscription(name, description="twice", events=2)
    first, second = control.events()
    assert first["id"] != second["id"]
    assert {**first, "id": ""} == {**second, "id": ""}


def test_paused_event_lacks_items_when_switched(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    control.pause(control.create_subscription())
    assert "items" in control.events()[-1]["data"]["object"]
    control.switch(paused_without_items=True)
    paused = control.events()[-1]
    assert paused["type"] == "customer.subscription.paused"
    assert "items" not in paused["data"]["object"]
    assert "items" in control.events()[-2]["data"]["object"]


def test_any_event_with_any_object_can_be_made(
    stripe_double: StripeDouble, endpoint: Endpoint
) -> None:
    control = stripe_double.control
    poison = {
        "id": "sub_1",
        "object": "subscription",
        "metadata": {"bad": "\x00\ud800"},
        "n": 9**99,
    }
    control.emit_object("customer.subscription.updated", poison, extra={"account": "acct_x"})
    control.deliver(endpoint.url, SECRETS)
    event = endpoint.events()[0]
    assert event["account"] == "acct_x"
    assert event["data"]["object"] == poison


def test_poison_may_lie_over_a_whole_object(stripe_double: StripeDouble, client: Client) -> None:
    control = stripe_double.control
    control.create_subscription(extra={"status": None, "metadata": {"bad": "\ud800"}})
    sound = control.create_subscription()
    found = client.read("/v1/subscriptions")["data"]
    assert found[0]["id"] == sound
    assert found[1]["metadata"] == {"bad": "\ud800"}
    assert found[1]["status"] is None
    control.update_subscription(found[1]["id"], extra={})
    assert client.read("/v1/subscriptions")["data"][1]["status"] == "active"


def test_event_is_rendered_in_the_version_of_its_reader(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    control.create_subscription()
    name = control.outbox()[-1]
    control.switch(account_version="2024-06-20")
    old = json.loads(control.event_body(name, api_version="2024-06-20"))
    new = json.loads(control.event_body(name))
    assert old["api_version"] == "2024-06-20"
    assert "current_period_end" in old["data"]["object"]
    assert new["api_version"] == "2026-10-28.endive"
    assert "current_period_end" not in new["data"]["object"]
    control.create_subscription()
    assert control.events()[-1]["api_version"] == "2024-06-20"


def test_what_stripe_does_by_itself_names_no_request(
    stripe_double: StripeDouble,
) -> None:
    """As in public recordings: `request.id` is null, and a thin event has no reason."""
    control = stripe_double.control
    name = control.create_subscription()
    control.renew(name)
    renewed = control.events()[-1]
    assert renewed["request"] == {"id": None, "idempotency_key": None}
    assert json.loads(control.thin_body(renewed["id"]))["reason"] is None
    control.cancel(name)
    assert control.events()[-1]["request"]["id"].startswith("req_")


# The event list


def test_events_are_listed_newest_first_by_type_time_and_cursor(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    start = int(control.now())
    for _ in range(15):
        control.create_subscription()
        control.advance(1)
    names = [name for name, _ in control.event_types()]

    assert client.walk("/v1/events", limit=7) == names[::-1]
    assert client.ids("/v1/events", created_gte=start + 2, created_lt=start + 4) == names[7:3:-1]
    assert len(client.walk("/v1/events", type="customer.created")) == 15
    assert len(client.walk("/v1/events", types=["customer.created"])) == 15
    assert len(client.walk("/v1/events", type="customer.subscription.*")) == 15
    assert len(client.walk("/v1/events", type="*")) == 30
    both = ["customer.created", "customer.subscription.created"]
    assert len(client.walk("/v1/events", types=both)) == 30
    assert client.get("/v1/events", types=[f"t{n}" for n in range(21)]).status == 400
    assert client.get("/v1/events", types=both, type="customer.created").status == 400
    assert client.ids("/v1/events", ending_before=names[3], limit=2) == names[5:3:-1]
    assert client.read(f"/v1/events/{names[3]}") == control.events()[3]


def test_events_are_forgotten_after_30_days(stripe_double: StripeDouble, client: Client) -> None:
    control = stripe_double.control
    control.create_customer()
    control.advance(20 * 86_400)
    control.create_customer()
    old, new = control.outbox()
    assert client.ids("/v1/events") == [new, old]
    control.advance(11 * 86_400)
    assert client.ids("/v1/events") == [new]
    assert client.get(f"/v1/events/{old}").status == 404
    assert len(control.events()) == 2


def test_delivery_success_tells_accepted_events_from_others(
    stripe_double: StripeDouble, client: Client, endpoint: Endpoint
) -> None:
    control = stripe_double.control
    for _ in range(3):
        control.create_customer()
    first, second, third = control.outbox()
    control.send([second], endpoint.url, SECRETS)
    endpoint.status = 500
    control.send([third], endpoint.url, SECRETS)
    assert client.ids("/v1/events", delivery_success="true") == [second]
    assert client.ids("/v1/events", delivery_success="false") == [third, first]
    assert client.read(f"/v1/events/{second}")["pending_webhooks"] == 0
    assert control.outbox() == [first]
    assert control.undelivered() == [third]


# The truth


def test_history_tells_every_state_in_order(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    start = control.now()
    name = control.create_subscription(status="incomplete")
    control.activate(name)
    control.advance(0.5)
    control.cancel(name)
    history = control.history(name)
    assert [seen.object["status"] for seen in history] == ["incomplete", "active", "canceled"]
    assert [seen.at - start for seen in history] == [0, 0, 0.5]
    assert control.truth(name) == history[-1].object
    assert control.truth("nobody") is None
    assert control.history("nobody") == []
    customer = history[0].object["customer"]
    control.delete_customer(customer)
    assert control.truth(customer) == {"id": customer, "object": "customer", "deleted": True}


def test_truth_holds_all_items(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    name = control.create_subscription(items=[{"price": "basic"}] * 30)
    found = control.truth(name)
    assert found is not None
    assert len(found["items"]["data"]) == 30
    assert [one["id"] for one in control.truths("subscription")] == [name]


def test_churn_is_lawful_and_the_same_for_the_same_seed(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    control.seed(20)
    assert control.churn(300, seed=5, events=None) == len(control.events())
    kinds = [kind for _, kind in control.event_types()]
    ends = {"customer.subscription.deleted", "customer.deleted", "customer.subscription.paused"}
    assert set(kinds) >= ends
    seconds = Counter(event["created"] for event in control.events())
    assert max(seconds.values()) > 2
    truths = list(control.truths("subscription"))
    for name in control.ids("subscription"):
        statuses = [seen.object["status"] for seen in control.history(name)]
        for before, after in pairwise(statuses):
            assert before == after or before not in {"canceled", "incomplete_expired"}
    stripe_double.reset()
    control.seed(20)
    control.churn(300, seed=5, events=None)
    assert list(control.truths("subscription")) == truths
    assert [kind for _, kind in control.event_types()] == kinds
