"""Objects of which missed events tell: looked at once, and held to the gate like all else."""

from collections.abc import Iterator

import psycopg
import pytest

from reconcile.report.model import Report
from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror
from tests.builders import apply_all, mirror, reconcile
from tests.integration.witness import one, statuses

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
