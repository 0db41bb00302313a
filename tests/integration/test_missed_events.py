"""Events that never arrived: found in Stripe's list, entered, applied under the same rules."""

from collections.abc import Iterator

import psycopg
import pytest

from reconcile.deliveries.event_list import LOOK_BACK
from reconcile.report.model import RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror, Outcome
from shared.objects.declaration import MirroredObject
from tests.builders import apply, apply_all, mirror, reconcile, run, world
from tests.integration.lived import Lived
from tests.integration.witness import count, one
from tests.objects import can_be_deleted, each_object, event_type, has_test_clock

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
        max(int(query["created[lt]"]) for query in queries) - 1,
    )


def deliver(heart: Mirror, control: Control, *names: str) -> list[Outcome]:
    return [apply(heart, control.event_body(name)).outcome for name in names]


@each_object()
def test_lost_events_are_entered_as_found_and_the_row_stays_as_stripe_has_it(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    lived = Lived(control, mirrored)
    apply_all(heart, control)
    arrived = len(control.events())
    for state in (1, 2, 3, 4):
        control.advance(3_600)
        lived.become(state)
    control.advance(3_600)
    lost = [made["id"] for made in control.events()[arrived:]]
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome == "success"
    told = (report.events.listed, report.events.missed, report.events.left)
    assert told == (arrived + 4, 4, 0)
    assert [row.action for row in report.drift()] == ["repaired"]
    ledger = outcomes(connection)
    assert {ledger[made][0] for made in lost} == {"reconcile"}
    assert {ledger[made][1] for made in lost} == {"stale"}, "the repair was quicker"
    assert lived.held(connection) == 4
    assert count(connection, "changes", "run_id IS NOT NULL") == 1
    payload = one(connection, "SELECT payload FROM stripe.events WHERE id = %s", lost[0])
    assert lost[0].encode() in payload
    before = world(connection, *UNSENT)
    again = reconcile(database_url, stripe_double)
    assert (again.events.missed, len(list(again.drift()))) == (0, 0)
    assert world(connection, *UNSENT) == before


@each_object(can_be_deleted)
def test_lost_event_of_an_object_that_is_gone_by_now_does_not_bring_it_back(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """No list names a deleted object, and of its deletion there may be no event."""
    control = stripe_double.control
    Lived(control, mirrored)
    apply_all(heart, control)
    control.advance(60)
    gone = Lived(control, mirrored)
    control.advance(60)
    gone.end(events=0)
    control.advance(60)
    assert reconcile(database_url, stripe_double).run.outcome == "success"
    # Of what Stripe no longer knows there is nothing to write.
    assert gone.held(connection) == (-1 if mirrored.known_when_deleted else None)
    assert list(reconcile(database_url, stripe_double).drift()) == []


@each_object()
def test_lost_event_of_what_is_already_so_is_unchanged(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Two Event objects for one change, and the second is lost; it lies within the row's time."""
    control = stripe_double.control
    lived = Lived(control, mirrored)
    apply_all(heart, control)
    control.advance(60)
    lived.become(1, events=2)
    first, twin = [made["id"] for made in control.events()[-2:]]
    assert deliver(heart, control, first) == [Outcome.APPLIED]
    control.advance(60)
    report = reconcile(database_url, stripe_double)
    assert (report.events.missed, list(report.drift())) == (1, [])
    assert outcomes(connection)[twin] == ("reconcile", "unchanged")
    assert count(connection, "changes", "run_id IS NOT NULL") == 0


@each_object(has_test_clock)
def test_lost_event_of_a_row_that_only_it_can_bring_is_applied(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """What lives on a test clock is in no list, but its events are listed."""
    control = stripe_double.control
    Lived(control, mirrored)
    apply_all(heart, control)
    arrived = len(control.events())
    lived = Lived(control, mirrored, test_clock="clock_1Test")
    *others, mine = (made["id"] for made in control.events()[arrived:])
    deliver(heart, control, *others)
    control.advance(60)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome == "success"
    assert report.events.missed == 1
    assert lived.held(connection) == 0
    assert outcomes(connection)[mine] == ("reconcile", "applied")


def test_report_counts_by_type_and_day_and_writes_nothing(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    name = control.create_subscription(customer=control.create_customer())
    apply_all(heart, control)
    for _ in range(3):
        control.advance(DAY)
        control.renew(name)
        control.emit("customer.subscription.trial_will_end", name)
    control.advance(60)
    before = world(connection)
    report = reconcile(database_url, stripe_double, writes=False)
    assert world(connection) == before
    assert report.events.missed == 6
    assert report.events.by_type == {
        "customer.subscription.updated": 3,
        "customer.subscription.trial_will_end": 3,
    }
    # 1,790,000,000 is 2026-09-21 14:13:20 UTC.
    assert report.events.by_day == {"2026-09-22": 2, "2026-09-23": 2, "2026-09-24": 2}
    assert asked(control)[0] == 1_790_000_000, "since the oldest event that ever arrived"


def test_event_younger_than_the_grace_time_is_not_called_missed(
    heart: Mirror, database_url: str, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    customer = control.create_customer()
    apply_all(heart, control)
    control.advance(3_600)
    reconcile(database_url, stripe_double)
    control.update_customer(customer, name="on its way")
    with run(database_url, stripe_double, writes=False, grace=1) as one_run:
        report = one_run.execute()
    assert report.events.missed == 0
    report.close()


@each_object()
def test_poison_event_is_kept_as_failed_and_blocks_no_other(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    lived = Lived(control, mirrored)
    apply_all(heart, control)
    arrived = len(control.events())
    control.advance(60)
    lived.become(1)
    control.advance(60)
    poison = control.emit_object(
        event_type(mirrored, "updated"), {"object": mirrored.name, "id": 7}
    )
    control.advance(60)
    lived.become(2)
    control.advance(60)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome == "success"
    assert (report.events.missed, report.events.left, report.failed) == (3, 0, 1)
    assert [(row.event_id, row.attempts) for row in report.failures] == [(poison, 1)]
    assert "$.id" in (report.failures[0].error or "")
    assert outcomes(connection)[poison] == ("reconcile", "failed")
    assert lived.held(connection) == 2
    assert len(outcomes(connection)) == arrived + 3


def test_event_for_which_stripe_cannot_be_asked_is_looked_for_again(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """It is in no ledger, so a run that forgot it would leave the ledger incomplete for good."""
    control = stripe_double.control
    customer = control.create_customer()
    failing = control.emit_object("customer.created", {"object": "customer"})
    apply_all(heart, control)
    control.advance(60)
    # An event embeds ten items of twelve, so it cannot be applied without a question.
    control.create_subscription(
        customer=customer, test_clock="clock_1Test", items=[{"price": "pro"}] * 12
    )
    unaskable = control.events()[-1]["id"]
    poison = control.emit_object("customer.created", {"object": "customer"})
    control.advance(60)
    control.fault("status", endpoint="subscriptions.retrieve", status=500, count=None)
    first = reconcile(database_url, stripe_double)
    assert (first.run.outcome, first.events.missed, first.events.left) == ("failed", 2, 1)
    assert "the log names it" in (first.run.reason or "")
    assert unaskable not in outcomes(connection)
    assert outcomes(connection)[poison] == ("reconcile", "failed"), "the other was entered"
    attempts = {row.event_id: row.attempts for row in first.failures}
    assert attempts == {failing: 2, poison: 1}, "and what had failed before was tried again"
    control.clear_faults()
    control.advance(DAY)
    second = reconcile(database_url, stripe_double)
    assert (second.run.outcome, second.events.missed) == ("success", 1)
    assert outcomes(connection)[unaskable] == ("reconcile", "applied")
    assert count(connection, "subscription_items") == 12


@pytest.mark.parametrize(
    "extra, kept",
    [
        ({"livemode": "perhaps"}, True),
        ({"id": "evt_" + "x" * 300}, False),
        ({"account": "acct_9Other"}, False),
        ({"livemode": True}, False),
    ],
    ids=["no event", "no id", "another account", "another mode"],
)
def test_event_that_can_never_be_entered_fails_one_run_and_holds_up_nothing(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    extra: dict[str, object],
    kept: bool,
) -> None:
    """The second run looks at it again, within the margin; the third no more."""
    control = stripe_double.control
    customer = control.create_customer()
    apply_all(heart, control)
    control.advance(DAY)
    control.emit_object("customer.updated", {"id": "cus_1", "object": "customer"}, extra=extra)
    control.advance(60)
    control.update_customer(customer, name="after")
    control.advance(60)
    first = reconcile(database_url, stripe_double)
    assert first.run.outcome is RunOutcome.FAILED
    assert first.run.reason == "1 event could not be entered; the log names it"
    assert (first.events.missed, first.events.left, first.events.refused) == (2, 1, 1)
    assert first.failed == kept, "what can be kept is, with its payload"
    assert outcomes(connection)[control.events()[-1]["id"]][0] == "reconcile"
    for night in range(2):
        control.advance(120)
        again = reconcile(database_url, stripe_double)
        assert (again.run.outcome, again.run.reason) == (RunOutcome.SUCCESS, None), night
        assert again.events.left == 0
        assert again.failed == kept, "no page, and not forgotten"
        control.advance(DAY)
        control.clear_requests()
    reconcile(database_url, stripe_double)
    shown = control.events()[-1]["created"]
    assert asked(control)[0] == shown - LOOK_BACK, "the look at the list went on"


def test_event_that_can_never_be_entered_is_replayed_ten_times_and_then_left(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    control.create_customer()
    apply_all(heart, control)
    control.advance(60)
    made = {"id": "cus_1", "object": "customer"}
    name = control.emit_object("customer.updated", made, extra={"livemode": "perhaps"})
    control.advance(60)
    reconcile(database_url, stripe_double)
    row = connection.execute(
        "SELECT id, source, attempts, error FROM stripe.events WHERE id = %s", [name]
    )
    assert row.fetchone() == (name, "reconcile", 1, "NotAnEvent: not a Stripe event: $.livemode")
    reconcile(database_url, stripe_double)
    assert one(connection, "SELECT attempts FROM stripe.events WHERE id = %s", name) == 2
    connection.execute("UPDATE stripe.events SET attempts = 10 WHERE id = %s", [name])
    reconcile(database_url, stripe_double)
    assert one(connection, "SELECT attempts FROM stripe.events WHERE id = %s", name) == 10


def test_key_without_permission_to_read_events_repairs_and_then_says_so(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    name = control.create_subscription(customer=control.create_customer())
    apply_all(heart, control)
    control.cancel(name)
    control.advance(3_600)
    key = "rk_test_noevents"
    control.add_key(key, permissions={"subscriptions", "customers", "products", "prices"})
    report = reconcile(database_url, stripe_double, key=key)
    assert report.run.outcome == "failed"
    assert "permission" in (report.run.reason or "")
    assert "/v1/events" in (report.run.reason or "")
    assert one(connection, "SELECT status FROM stripe.subscriptions") == "canceled"
