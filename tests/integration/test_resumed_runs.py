"""Runs that go on from one that was stopped or refused, and what happened at Stripe meanwhile."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from reconcile.report.model import RunOutcome, totals
from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror, Outcome
from shared.repository import runs
from tests.builders import apply, apply_all, mirror, reconcile, run, until
from tests.integration import judge
from tests.integration.witness import ALL_COMPARED, count, once, one, statuses

HOUR = 3_600
DAY = 24 * HOUR


@pytest.fixture
def control(stripe_double: StripeDouble) -> Control:
    return stripe_double.control


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


def subscribed(heart: Mirror, control: Control, number: int) -> list[str]:
    names = [control.create_subscription() for _ in range(number)]
    apply_all(heart, control)
    control.advance(HOUR)
    return names


def stop_after_comparing(url: str, double: StripeDouble) -> None:
    """SIGTERM when everything is compared and nothing is repaired."""
    stop = threading.Event()
    hook = once(url, ALL_COMPARED, stop.set)
    double.control.hook(hook, when="before_read", endpoint="events.list", count=1)
    with run(url, double, stop=stop) as stopped:
        report = stopped.execute()
    assert report.run.outcome is RunOutcome.INCOMPLETE
    report.close()
    double.control.clear_interventions()


@pytest.mark.parametrize("events", [0, 1], ids=["in silence", "with an event"])
def test_difference_that_stripe_has_taken_back_since_is_not_repaired(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    events: int,
) -> None:
    """Found by a run that was stopped, and gone by the time the next goes on from there."""
    names = subscribed(heart, control, 20)
    judge.install_witness(connection)
    for name in names:
        control.update_subscription(name, status="past_due", events=events)
    control.advance(HOUR)
    stop_after_comparing(database_url, stripe_double)
    for name in names:
        control.update_subscription(name, status="active", events=events)
    control.advance(DAY)
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, totals(report).drift) == ("success", 0)
    assert statuses(connection) == {"active": 20}
    assert judge.versions(connection) == {}, "no row was written"


@pytest.mark.parametrize("waiting", [runs.MOST_WAITING, runs.MOST_WAITING + 1])
def test_run_with_too_many_differences_that_wait_is_not_gone_on_from(
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    waiting: int,
) -> None:
    """To ask for each would take longer than to compare everything anew."""
    control.seed(waiting)
    reconcile(database_url, stripe_double)
    connection.execute("DELETE FROM stripe.drifts")
    connection.execute("UPDATE stripe.subscriptions SET days_until_due = 77")
    control.advance(HOUR)
    stop = threading.Event()
    with (
        run(database_url, stripe_double, stop=stop) as stopped,
        control.hold(endpoint="events.list") as hold,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(stopped.execute)
        until(lambda: count(connection, "drifts") == waiting, "every window is kept")
        stop.set()
        hold.release()
        running.result(20).close()
    control.clear_interventions()
    control.advance(DAY)
    report = reconcile(database_url, stripe_double)
    assert (report.run.compared_since is None) == (waiting > runs.MOST_WAITING)
    assert (report.run.outcome, totals(report).repaired) == ("success", waiting)
    assert count(connection, "subscriptions", "days_until_due = 77") == 0


@pytest.mark.parametrize("is_refused", [True, False], ids=["refused", "stopped"])
def test_stripes_own_repetition_heals_what_a_run_did_not_repair(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    is_refused: bool,
) -> None:
    """The ledger is complete, and yet no event is called done that its row does not know of."""
    names = subscribed(heart, control, 60)
    seen = len(control.events())
    for name in names:
        control.update_subscription(name, status="past_due")
    control.advance(HOUR)
    if is_refused:
        report = reconcile(database_url, stripe_double, limit="10%")
        assert report.run.outcome is RunOutcome.REFUSED
    else:
        stop = threading.Event()
        # The second request for events never comes: the first page is the last.
        control.hook(stop.set, when="after_read", endpoint="events.list", count=1)
        with run(database_url, stripe_double, stop=stop) as stopped:
            stopped.execute().close()
        control.clear_interventions()
    assert statuses(connection) == {"active": 60}
    if is_refused:
        assert count(connection, "events", "outcome = 'failed' AND source = 'reconcile'") == 60
        assert "waits" in one(connection, "SELECT error FROM stripe.events WHERE error <> ''")
    for made in control.events()[seen:]:
        assert apply(heart, control.event_body(made["id"])).outcome is Outcome.APPLIED
    assert statuses(connection) == {"past_due": 60}
    assert count(connection, "events", "outcome = 'failed'") == 0


def test_events_whose_rows_waited_are_history_once_these_are_repaired(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    for name in subscribed(heart, control, 30):
        control.update_subscription(name, status="past_due")
        control.advance(1)
    control.advance(HOUR)
    assert reconcile(database_url, stripe_double, limit="10").run.outcome is RunOutcome.REFUSED
    control.advance(DAY)
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, totals(report).repaired, report.failed) == ("success", 30, 0)
    assert count(connection, "events", "outcome = 'stale' AND error IS NULL") == 30


def test_event_that_the_list_of_a_stopped_run_did_not_show_is_found_by_the_next_whole_look(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    """Its cursor had passed the time of the event, which the list showed twelve hours later."""
    subscribed(heart, control, 1)
    customer = control.create_customer()
    for number in range(700):
        control.advance(80)
        control.update_customer(customer, metadata={"n": str(number)})
    late = control.events()[-150]["id"]
    control.list_event_late(late, 15 * HOUR)
    control.advance(60)
    stop = threading.Event()
    control.hook(stop.set, when="after_read", endpoint="events.list", skip=5, count=1)
    with run(database_url, stripe_double, stop=stop) as stopped:
        stopped.execute().close()
    control.clear_interventions()
    assert count(connection, "events", "source = 'reconcile'") > 150, "it had looked there"
    for _ in range(2):
        control.advance(DAY - 60)
        control.update_customer(customer, name="of the next day")
        control.advance(60)
        assert reconcile(database_url, stripe_double).run.outcome == "success"
    assert one(connection, "SELECT source FROM stripe.events WHERE id = %s", late) == "reconcile"


def test_run_after_one_that_was_stopped_at_once_knows_when_its_windows_were_compared(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    names = subscribed(heart, control, 150)
    for name in names:
        control.update_subscription(name, metadata={"n": "1"})
        control.update_subscription(name, metadata={}, events=0)
    control.advance(HOUR)
    stop_after_comparing(database_url, stripe_double)
    control.fault("status", endpoint="customers.list", status=500, should_retry=False, count=None)
    control.fault("status", endpoint="events.list", status=401, count=None)
    assert reconcile(database_url, stripe_double).run.outcome == "failed"
    control.clear_faults()
    control.clear_requests()
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.events.missed) == ("success", 150)
    assert control.request_counts().get("subscriptions.retrieve", 0) <= 1


@pytest.mark.parametrize("writes", [False, True], ids=["report", "repair"])
def test_objects_that_are_missing_are_counted_once_and_asked_for_never(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, control: Control, writes: bool
) -> None:
    """All that an outage has made: lists name it, and so do the events that never arrived."""
    subscribed(heart, control, 1)
    for _ in range(150):
        control.create_subscription()
        control.advance(1)
    control.advance(HOUR)
    control.clear_requests()
    report = reconcile(database_url, stripe_double, writes=writes)
    assert (report.run.outcome, report.events.missed) == ("success", 300)
    assert [report.counts[name].stripe for name in ("customer", "subscription")] == [151, 151]
    assert totals(report).drift == 300
    assert control.request_counts().get("subscriptions.retrieve", 0) <= 1
    assert "customers.retrieve" not in control.request_counts()


def test_first_night_with_nothing_but_young_events_asks_for_no_time_that_ends_before_it_begins(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    control.create_customer()
    apply_all(heart, control)
    with run(database_url, stripe_double, writes=False, grace=1) as one_run:
        one_run.execute().close()
    for line in control.requests():
        asked = dict(line.query)
        assert int(asked.get("created[gte]", 0)) <= int(asked.get("created[lt]", 2**40)), line


def test_nights_that_fail_for_days_are_not_gone_on_from_beyond_the_first_ones_age(
    database_url: str, stripe_double: StripeDouble, control: Control, connection: psycopg.Connection
) -> None:
    """Else the first night that works would call in sync what was compared days ago."""
    control.seed(300)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    control.advance(DAY)
    for _ in range(4):
        control.fault("status", endpoint="products.list", status=400, count=None)
        assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.FAILED
        control.clear_interventions()
        connection.execute(
            """
            UPDATE stripe.subscriptions SET status = 'canceled'
            WHERE id = (
                SELECT id FROM stripe.subscriptions WHERE status = 'active' ORDER BY id LIMIT 1
            )
            """
        )
        connection.execute("UPDATE stripe.runs SET started_at = started_at - interval '1 day'")
        control.advance(DAY)
    assert totals(reconcile(database_url, stripe_double)).drift == 4
