"""Thin events carry no snapshot: the object is fetched, and the snapshot twin is the same event."""

import json
import time
from collections.abc import Iterator

import psycopg
import pytest

from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror, Outcome
from shared.objects.declaration import MirroredObject
from shared.stripe.event import decode_event
from tests.builders import Endpoint, apply, apply_all, mirror, reconcile, world
from tests.integration.lived import Lived
from tests.integration.witness import count, one
from tests.objects import each_object, event_type
from tests.objects import endpoint as object_endpoint


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


def twins(control: Control) -> tuple[bytes, bytes]:
    """The newest event, thin and in full."""
    name = control.events()[-1]["id"]
    return control.thin_body(name), control.event_body(name)


def thin(body: bytes, **fields: object) -> bytes:
    """A thin event with other fields; None removes one."""
    changed = {**json.loads(body), **fields}
    return json.dumps({name: value for name, value in changed.items() if value is not ...}).encode()


@each_object()
@pytest.mark.parametrize("thin_first", [True, False])
def test_thin_event_and_its_snapshot_twin_are_one_event(
    heart: Mirror,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    thin_first: bool,
) -> None:
    control = stripe_double.control
    lived = Lived(control, mirrored)
    bodies = twins(control)
    first, second = bodies if thin_first else reversed(bodies)
    control.clear_requests()
    assert apply(heart, first).outcome is Outcome.APPLIED
    before = world(connection)
    assert apply(heart, second).outcome is Outcome.DUPLICATE
    assert world(connection) == before
    assert one(connection, "SELECT id FROM stripe.events") == control.events()[-1]["id"]
    asked = control.request_counts().get(object_endpoint(mirrored, "retrieve"), 0)
    assert asked == (1 if thin_first else 0)
    assert lived.held(connection) == 0


@each_object()
def test_thin_events_of_any_object_are_applied_through_the_endpoint(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    lived = Lived(control, mirrored)
    answer = endpoint.post(twins(control)[0])
    assert (answer.status_code, answer.json) == (200, {"outcome": "applied"})
    for number in (1, -1):
        control.advance(60)
        if number == 1:
            lived.become(1)
        else:
            lived.end()
        assert endpoint.post(twins(control)[0]).json == {"outcome": "applied"}
        assert lived.held(connection) == number
    assert endpoint.logged()[0]["event_type"] == f"v1.{event_type(mirrored, 'created')}"
    assert endpoint.logged()[0]["asked"] == 1


@each_object()
def test_thin_event_without_a_twin_is_an_event_of_its_own(
    heart: Mirror,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    Lived(control, mirrored)
    body = thin(twins(control)[0], snapshot_event=None)
    assert apply(heart, body).outcome is Outcome.APPLIED
    assert one(connection, "SELECT id FROM stripe.events") == json.loads(body)["id"]
    assert apply(heart, body).outcome is Outcome.DUPLICATE
    assert apply(heart, twins(control)[1]).outcome in {Outcome.UNCHANGED, Outcome.STALE}
    assert count(connection, "changes") == 1


@each_object()
def test_stale_thin_event_asks_nothing(
    heart: Mirror,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    lived = Lived(control, mirrored)
    old, _ = twins(control)
    control.advance(60)
    lived.become(1)
    assert apply(heart, twins(control)[1]).outcome is Outcome.APPLIED
    control.clear_requests()
    assert apply(heart, old).outcome is Outcome.STALE
    assert control.requests() == []
    assert lived.held(connection) == 1


@each_object()
def test_late_thin_event_brings_the_present_state_never_the_old_one(
    heart: Mirror,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    lived = Lived(control, mirrored)
    created, _ = twins(control)
    control.advance(60)
    lived.end()
    ended, snapshot = twins(control)
    assert apply(heart, created).outcome is Outcome.APPLIED
    assert lived.held(connection) == -1
    assert apply(heart, ended).outcome in {Outcome.UNCHANGED, Outcome.STALE}
    assert apply(heart, snapshot).outcome is Outcome.DUPLICATE
    assert count(connection, "changes") == 1


@pytest.mark.parametrize(
    "related",
    [
        {"id": "in_1", "type": "invoice", "url": "/v1/invoices/in_1"},
        {"id": "mtr_1", "type": "billing.meter"},
        None,
    ],
)
def test_thin_event_of_what_is_not_mirrored_is_ignored(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection, related: object
) -> None:
    stripe_double.control.create_customer()
    body = thin(
        twins(stripe_double.control)[0], type="v1.billing.meter.no_meter", related_object=related
    )
    answer = endpoint.post(body)
    assert (answer.status_code, answer.json) == (200, {"outcome": "ignored"})
    assert count(connection, "events") == 0
    assert stripe_double.control.requests() == []


def test_thin_event_of_an_object_that_stripe_lacks_is_kept_as_failed(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    stripe_double.control.create_customer()
    body = thin(
        twins(stripe_double.control)[0], related_object={"id": "cus_1Gone", "type": "customer"}
    )
    answer = endpoint.post(body)
    assert (answer.status_code, answer.json) == (200, {"outcome": "failed"})
    row = connection.execute("SELECT outcome, payload, object_id, error FROM stripe.events")
    assert row.fetchall() == [("failed", body, "cus_1Gone", "Stripe has no object cus_1Gone")]
    assert count(connection, "customers") == 0


def test_thin_event_is_postponed_while_stripe_is_down_and_applied_after(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    control.create_customer()
    body, _ = twins(control)
    control.fault("reset", count=None)
    began = time.monotonic()
    answer = endpoint.post(body)
    assert time.monotonic() - began < 5
    assert (answer.status_code, answer.json) == (503, {"error": "stripe_unavailable"})
    assert int(answer.headers["Retry-After"]) > 0
    assert count(connection, "events") == 0
    control.clear_faults()
    assert endpoint.post(body).json == {"outcome": "applied"}


@pytest.mark.parametrize(
    "fields",
    [
        {"livemode": True},
        {"context": "acct_1Somebody"},
        {"created": "2026-11-23T01:00:00"},
        {"created": "yesterday"},
        {"created": 5},
        {"object": "v2.core.thing"},
        {"related_object": {"id": "sub 1", "type": "subscription"}},
        {"related_object": {"id": "../accounts", "type": ["customer"]}},
        {"id": ""},
        {"snapshot_event": "evt 1"},
        {"livemode": ...},
    ],
)
def test_thin_event_that_is_none_or_not_ours_is_refused(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    fields: dict[str, object],
) -> None:
    stripe_double.control.create_customer()
    answer = endpoint.post(thin(twins(stripe_double.control)[0], **fields))
    assert answer.status_code == 400
    assert count(connection, "events") == 0
    # Whose a named account is may be asked; of nothing else.
    assert stripe_double.control.request_counts().keys() <= {"account.retrieve"}


def test_id_of_a_related_object_stays_inside_its_path(
    heart: Mirror, stripe_double: StripeDouble
) -> None:
    """Whoever can sign is Stripe; even so an id must not choose which address is asked."""
    control = stripe_double.control
    control.create_customer()
    body = thin(twins(control)[0], related_object={"id": "../account?x=", "type": "customer"})
    assert apply(heart, body).outcome is Outcome.FAILED
    asked, known = control.requests()
    assert asked.endpoint in {None, "customers.retrieve"}
    assert asked.path.startswith("/v1/customers/")
    assert known.path == f"/v1/events/{json.loads(body)['snapshot_event']}"


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.9-12:00"]
)
def test_thin_event_at_the_ends_of_time_breaks_nothing(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection, moment: str
) -> None:
    stripe_double.control.create_customer()
    answer = endpoint.post(thin(twins(stripe_double.control)[0], created=moment))
    assert answer.status_code in {200, 400}
    assert count(connection, "customers", "as_of IS NULL") == 0


def test_lost_thin_event_is_found_by_its_twin_and_a_delivered_one_is_not_missed(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    customer = control.create_customer()
    assert endpoint.post(twins(control)[0]).status_code == 200
    control.advance(60)
    control.update_customer(customer, name="lost")
    control.advance(60)
    report = reconcile(endpoint.url, stripe_double)
    assert (report.events.listed, report.events.missed) == (2, 1)
    assert count(connection, "events", "source = 'reconcile'") == 1


def test_thin_and_full_events_mixed_and_shuffled_end_in_stripes_state(
    heart: Mirror, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    control.churn(120, seed=7, seconds=1.0)
    names = [made["id"] for made in control.events()]
    order = sorted(names, key=lambda name: hash((name[-3:], len(names))))
    for number, name in enumerate(order):
        body = control.thin_body(name) if number % 2 else control.event_body(name)
        assert apply(heart, body).outcome is not Outcome.FAILED
    rows = connection.execute("SELECT id, status FROM stripe.subscriptions").fetchall()
    assert dict(rows) == {one["id"]: one["status"] for one in control.truths("subscription")}
    apply_all(heart, control)
    assert count(connection, "events") == len(names)


def test_creation_told_by_a_thin_event_claims_no_earlier_second() -> None:
    body = {
        "object": "v2.core.event",
        "id": "evt_1",
        "type": "v1.customer.created",
        "created": "2026-11-23T01:00:00.999Z",
        "livemode": False,
        "related_object": {"id": "cus_1", "type": "customer"},
    }
    event = decode_event(json.dumps(body).encode())
    assert event.interval == (event.created, event.created + 1)
