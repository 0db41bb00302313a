"""What was compared cannot be overtaken by what is older than the comparison (traps 23, 24)."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from reconcile.report.model import RunOutcome, totals
from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror, Outcome
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.repository.apply_event import write_for_event
from shared.repository.ledger import Entry
from shared.repository.rows import read_held
from shared.repository.write import Write, encode, write_for_run
from shared.truth import Interval
from tests.builders import apply, apply_all, mirror, reconcile, run, until, world
from tests.integration import judge
from tests.integration.lived import Lived
from tests.integration.witness import blocked, count, one
from tests.objects import can_be_deleted, each_object, endpoint, event_type

HOUR = 3_600
MANY = int(os.environ.get("COMPARED_OBJECTS", "60"))


@pytest.fixture
def control(stripe_double: StripeDouble) -> Control:
    return stripe_double.control


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


def there_and_back(control: Control, those: list[Lived]) -> None:
    """Let each go from its first state to another and back within thirteen hours."""
    for state in (1, 0):
        control.advance(6 * HOUR)
        for lived in those:
            lived.become(state)
            control.advance(1)
    control.advance(HOUR)


@pytest.fixture
def those(heart: Mirror, control: Control, connection: psycopg.Connection) -> list[Lived]:
    """Rows that are right, though the webhook missed all that led back to where they are."""
    made = [Lived(control, mirrored) for mirrored in MIRRORED for _ in range(MANY)]
    apply_all(heart, control)
    judge.install_witness(connection)
    there_and_back(control, made)
    return made


def assert_nothing_went_back(connection: psycopg.Connection, those: list[Lived]) -> None:
    shown = judge.versions(connection)
    for lived in those:
        assert {lived.number(one) for one in shown.get(lived.name, [])} <= {0}
    for mirrored in MIRRORED:
        held = judge.rows(connection, mirrored)
        mine = [lived for lived in those if lived.mirrored is mirrored]
        assert all(held[lived.name] == lived.truth for lived in mine)


def test_run_in_peace_never_shows_a_state_that_is_over(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    those: list[Lived],
) -> None:
    control.clear_requests()
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, totals(report).drift) == ("success", 0)
    assert report.events.missed == 2 * len(those)
    assert_nothing_went_back(connection, those)
    assert count(connection, "changes", "run_id IS NOT NULL") == 0
    stale = "source = 'reconcile' AND outcome = 'stale'"
    assert count(connection, "events", stale) == 2 * len(those)
    asked = sum(
        number for name, number in control.request_counts().items() if name.endswith(".retrieve")
    )
    assert asked - control.request_counts().get("account.retrieve", 0) <= 1, "whose key it is"
    before = world(connection)
    receipts = [apply(heart, control.event_body(made["id"])) for made in control.events()[-40:]]
    assert {receipt.outcome for receipt in receipts} == {Outcome.DUPLICATE}
    assert world(connection) == before


def by_signal(control: Control, stop: threading.Event) -> float | None:
    control.hook(stop.set, when="after_read", endpoint="events.list", skip=1, count=1)
    return None


def by_deadline(control: Control, stop: threading.Event) -> float | None:
    del stop
    control.fault("hang", endpoint="events.list", seconds=5.0, count=None)
    return time.monotonic() + 2.0


def by_revoked_key(control: Control, stop: threading.Event) -> float | None:
    del stop
    control.fault("status", endpoint="events.list", status=401, skip=1, count=None)
    return None


@pytest.mark.parametrize("stopped", [by_signal, by_deadline, by_revoked_key])
def test_run_that_is_stopped_within_the_event_list_leaves_right_rows_right(
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    those: list[Lived],
    stopped: Callable[[Control, threading.Event], float | None],
) -> None:
    """600 of 600 rows were wrong then, and each night after was refused by the gate."""
    stop = threading.Event()
    deadline = stopped(control, stop)
    with run(database_url, stripe_double, stop=stop, deadline=deadline, limit="10%") as one_run:
        report = one_run.execute()
    report.close()
    assert report.run.outcome in {RunOutcome.INCOMPLETE, RunOutcome.FAILED}
    assert_nothing_went_back(connection, those)
    control.clear_interventions()
    for night in range(3):
        control.advance(24 * HOUR)
        report = reconcile(database_url, stripe_double, limit="10%")
        assert (report.run.outcome, totals(report).drift) == ("success", 0), night
    assert_nothing_went_back(connection, those)
    assert {row[0] for row in connection.execute("SELECT id FROM stripe.events")} == {
        made["id"] for made in control.events()
    }


@each_object()
@pytest.mark.parametrize("ago", [13 * HOUR, HOUR, 700, 300, 30])
def test_lost_change_that_was_taken_back_without_an_event_changes_nothing(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    ago: int,
) -> None:
    """A -> B (its event is lost) -> A (Stripe makes no event): right before the run, and after."""
    lived = Lived(control, mirrored)
    apply_all(heart, control)
    judge.install_witness(connection)
    control.advance(HOUR)
    lived.become(1)
    lost = control.events()[-1]["id"]
    control.advance(10)
    lived.become(0, events=0)
    control.advance(ago)
    for night in range(2):
        report = reconcile(database_url, stripe_double)
        assert (report.run.outcome, totals(report).drift) == ("success", 0), night
        assert lived.held(connection) == 0
        control.advance(24 * HOUR)
    assert one(connection, "SELECT source FROM stripe.events WHERE id = %s", lost) == "reconcile"
    # And delivered after all, as by Stripe's own retries.
    assert apply(heart, control.event_body(lost)).outcome is Outcome.DUPLICATE
    assert all(len(versions) == 1 for versions in judge.versions(connection).values())


@each_object()
@pytest.mark.parametrize("ago", [13 * HOUR, HOUR, 700, 300, 30])
@pytest.mark.parametrize("is_stopped", [False, True], ids=["in peace", "stopped"])
def test_delivery_that_comes_after_the_night_is_asked_for(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    ago: int,
    is_stopped: bool,
) -> None:
    """The list of events did not show it in time, so the night knew nothing of it."""
    lived = Lived(control, mirrored)
    apply_all(heart, control)
    control.advance(HOUR)
    lived.become(1)
    late = control.events()[-1]["id"]
    control.list_event_late(late, 48 * HOUR)
    control.advance(10)
    lived.become(0, events=0)
    control.advance(ago)
    if is_stopped:
        control.fault("status", endpoint="events.list", status=401, count=None)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome == ("failed" if is_stopped else "success")
    control.clear_faults()
    receipt = apply(heart, control.event_body(late))
    assert (receipt.outcome, receipt.asked) == (Outcome.UNCHANGED, 1)
    assert lived.held(connection) == 0


@each_object()
def test_event_from_after_the_night_is_applied_at_no_question(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    mirrored: MirroredObject,
) -> None:
    lived = Lived(control, mirrored)
    apply_all(heart, control)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    seen = len(control.events())
    control.advance(2)
    lived.become(1)
    Lived(control, mirrored)
    receipts = apply_all(heart, control, after=seen)
    assert {(receipt.outcome, receipt.asked) for receipt in receipts} == {(Outcome.APPLIED, 0)}


@each_object(can_be_deleted)
def test_late_first_event_does_not_bring_back_what_was_deleted_before_the_night(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """No list names a deleted object, so no later night would find the row."""
    lived = Lived(control, mirrored)
    late = control.events()[-1]["id"]
    control.list_event_late(late, 48 * HOUR)
    control.advance(HOUR)
    lived.end(events=0)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    assert count(connection, mirrored.table) == 0
    receipt = apply(heart, control.event_body(late))
    assert (receipt.outcome, receipt.asked) == (Outcome.APPLIED, 1)
    assert lived.held(connection) == -1
    held = read_held(connection, mirrored, [lived.name]).get(lived.name)
    assert held is not None
    assert mirrored.is_emptied(held.row)
    assert mirrored.created(held.row) is not None


def test_run_over_one_subscription_is_not_overtaken_either(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    """It compares one row, so it is the row that remembers."""
    name = control.create_subscription()
    apply_all(heart, control)
    control.advance(HOUR)
    control.update_subscription(name, metadata={"state": "B"})
    late = control.events()[-1]["id"]
    control.update_subscription(name, metadata={}, events=0)
    control.advance(60)
    report = reconcile(database_url, stripe_double, subscription=name)
    assert (report.run.outcome, totals(report).drift) == ("success", 0)
    assert apply(heart, control.event_body(late)).outcome is Outcome.STALE
    assert one(connection, "SELECT metadata::text FROM stripe.subscriptions") == "{}"
    assert count(connection, "changes", "run_id IS NOT NULL") == 0


@each_object()
def test_run_waits_for_statements_that_may_not_know_that_it_has_begun(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """An old event is under way when the run begins: its row must not be read as it was before."""
    lived = Lived(control, mirrored)
    apply_all(heart, control)
    control.advance(HOUR)
    lived.become(1)
    late = control.events()[-1]["id"]
    control.list_event_late(late, 48 * HOUR)
    lived.become(0, events=0)
    control.advance(HOUR)
    connection.execute(
        f"""
        CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared(77);
            RETURN NEW;
        END $$;
        CREATE TRIGGER stand BEFORE INSERT OR UPDATE ON stripe.{mirrored.table}
            FOR EACH ROW EXECUTE FUNCTION stand();
        SELECT pg_advisory_lock(77);
        """.encode()
    )
    with ThreadPoolExecutor(2) as pool:
        delivery = pool.submit(apply, heart, control.event_body(late))
        until(lambda: blocked(connection) == 1, "the statement is under way")
        night = pool.submit(reconcile, database_url, stripe_double)
        begun = len(MIRRORED)
        until(lambda: count(connection, "compared") == begun, "the run has said that it begins")
        control.clear_requests()
        threading.Event().wait(0.3)
        assert endpoint(mirrored, "list") not in control.request_counts(), "and waits"
        connection.execute("SELECT pg_advisory_unlock(77)")
        assert delivery.result(20).outcome is Outcome.APPLIED
        report = night.result(20)
    assert [row.action for row in report.drift()] == ["repaired"]
    assert lived.held(connection) == 0


@each_object()
@pytest.mark.parametrize("ended, writes", [(1_000, False), (1_001, True), (None, True)])
@pytest.mark.parametrize("is_held", [False, True])
def test_decision_taken_before_a_comparison_began_writes_only_what_is_younger(
    connection: psycopg.Connection,
    control: Control,
    mirrored: MirroredObject,
    ended: int | None,
    writes: bool,
    is_held: bool,
) -> None:
    lived = Lived(control, mirrored, created=900)
    first = mirrored.decode(json.dumps(control.truth(lived.name)).encode())
    lived.become(1)
    content = mirrored.decode(json.dumps(control.truth(lived.name)).encode())
    entry = Entry(
        event_id="evt_1",
        type=event_type(mirrored, "updated"),
        object_id=lived.name,
        created=999,
        api_version=None,
        source="webhook",
        outcome="applied",
        error=None,
        payload=b"{}",
    )
    if is_held:
        rows = encode([Write(first, Interval(1, 2), None, {})], mirrored)
        assert write_for_run(connection, mirrored, rows, str(RUN))
    connection.execute(
        "INSERT INTO stripe.compared VALUES (%s, to_timestamp(1000))", [mirrored.name]
    )
    held = read_held(connection, mirrored, [lived.name]).get(lived.name)
    change = mirrored.differences(held, content) if held is not None else {}
    write = Write(content, Interval(999, 1_000), 1 if is_held else None, change)
    assert write_for_event(connection, mirrored, write, entry, ended=ended) is writes
    assert count(connection, "events") == writes
    assert lived.held(connection) == (1 if writes else 0 if is_held else None)


RUN = "00000000-0000-0000-0000-000000000001"
