"""The double delivers events like Stripe: signed, twice, out of order, or never."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import stripe

from sandbox.stripe_double import DeliveryPlan, StripeDouble, sign
from tests.integration.double_client import Endpoint, open_endpoint

SECRETS = ["whsec_one"]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint() as opened:
        yield opened


def verify(headers: dict[str, str], body: bytes, secret: str) -> None:
    stripe.WebhookSignature.verify_header(body.decode(), headers["stripe-signature"], secret, 300)


def test_delivered_bodies_are_signed_for_the_library(
    stripe_double: StripeDouble, endpoint: Endpoint
) -> None:
    control = stripe_double.control
    control.create_subscription(metadata={"name": "Ünïcode"})
    sent = control.deliver(endpoint.url, ["whsec_new", "whsec_old"], DeliveryPlan(v0=True))
    assert [one.accepted for one in sent] == [True, True]
    assert sent[0].answers[0].body == b'{"outcome": "seen"}'
    assert control.outbox() == []
    for headers, body in endpoint.received:
        for secret in ("whsec_new", "whsec_old"):
            verify(headers, body, secret)
        assert headers["stripe-signature"].count("v1=") == 2
        assert headers["stripe-signature"].count("v0=") == 1
        assert body.startswith(b'{\n  "id": "evt_')
        event = stripe.Webhook.construct_event(
            body, headers["stripe-signature"], "whsec_new", api_key="x"
        )
        assert event.id in [one.event_id for one in sent]
        with pytest.raises(stripe.SignatureVerificationError):
            verify(headers, body, "whsec_other")


def test_signature_of_another_time_or_body_is_another() -> None:
    assert sign(b"{}", "whsec_one", 5).startswith("t=5,v1=")
    assert len({sign(b"{}", "a", 5), sign(b"{}", "a", 6), sign(b"[]", "a", 5)}) == 3
    assert len({sign(b"{}", "a", 5)[4:], sign(b"{}", "b", 5)[4:]}) == 2


def test_signing_time_can_be_set(stripe_double: StripeDouble, endpoint: Endpoint) -> None:
    stripe_double.control.create_customer()
    stripe_double.control.deliver(endpoint.url, SECRETS, DeliveryPlan(t=1_000))
    headers, body = endpoint.received[0]
    assert headers["stripe-signature"] == sign(body, SECRETS[0], 1_000)


def run(plan: DeliveryPlan) -> tuple[list[str], list[str], dict[str, Any]]:
    """Event ids as made and as received, and what became of the rest."""
    with StripeDouble.start() as double, open_endpoint() as endpoint:
        control = double.control
        for _ in range(100):
            control.create_customer()
        made = control.outbox()
        control.deliver(endpoint.url, SECRETS, plan)
        left = {"lost": control.lost(), "late": control.outbox()}
        return made, endpoint.event_ids(), left


def test_plain_delivery_is_once_and_in_order() -> None:
    made, received, left = run(DeliveryPlan())
    assert received == made
    assert left == {"lost": [], "late": []}


def test_copies_and_duplicates_send_events_again() -> None:
    made, received, _ = run(DeliveryPlan(copies=(1, 3)))
    assert set(received) == set(made)
    assert set(Counter(received).values()) == {1, 2, 3}
    made, received, _ = run(DeliveryPlan(duplicates=0.2))
    assert 105 < len(received) < 140
    assert set(received) == set(made)


def test_shuffled_delivery_is_the_same_for_the_same_seed() -> None:
    made, received, _ = run(DeliveryPlan(order="shuffled", seed=3))
    assert sorted(received) == sorted(made)
    assert received != made
    assert run(DeliveryPlan(order="shuffled", seed=3))[1] == received
    assert run(DeliveryPlan(order="shuffled", seed=4))[1] != received


def test_bounded_reordering_moves_events_a_few_places() -> None:
    made, received, _ = run(DeliveryPlan(within=5))
    places = [made.index(name) for name in received]
    assert sorted(places) == list(range(100))
    assert any(later < sooner for sooner, later in pairwise(places))
    assert all(abs(place - now) <= 5 for now, place in enumerate(places))


def test_loss_and_lateness_keep_events_back() -> None:
    made, received, left = run(DeliveryPlan(loss=0.1, late=0.2))
    assert 2 < len(left["lost"]) < 25
    assert 5 < len(left["late"]) < 40
    assert sorted(received + left["lost"] + left["late"]) == sorted(made)


def test_many_senders_deliver_everything_at_once() -> None:
    made, received, _ = run(DeliveryPlan(senders=8, copies=(2, 2)))
    assert Counter(received) == dict.fromkeys(made, 2)


def test_versions_are_mixed_when_several_are_given(
    stripe_double: StripeDouble, endpoint: Endpoint
) -> None:
    for _ in range(20):
        stripe_double.control.create_subscription()
    versions = ("2024-06-20", "2026-10-28.endive")
    stripe_double.control.deliver(endpoint.url, SECRETS, DeliveryPlan(api_versions=versions))
    assert {event["api_version"] for event in endpoint.events()} == set(versions)


def test_refused_events_are_redelivered_until_accepted(
    stripe_double: StripeDouble, endpoint: Endpoint
) -> None:
    control = stripe_double.control
    for _ in range(10):
        control.create_customer()
    endpoint.refuse_first = 14
    sent = control.deliver(endpoint.url, SECRETS, DeliveryPlan(t=1_000))
    assert not any(one.accepted for one in sent)
    again = control.redeliver_until_accepted(endpoint.url, SECRETS)
    assert len(again) == 14
    assert control.undelivered() == []
    assert endpoint.event_ids()[10:20] == endpoint.event_ids()[:10]
    headers, body = endpoint.received[-1]
    verify(headers, body, SECRETS[0])


def test_redelivery_gives_up_after_its_rounds(
    stripe_double: StripeDouble, endpoint: Endpoint
) -> None:
    stripe_double.control.create_customer()
    endpoint.status = 302
    stripe_double.control.deliver(endpoint.url, SECRETS)
    again = stripe_double.control.redeliver_until_accepted(endpoint.url, SECRETS, rounds=3)
    assert [one.answers[0].status for one in again] == [302, 302, 302]
    assert len(stripe_double.control.undelivered()) == 1


def test_dead_endpoint_leaves_events_undelivered(stripe_double: StripeDouble) -> None:
    with open_endpoint() as gone:
        url = gone.url
    stripe_double.control.create_customer()
    sent = stripe_double.control.deliver(url, SECRETS)
    assert sent[0].answers[0].status is None
    assert sent[0].answers[0].error == "ConnectionRefusedError"
    assert len(stripe_double.control.undelivered()) == 1


def test_chosen_events_are_sent_in_the_order_given(
    stripe_double: StripeDouble, endpoint: Endpoint
) -> None:
    control = stripe_double.control
    for _ in range(4):
        control.create_customer()
    first, second, third, fourth = control.outbox()
    control.send([third, first, third], endpoint.url, SECRETS)
    control.drop(second)
    control.requeue(first)
    control.deliver(endpoint.url, SECRETS)
    assert endpoint.event_ids() == [third, first, third, fourth, first]
    assert control.lost() == [second]


def test_thin_twin_names_its_snapshot(stripe_double: StripeDouble, endpoint: Endpoint) -> None:
    control = stripe_double.control
    control.set_clock(1_800_000_000.5)
    name = control.create_subscription()
    event = control.outbox()[-1]
    control.send([event], endpoint.url, SECRETS, DeliveryPlan(thin=1.0))
    snapshot, thin = endpoint.events()
    assert snapshot["id"] == event
    assert thin["object"] == "v2.core.event"
    assert thin["type"] == "v1.customer.subscription.created"
    assert thin["created"] == "2027-01-15T08:00:00.500Z"
    assert thin["snapshot_event"] == event
    assert thin["related_object"] == {
        "id": name,
        "type": "subscription",
        "url": f"/v1/subscriptions/{name}",
    }
