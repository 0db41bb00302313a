"""Objects of which missed events tell: looked at once, and held to the gate like all else."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from reconcile.deliveries.deliveries import MOST_EARLY
from reconcile.report.model import Report
from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror
from shared.objects.declaration import MirroredObject
from tests.builders import apply_all, mirror, reconcile
from tests.integration.lived import Lived
from tests.integration.witness import count, one, statuses
from tests.objects import each_object, endpoint

HOUR = 3_600


@pytest.fixture
def control(stripe_double: StripeDouble) -> Control:
    return stripe_double.control


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


def test_many_events_of_one_object_cost_one_question(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    names = [control.create_subscription() for _ in range(3)]
    apply_all(heart, control)
    control.advance(HOUR)
    for number in range(70):
        for name in names:
            control.update_subscription(name, metadata={"n": str(number)})
        control.advance(1)
    # Of the last ten minutes a list does not speak, and this one shows none of it.
    control.switch(lag=300.0)
    control.advance(10)
    control.clear_requests()
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.events.missed) == ("success", 210)
    assert [row.action for row in report.drift()] == ["repaired"] * 3
    single = {"subscriptions.retrieve", "customers.retrieve"}
    asked = [line for line in control.requests() if line.endpoint in single]
    assert len(asked) == 3 + 1, "and one that tells whose key it is"


@pytest.mark.parametrize("limit, passes", [("30", True), ("29", False)])
def test_what_missed_events_tell_passes_the_gate_with_all_else(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    limit: str,
    passes: bool,
) -> None:
    """Ten rows differ in their windows, twenty by what only the event list tells."""
    names = [control.create_subscription() for _ in range(40)]
    apply_all(heart, control)
    control.advance(HOUR)
    for name in names[:10]:
        control.update_subscription(name, status="past_due", events=0)
    control.advance(HOUR)
    for name in names[10:30]:
        control.update_subscription(name, status="past_due")
    clock = control.create_subscription(test_clock="clock_1Test")
    control.switch(lag=300.0)
    control.advance(10)
    report = reconcile(database_url, stripe_double, limit=limit)
    assert report.run.outcome == ("success" if passes else "refused")
    assert statuses(connection).get("past_due", 0) == (30 if passes else 0)
    # What is safe goes in all the same: what is missing, and the ledger.
    assert one(connection, "SELECT id FROM stripe.subscriptions WHERE id = %s", clock) == clock
    assert {row[0] for row in connection.execute("SELECT id FROM stripe.events")} == {
        made["id"] for made in control.events()
    }
    if not passes:
        assert "30" in (report.run.reason or "")
        control.advance(24 * HOUR)
        again = reconcile(database_url, stripe_double)
        assert again.run.outcome == "success"
        assert statuses(connection)["past_due"] == 30


@each_object(lambda mirrored: mirrored.access is None)
@pytest.mark.parametrize("is_stopped", [False, True], ids=["whole", "stopped"])
def test_lockout_is_repaired_before_very_many_objects_that_decide_no_access_are_looked_at(
    mirrored: MirroredObject,
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    is_stopped: bool,
) -> None:
    name = control.create_subscription()
    made = [Lived(control, mirrored) for _ in range(MOST_EARLY + 30)]
    apply_all(heart, control)
    control.advance(HOUR)
    control.update_subscription(name, status="unpaid", events=0)
    control.advance(HOUR)
    for lived in made:
        lived.become(1)
    # Of the last ten minutes a list does not speak, and this one shows none of it.
    control.switch(lag=300.0)
    control.advance(10)
    stop = threading.Event()
    seen: list[bool] = []

    def look() -> None:
        with psycopg.connect(database_url) as looking:
            query = "SELECT status = 'unpaid' FROM stripe.subscriptions WHERE id = %s"
            seen.append(one(looking, query, name))
        if is_stopped and seen[-1]:
            stop.set()

    control.hook(look, when="before_read", endpoint=endpoint(mirrored, "retrieve"), count=None)
    report = reconcile(database_url, stripe_double, stop=stop)
    assert seen.count(False) <= MOST_EARLY + 2, "and what tells whose key it is"
    assert any(seen)
    control.clear_interventions()
    if is_stopped:
        assert report.run.outcome == "incomplete"
        put_off = count(connection, "events", "outcome = 'failed'")
        assert put_off > 0
        # The cursor has covered them: they are in the ledger, and the next run tries them again.
        # What decides access was whole, so that one compares it anew.
        assert "the next run begins anew" in str(report.run.reason)
        control.update_subscription(name, status="active", events=0)
        control.advance(24 * HOUR)
        report = reconcile(database_url, stripe_double)
        assert statuses(connection) == {"active": 1}
    assert report.run.outcome == "success"
    assert {lived.held(connection) for lived in made} == {1}
    assert count(connection, "events", "outcome = 'failed'") == 0
    assert {row[0] for row in connection.execute("SELECT id FROM stripe.events")} == {
        made["id"] for made in control.events()
    }


@pytest.mark.parametrize("beyond", [0, 1])
def test_what_is_looked_at_after_the_repairs_passes_one_gate_with_what_was_before(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    beyond: int,
) -> None:
    names = [control.create_product(f"Plan {number}") for number in range(MOST_EARLY + 30)]
    apply_all(heart, control)
    control.advance(HOUR)
    for name in names:
        control.update_product(name, name="Renamed")
    control.switch(lag=300.0)
    control.advance(10)
    report = reconcile(database_url, stripe_double, limit=str(len(names) - beyond))
    assert report.run.outcome == ("refused" if beyond else "success")
    renamed = count(connection, "products", "name = 'Renamed'")
    assert renamed == (0 if beyond else len(names))
    assert count(connection, "events", "outcome = 'failed'") == len(names) - renamed


def test_report_says_what_a_run_would_repair_and_asks_as_it_would(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    """A list that lags shows a state that is over; the event's object tells what is so."""
    names = [control.create_subscription() for _ in range(3)]
    apply_all(heart, control)
    control.advance(HOUR)
    for name in names[:2]:
        control.update_subscription(name, status="past_due", events=0)
    control.advance(HOUR)
    control.update_subscription(names[0], status="active")
    control.update_subscription(names[2], status="unpaid")
    control.switch(lag=300.0)
    control.advance(10)
    found: list[Report] = []
    for writes in (False, True):
        found.append(reconcile(database_url, stripe_double, writes=writes))
        control.switch(lag=300.0)
    report, repaired = ({row.object_id: row.action for row in one.drift()} for one in found)
    assert report == dict(zip(names, ["in_flight", "reported", "reported"], strict=True))
    assert repaired == dict(zip(names, ["in_flight", "repaired", "repaired"], strict=True))
    assert statuses(connection) == {"active": 1, "past_due": 1, "unpaid": 1}
