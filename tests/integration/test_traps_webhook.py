"""Known ways in which an endpoint loses, doubles or leaks events, each tried on the real thing."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from sandbox.stripe_double import Control, StripeDouble
from shared.errors import DatabaseUnavailable, SettingsError
from shared.mirror import Mirror, Outcome
from shared.objects.declaration import MirroredObject
from shared.settings import WebhookSettings, load
from tests.builders import Endpoint, apply, apply_all, mirror, reconcile, world
from tests.integration.lived import Lived
from tests.integration.witness import count, one
from tests.objects import each_object, event_type, has_items, tables

ACACIA = "2025-02-24.acacia"
TWELVE = [{"price": "basic", "quantity": number + 1} for number in range(12)]


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


def test_more_than_ten_items_of_an_event_are_all_stored(
    heart: Mirror, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 5: the event embeds ten of twelve items and says `has_more`."""
    control = stripe_double.control
    subscription = control.create_subscription(items=TWELVE)
    body = control.event_body(control.events()[-1]["id"])
    assert json.loads(body)["data"]["object"]["items"]["has_more"] is True
    assert apply(heart, body).outcome is Outcome.APPLIED
    assert count(connection, "subscription_items") == 12
    control.advance(60)
    control.update_subscription(subscription, metadata={"still": "twelve"})
    apply_all(heart, control)
    assert count(connection, "subscription_items") == 12
    assert count(connection, "changes", "fields::text LIKE '%%items.%%'") == 1


def test_more_than_ten_items_of_an_answer_are_all_stored(
    heart: Mirror, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 5: a retrieve embeds no more than an event does; items come 100 a page."""
    control = stripe_double.control
    subscription = control.create_subscription(items=TWELVE * 10)
    for status in ("past_due", "active"):
        control.update_subscription(subscription, status=status)
    for made in reversed(control.events()):
        apply(heart, control.event_body(made["id"]))
    assert count(connection, "subscription_items") == 120
    assert control.request_counts()["subscription_items.list"] >= 2


def test_row_is_the_same_from_either_side_of_basil(
    heart: Mirror, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 6: since basil the period is on the items, before that on the subscription."""
    control = stripe_double.control
    control.create_subscription(price="pro", customer=control.create_customer())
    name = control.events()[-1]["id"]
    old = control.event_body(name, api_version=ACACIA)
    assert "current_period_end" in json.loads(old)["data"]["object"]
    assert apply(heart, old).outcome is Outcome.APPLIED
    before = world(connection, "events", "account")
    assert one(connection, "SELECT current_period_end FROM stripe.subscriptions") is not None
    assert one(connection, "SELECT current_period_end FROM stripe.subscription_items") is not None
    again = json.loads(control.event_body(name))
    again["id"] = "evt_1TheSameSinceBasil"
    assert "current_period_end" not in again["data"]["object"]
    assert apply(heart, json.dumps(again).encode()).outcome is Outcome.UNCHANGED
    after = world(connection, "events", "account")
    assert after["subscription_items"] == before["subscription_items"]
    assert after["changes"] == before["changes"]


@each_object()
@pytest.mark.parametrize("place", ["changes", "events", "its tables"])
def test_event_whose_transaction_is_cut_is_applied_when_it_comes_again(
    heart: Mirror,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    place: str,
) -> None:
    """Trap 11: id claimed in one transaction, work done in another; a crash between them."""
    connection.execute(
        """
        CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_terminate_backend(pg_backend_pid());
            RETURN NEW;
        END $$
        """
    )
    for table in tables(mirrored) if place == "its tables" else (place,):
        lived = Lived(stripe_double.control, mirrored)
        before = world(connection, "account")
        connection.execute(
            f"""
            CREATE TRIGGER crash AFTER INSERT ON stripe.{table}
                FOR EACH ROW EXECUTE FUNCTION crash()
            """.encode()
        )
        with pytest.raises(DatabaseUnavailable):
            apply(heart, lived.body())
        assert world(connection, "account") == before
        connection.execute(f"DROP TRIGGER crash ON stripe.{table}".encode())
        assert apply(heart, lived.body()).outcome is Outcome.APPLIED
        assert lived.held(connection) == 0
        assert apply(heart, lived.body()).outcome is Outcome.DUPLICATE


@each_object()
@pytest.mark.parametrize("kind", ["created", "updated"])
def test_500_copies_of_one_event_at_once_are_one(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    kind: str,
) -> None:
    """Trap 12: duplicate-key errors and double work. 500 threads start at one barrier."""
    lived = Lived(stripe_double.control, mirrored)
    stripe_double.control.advance(60)
    lived.become(1)
    created, updated = lived.bodies()
    copies = 500
    barrier = threading.Barrier(copies)

    def deliver(to: Mirror) -> Outcome:
        barrier.wait(30)
        return apply(to, created if kind == "created" else updated, 30.0).outcome

    with mirror(database_url, stripe_double, connections=20) as heart:
        if kind == "updated":
            apply(heart, created)
        changes = count(connection, "changes")
        with ThreadPoolExecutor(copies) as pool:
            outcomes = Counter(pool.map(deliver, [heart] * copies))
    assert outcomes == {Outcome.APPLIED: 1, Outcome.DUPLICATE: copies - 1}
    assert count(connection, "events", f"type = '{event_type(mirrored, kind)}'") == 1
    assert count(connection, "events", "attempts <> 1") == 0
    assert count(connection, "changes") == changes + 1
    assert lived.held(connection) == (kind == "updated")


def poison_of(control: Control, mirrored: MirroredObject) -> str:
    """An event of an object that nobody can read, and that Stripe has not."""
    poison = {"id": "x_1Poison", "object": mirrored.name, "created": "poison@example.com"}
    return control.emit_object(event_type(mirrored, "updated"), poison)


@each_object()
def test_100_copies_of_a_poison_event_at_once_are_one_row(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 12 and 13: what cannot be applied is kept once, whoever comes first."""
    control = stripe_double.control
    body = control.event_body(poison_of(control, mirrored))
    copies = 100
    barrier = threading.Barrier(copies)

    def deliver(to: Mirror) -> Outcome:
        barrier.wait(30)
        return apply(to, body, 30.0).outcome

    with mirror(database_url, stripe_double) as heart, ThreadPoolExecutor(copies) as pool:
        assert set(pool.map(deliver, [heart] * copies)) == {Outcome.FAILED}
    assert count(connection, "events") == 1


@each_object()
def test_poison_event_is_kept_answered_200_and_blocks_nothing(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 13: 400 for three days until the endpoint is disabled, or 200 and lost."""
    control = stripe_double.control
    name = poison_of(control, mirrored)
    poison = control.event_body(name)
    answer = endpoint.post(poison)
    assert (answer.status_code, answer.json) == (200, {"outcome": "failed"})
    kept = connection.execute(
        "SELECT outcome, payload, error, attempts FROM stripe.events"
    ).fetchall()
    assert kept == [("failed", poison, kept[0][2], 1)]
    assert "$.created" in kept[0][2]
    assert "poison@" not in kept[0][2]
    assert count(connection, mirrored.table) == 0
    lived = Lived(control, mirrored)
    assert endpoint.post(lived.body()).json == {"outcome": "applied"}
    # It is tried again whenever it comes, and counted.
    assert endpoint.post(poison).json == {"outcome": "failed"}
    assert one(connection, "SELECT attempts FROM stripe.events WHERE id = %s", name) == 2
    assert lived.held(connection) == 0
    assert [line["level"] for line in endpoint.logged() if line["event"] == "event.failed"] != []
    report = reconcile(endpoint.url, stripe_double)
    assert report.failed == 1


@each_object(has_items)
def test_poison_in_an_item_is_told_by_its_path(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 13: an item's id that is none, in what else can be read."""
    control = stripe_double.control
    bad = json.loads(Lived(control, mirrored).body())["data"]["object"]
    bad["id"] = "x_1Poison"
    bad["items"]["data"][0]["id"] = {"mail": "poison@example.com"}
    name = control.emit_object(event_type(mirrored, "updated"), bad)
    assert endpoint.post(control.event_body(name)).json == {"outcome": "failed"}
    error = one(connection, "SELECT error FROM stripe.events")
    assert "$.items.data[0].id" in error
    assert "poison@" not in error
    assert count(connection, mirrored.table) == 0


def test_new_status_is_stored_as_it_is(
    heart: Mirror, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 15: a new enum value fails hard until somebody migrates."""
    control = stripe_double.control
    subscription = control.create_subscription(status="hibernating", collection_method="by_pigeon")
    apply_all(heart, control)
    row = connection.execute(
        "SELECT id, status, collection_method FROM stripe.subscriptions"
    ).fetchall()
    assert row == [(subscription, "hibernating", "by_pigeon")]


@pytest.mark.parametrize("secret", ["", "   ", ",", "whsec_one,", "whsec_"])
def test_service_without_a_signing_secret_does_not_start(secret: str) -> None:
    """Trap 19: no secret configured means no check."""
    environment = {
        "DATABASE_URL": "postgresql:///nowhere?host=/nowhere",
        "STRIPE_SECRET_KEY": "sk_test_double",
        "STRIPE_WEBHOOK_SECRET": secret,
    }
    with pytest.raises(SettingsError, match="STRIPE_WEBHOOK_SECRET"):
        load(WebhookSettings, environment)
