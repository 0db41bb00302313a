"""Stripe's event list: from when on a run looks through it, and how it goes on where it was."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from reconcile.deliveries.event_list import LOOK_BACK
from reconcile.report.model import RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror
from shared.objects.catalogue import EVENT_TYPES
from shared.stripe.api import StripeApi
from shared.stripe.http import StripeHttp
from tests.builders import KEY, QUICK, apply, apply_all, mirror, reconcile, run
from tests.integration.witness import count, one

DAY = 86_400
LOST = 1_150
UNSENT = ("runs", "drifts")


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


def outcomes(connection: psycopg.Connection) -> dict[str, tuple[str, str]]:
    """The ledger: event id -> source and outcome."""
    rows = connection.execute("SELECT id, source, outcome FROM stripe.events").fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}


def asked(control: Control) -> tuple[int, int]:
    """From when to when the event list was asked for, in slices."""
    queries = [dict(line.query) for line in control.requests() if line.endpoint == "events.list"]
    return (
        min(int(query["created[gte]"]) for query in queries),
        max(int(query["created[lt]"]) - 1 for query in queries),
    )


@pytest.mark.parametrize("cursor", ["empty", "skips_second", "works"])
def test_350_events_in_one_second_are_all_found(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, cursor: str
) -> None:
    """A page holds 100; inside a range of `created` a cursor may skip silently."""
    control = stripe_double.control
    control.switch(cursor_in_range=cursor)
    customer = control.create_customer()
    apply_all(heart, control)
    for seconds, events in ((10, 120), (10, 350), (10, 120)):
        control.advance(seconds)
        for number in range(events):
            control.update_customer(customer, metadata={"n": str(number)})
    control.advance(60)
    http = StripeHttp(stripe_double.url, KEY, patience=QUICK)
    stripe = StripeApi(http, livemode=False)
    lower, upper = int(control.now()) - 80, int(control.now())
    found = [
        listed.id for page in stripe.events(sorted(EVENT_TYPES), lower, upper) for listed in page
    ]
    http.close()
    assert len(found) == len(set(found)), "none twice, or it would count twice"
    assert set(found) == {made["id"] for made in control.events() if made["created"] >= lower}
    if cursor == "empty":
        report = reconcile(database_url, stripe_double, writes=False)
        assert (report.events.listed, report.events.missed) == (591, 590)


def test_types_are_asked_for_in_groups_of_twenty_at_most(
    heart: Mirror, database_url: str, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    control.create_customer()
    apply_all(heart, control)
    control.advance(60)
    reconcile(database_url, stripe_double)
    queries = [line.query for line in control.requests() if line.endpoint == "events.list"]
    types = [[value for name, value in query if name == "types[]"] for query in queries]
    assert {name for group in types for name in group} == set(EVENT_TYPES)
    assert all(len(group) <= 20 for group in types)


def test_list_is_asked_for_from_a_day_before_what_it_has_shown_and_at_most_30_days(
    heart: Mirror, database_url: str, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    control.create_customer()
    apply_all(heart, control)
    control.advance(DAY)
    customer = control.create_customer()
    shown = int(control.now())
    control.advance(DAY)
    reconcile(database_url, stripe_double)
    assert control.now() - 2 <= asked(control)[1] <= control.now()
    control.advance(DAY)
    control.clear_requests()
    reconcile(database_url, stripe_double, writes=False)
    assert asked(control)[0] == shown - LOOK_BACK
    control.clear_requests()
    reconcile(database_url, stripe_double)
    assert asked(control)[0] == shown - LOOK_BACK, "nothing new was shown, a report moves nothing"
    control.update_customer(customer, name="new")
    shown = int(control.now())
    control.advance(60)
    reconcile(database_url, stripe_double)
    control.advance(60)
    control.clear_requests()
    reconcile(database_url, stripe_double)
    assert asked(control)[0] == shown - LOOK_BACK
    control.advance(40 * DAY)
    control.clear_requests()
    reconcile(database_url, stripe_double)
    first, last = asked(control)
    assert last - first == 30 * DAY


@pytest.mark.parametrize("ahead", [3_600, 20 * DAY, 70 * 365 * DAY])
def test_cursor_that_lies_ahead_of_the_list_is_not_believed(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    ahead: int,
) -> None:
    """Trap 26: one clock reading in the future had switched missed events off for good."""
    control = stripe_double.control
    customer = control.create_customer()
    apply_all(heart, control)
    control.advance(DAY)
    reconcile(database_url, stripe_double)
    wrong = control.now() + ahead
    connection.execute("UPDATE stripe.runs SET events_until = to_timestamp(%s)", [wrong])
    control.update_customer(customer, name="lost")
    control.advance(60)
    assert reconcile(database_url, stripe_double).events.missed == 1
    until = one(connection, "SELECT events_until FROM stripe.runs ORDER BY started_at DESC LIMIT 1")
    assert int(until.timestamp()) == control.events()[-1]["created"]


@pytest.mark.parametrize("made", [60, 5 * 3_600, 20 * 3_600])
@pytest.mark.parametrize("shown", [300, 3 * 3_600, 23 * 3_600])
@pytest.mark.parametrize("nights_before", [0, 1])
def test_event_that_the_list_shows_within_a_day_is_entered_the_night_after(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    made: int,
    shown: int,
    nights_before: int,
) -> None:
    """Stripe's event list is eventually consistent, and others were shown meanwhile.

    `made`: how long before the night; `shown`: how long after it, a day after it was made at most.
    """
    control = stripe_double.control
    customer, other = control.create_customer(), control.create_customer()
    apply_all(heart, control)
    for _ in range(nights_before):
        control.advance(DAY)
        reconcile(database_url, stripe_double)
    control.advance(DAY - made)
    control.update_customer(customer, name="late")
    late = control.events()[-1]["id"]
    control.list_event_late(late, min(made + shown, DAY))
    control.advance(made - 30)
    control.update_customer(other, name="at once")
    control.advance(30)
    assert reconcile(database_url, stripe_double).events.missed == 1
    assert late not in outcomes(connection)
    control.advance(DAY)
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.events.missed) == ("success", 1)
    assert outcomes(connection)[late] == ("reconcile", "stale")
    assert list(report.drift()) == []


def test_event_that_the_list_shows_late_is_found_by_the_next_run(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    customer = control.create_customer()
    apply_all(heart, control)
    control.advance(60)
    control.update_customer(customer, name="late")
    control.switch(lag_events=120.0)
    assert reconcile(database_url, stripe_double).events.missed == 0
    control.advance(600)
    assert reconcile(database_url, stripe_double).events.missed == 1
    assert count(connection, "events", "source = 'reconcile'") == 1


def test_look_at_the_list_that_is_stopped_goes_on_where_it_was(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 16: the same pages again and again, until the time is over."""
    control = stripe_double.control
    customer = control.create_customer()
    apply_all(heart, control)
    for number in range(LOST):
        control.advance(60)
        control.update_customer(customer, name=f"N{number}")
    control.advance(60)
    entered = count_entered(connection)
    for night in range(2):
        stop = threading.Event()
        # Four pages are read ahead: when the sixth is asked for, the first is done.
        control.hook(stop.set, when="after_read", endpoint="events.list", skip=5, count=1)
        with run(database_url, stripe_double, stop=stop) as stopped:
            report = stopped.execute()
        assert report.run.outcome is RunOutcome.INCOMPLETE
        report.close()
        before, entered = entered, count_entered(connection)
        assert entered >= before + 99, night
        control.clear_interventions()
        control.advance(60)
    control.clear_requests()
    last = reconcile(database_url, stripe_double)
    assert last.run.outcome == "success"
    assert last.events.missed == LOST - entered
    listed = [line for line in control.requests() if line.endpoint == "events.list"]
    assert len(listed) <= 1 + (LOST - entered) // 99 + 1
    assert count_entered(connection) == LOST


def count_entered(connection: psycopg.Connection) -> int:
    return count(connection, "events", "source = 'reconcile'")


def test_events_that_a_stopped_run_has_counted_are_counted_once(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """The next one is shown the last second again, and whatever lies below it."""
    control = stripe_double.control
    customer = control.create_customer()
    apply_all(heart, control)
    control.advance(60)
    reconcile(database_url, stripe_double)
    known = len(control.events())
    for number in range(600):
        control.update_customer(customer, metadata={"n": str(number)})
        if number % 4 == 3:
            control.advance(1)
    for made in control.events()[known::2]:
        apply(heart, control.event_body(made["id"]))
    control.advance(DAY // 2)
    stop = threading.Event()
    control.hook(stop.set, when="after_read", endpoint="events.list", skip=4, count=1)
    with run(database_url, stripe_double, stop=stop) as stopped:
        report = stopped.execute()
    report.close()
    kept = "SELECT (counts -> 'events' ->> 'webhook_expected')::int FROM stripe.runs WHERE id = %s"
    assert 0 < one(connection, kept, report.run.attempt) < 600, "it was stopped half-way"
    control.clear_interventions()
    events = reconcile(database_url, stripe_double).events
    assert (events.webhook_missed, events.webhook_expected) == (300, 600)
