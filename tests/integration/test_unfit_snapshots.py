"""A snapshot that cannot be read, written or believed: the row is what Stripe has, never failed."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import psycopg
import pytest
from psycopg import sql

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.repository.rows import read_held
from tests.builders import Endpoint, reconcile
from tests.integration.witness import count, one

WRONG: list[Any] = [None, "yesterday", 10**30, 1.5, [5], {"id": 5}, "a\0b", "\ud800"]

WHOLE = {"metadata", "pause_collection", "discounts"}

Path = tuple[str | int, ...]


def paths(body: Any, path: Path = ()) -> Iterator[Path]:
    """Every field of a body, but for its own id and what is within a WHOLE one."""
    if isinstance(body, dict):
        for name, value in body.items():
            if (*path, name) != ("id",):
                yield (*path, name)
                if name not in WHOLE:
                    yield from paths(value, (*path, name))
    elif isinstance(body, list):
        for place, value in enumerate(body):
            yield from paths(value, (*path, place))


def put(body: Any, path: Path, value: Any) -> Any:
    """A body with another value at a place; ... leaves it out."""
    made = deepcopy(body)
    inner = made
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


def make(double: StripeDouble, mirrored: MirroredObject) -> str:
    """An object of which every mirrored field is told, and which the test then changes."""
    control = double.control
    customer = control.create_customer(
        email="a@example.com", name="Ada", metadata={"a": "1"}, test_clock="clock_1"
    )
    if mirrored is CUSTOMER:
        return customer
    now = int(control.now())
    return control.create_subscription(
        customer=customer,
        items=[{"price": "basic", "quantity": 3, "metadata": {"b": "2"}}],
        cancel_at=now + 9_000_000,
        canceled_at=now,
        trial_start=now,
        trial_end=now + 9,
        collection_method="send_invoice",
        days_until_due=30,
        default_payment_method="pm_1",
        discounts=("di_1",),
        pause_collection={"behavior": "void", "resumes_at": None},
        schedule="sub_sched_1",
        test_clock="clock_1",
        metadata={"a": "1"},
        customer_account="acct_1Customer",
    )


def assert_as_stripe_has_it(
    connection: psycopg.Connection, double: StripeDouble, mirrored: MirroredObject, name: str
) -> None:
    held = read_held(connection, mirrored, [name]).get(name)
    truth = mirrored.decode(json.dumps(double.control.truth(name)).encode())
    assert held is not None
    assert mirrored.differences(held, truth) == {}


@pytest.mark.parametrize("version", ["2026-10-28.endive", "2024-06-20"])
@pytest.mark.parametrize("mirrored", [SUBSCRIPTION, CUSTOMER], ids=["subscription", "customer"])
def test_every_field_left_out_one_at_a_time_leaves_the_row_as_stripe_has_it(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    version: str,
) -> None:
    control = stripe_double.control
    name = make(stripe_double, mirrored)
    first = control.event_body(control.events()[-1]["id"], api_version=version)
    assert endpoint.post(first).json == {"outcome": "applied"}
    assert_as_stripe_has_it(connection, stripe_double, mirrored, name)
    kind = "customer.updated" if mirrored is CUSTOMER else "customer.subscription.updated"
    for path in list(paths(json.loads(first)["data"]["object"])):
        control.advance(10)
        event = json.loads(control.event_body(control.emit(kind, name), api_version=version))
        event["data"]["object"] = put(event["data"]["object"], path, ...)
        answer = endpoint.post(json.dumps(event).encode())
        assert answer.json in ({"outcome": "applied"}, {"outcome": "unchanged"}), path
        assert_as_stripe_has_it(connection, stripe_double, mirrored, name)
    assert count(connection, "changes", f"object_id = '{name}'") == 1


@pytest.mark.parametrize(
    "is_held", [True, pytest.param(False, marks=pytest.mark.long)], ids=["held", "not held"]
)
@pytest.mark.parametrize("mirrored", [SUBSCRIPTION, CUSTOMER], ids=["subscription", "customer"])
def test_every_mirrored_field_of_a_wrong_type_leaves_the_row_as_stripe_has_it(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    is_held: bool,
) -> None:
    """Whatever cannot be read; what can (another word, say) is what the event says."""
    control = stripe_double.control
    name = make(stripe_double, mirrored)
    first = control.event_body(control.events()[-1]["id"])
    kind = "customer.updated" if mirrored is CUSTOMER else "customer.subscription.updated"
    sources: list[Path] = [
        tuple(column.source.split(".")) for column in mirrored.columns if column.name != "id"
    ]
    if mirrored.items is not None:
        sources += [("items",), ("items", "data"), ("items", "data", 0), ("items", "has_more")]
        sources += [
            ("items", "data", 0, *column.source.split(".")) for column in mirrored.items.columns
        ]
    body = json.loads(first)["data"]["object"]
    table = sql.Identifier(mirrored.table)
    tried = 0
    for path in sources:
        for value in WRONG:
            spoilt = put(body, path, value) if _leads(body, path) else None
            if spoilt is None or _is_readable(mirrored, spoilt):
                continue
            tried += 1
            if is_held:
                assert endpoint.post(first).status_code == 200
            control.advance(10)
            event = json.loads(control.event_body(control.emit(kind, name)))
            event["data"]["object"] = put(event["data"]["object"], path, value)
            answer = endpoint.post(json.dumps(event).encode())
            assert answer.json in ({"outcome": "applied"}, {"outcome": "unchanged"}), (path, value)
            assert_as_stripe_has_it(connection, stripe_double, mirrored, name)
            if not is_held:
                connection.execute(b"DELETE FROM stripe.subscription_items")
                connection.execute(sql.SQL("DELETE FROM stripe.{}").format(table))
    assert tried > len(sources)


def _leads(body: Any, path: Path) -> bool:
    try:
        put(body, path, 1)
    except (KeyError, TypeError, IndexError):
        return False
    return True


def _is_readable(mirrored: MirroredObject, body: Any) -> bool:
    """Whether nothing is wrong with it that Stripe could not have said: then it is believed."""
    try:
        mirrored.decode(json.dumps(body).encode())
    except Exception:  # noqa: BLE001 - whatever it is
        return False
    return True


def test_unreadable_snapshot_is_stale_where_the_row_is_newer_and_asks_nothing(
    endpoint: Endpoint, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    name = make(stripe_double, SUBSCRIPTION)
    old = json.loads(control.event_body(control.events()[-1]["id"]))
    del old["data"]["object"]["status"]
    control.advance(60)
    control.update_subscription(name, metadata={"a": "2"})
    assert endpoint.post(control.event_body(control.events()[-1]["id"])).status_code == 200
    control.clear_requests()
    assert endpoint.post(json.dumps(old).encode()).json == {"outcome": "stale"}
    assert control.request_counts() == {}


def test_unreadable_snapshot_waits_for_stripe_and_is_failed_only_where_its_answer_is_no_better(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    control.create_subscription(customer=control.create_customer(), status=5)
    body = control.event_body(control.events()[-1]["id"])
    control.fault("status", endpoint="subscriptions.retrieve", status=500, count=None)
    assert endpoint.post(body).status_code == 503
    assert count(connection, "events") == 0
    control.clear_faults()
    control.clear_requests()
    assert endpoint.post(body).json == {"outcome": "failed"}
    assert control.request_counts() == {"subscriptions.retrieve": 1}
    error = one(connection, "SELECT error FROM stripe.events")
    assert error.count("cannot read $.status") == 2


def test_value_that_no_column_holds_is_asked_for_before_it_is_failed(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """A rule of somebody's own, which Stripe's state keeps and the snapshot breaks."""
    connection.execute("ALTER TABLE stripe.customers ADD CHECK (name <> 'Nobody')")
    control = stripe_double.control
    name = control.create_customer(name="Ada")
    body = json.loads(control.event_body(control.events()[-1]["id"]))
    body["data"]["object"]["name"] = "Nobody"
    assert endpoint.post(json.dumps(body).encode()).json == {"outcome": "applied"}
    assert one(connection, "SELECT name FROM stripe.customers") == "Ada"
    control.advance(10)
    control.update_customer(name, name="Nobody")
    body = control.event_body(control.events()[-1]["id"])
    assert endpoint.post(body).json == {"outcome": "failed"}


@pytest.mark.parametrize("test_clock", [None, "clock_1"], ids=["listed", "on a test clock"])
def test_unreadable_event_that_was_missed_or_failed_is_put_right_at_night(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    test_clock: str | None,
) -> None:
    control = stripe_double.control
    customer = control.create_customer(test_clock=test_clock)
    name = control.create_subscription(customer=customer, test_clock=test_clock, quantity=4)
    truth = control.truth(name)
    assert truth is not None
    spoilt = put(truth, ("items", "data", 0, "price"), ...)
    control.emit_object("customer.subscription.updated", spoilt)
    failed = control.emit_object("customer.subscription.updated", spoilt)
    connection.execute(
        """
        INSERT INTO stripe.events (id, type, object_id, created, source, outcome, payload)
        VALUES (%s, 'customer.subscription.updated', %s, to_timestamp(%s), 'webhook', 'failed', %s)
        """,
        [failed, name, int(control.now()), control.event_body(failed)],
    )
    control.advance(3_600)
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.failed) == (RunOutcome.SUCCESS, 0)
    assert one(connection, "SELECT quantity FROM stripe.subscription_items") == 4
    assert count(connection, "events", "outcome = 'failed'") == 0
    assert count(connection, "events") >= 2


def test_unreadable_event_of_what_neither_side_has_stays_failed_at_night(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    name = control.emit_object("customer.updated", {"id": "cus_1Gone", "email": 5})
    with Endpoint(database_url, stripe_double) as endpoint:
        assert endpoint.post(control.event_body(name)).json == {"outcome": "failed"}
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).failed == 1
    assert "$.email" in one(connection, "SELECT error FROM stripe.events")
