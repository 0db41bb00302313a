"""Known ways in which a nightly run does harm, each tried on the real thing."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import OTHER_ACCOUNT, StripeDouble
from shared import mirror as heart
from shared.errors import WrongAccount
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.repository.apply_event import write_for_event
from shared.repository.ledger import Entry
from shared.repository.rows import read_held
from shared.repository.write import Write
from shared.truth import Interval
from tests.builders import apply, apply_all, mirror, reconcile, until, world
from tests.integration import judge
from tests.integration.lived import LONG_AGO, Lived, drifted, found
from tests.integration.witness import blocked
from tests.objects import each_object, endpoint, event_type, is_always_listed, vouches


@each_object()
def test_page_read_before_a_webhook_does_not_overwrite_it(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 3: page read, webhook commits, the page is written stamped "now"."""
    control = stripe_double.control
    judge.install_witness(connection)
    (lived,) = drifted(database_url, stripe_double, mirrored)
    with (
        ThreadPoolExecutor(1) as pool,
        mirror(database_url, stripe_double) as to,
        control.hold("after_read", endpoint=endpoint(mirrored, "list")) as hold,
    ):
        run = pool.submit(reconcile, database_url, stripe_double)
        hold.wait_reached()
        control.advance(60)
        lived.become(2)
        assert apply(to, lived.body()).outcome is heart.Outcome.APPLIED
        hold.release()
        report = run.result(20)
        # The event that comes again is known, and the next one is not taken for older.
        assert apply(to, lived.body()).outcome is heart.Outcome.DUPLICATE
        control.advance(60)
        lived.become(3)
        assert apply(to, lived.body()).outcome is heart.Outcome.APPLIED
    assert report.run.outcome is RunOutcome.SUCCESS
    shown = lived.shown(connection)
    assert [state for state, _ in itertools.groupby(shown)] == [0, 2, 3]
    assert found(report, mirrored) in ([], [(lived.name, "differs", "in_flight")])


@each_object()
def test_repair_loses_against_a_webhook_that_writes_in_between(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 3: between the second look and the repair somebody writes the row."""
    control = stripe_double.control
    judge.install_witness(connection)
    (lived,) = drifted(database_url, stripe_double, mirrored)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as holder:
        holder.execute(f"SELECT 1 FROM stripe.{mirrored.table} FOR UPDATE".encode())  # noqa: S608
        run = pool.submit(reconcile, database_url, stripe_double)
        until(lambda: blocked(connection) == 1, "the repair waits for the row")
        control.advance(60)
        lived.become(2)
        write_as_webhook(holder, lived)
        holder.commit()
        report = run.result(20)
    assert report.run.outcome is RunOutcome.SUCCESS
    shown = lived.shown(connection)
    assert [state for state, _ in itertools.groupby(shown)] == [0, 2]
    assert found(report, mirrored) == [(lived.name, "differs", "in_flight")]


def write_as_webhook(holder: psycopg.Connection, lived: Lived) -> None:
    """Apply the newest event of an object within a transaction that is not yet over."""
    body = json.loads(lived.body())
    content = lived.mirrored.decode(json.dumps(body["data"]["object"]).encode())
    held = read_held(holder, lived.mirrored, [lived.name]).get(lived.name)
    assert held is not None
    created = body["created"]
    entry = Entry(
        event_id=body["id"],
        type=body["type"],
        object_id=lived.name,
        created=created,
        api_version=None,
        source="webhook",
        outcome="applied",
        error=None,
        payload=b"{}",
    )
    fields = lived.mirrored.differences(held, content)
    write = Write(content, Interval(created, created + 1), held.revision, fields)
    assert write_for_event(holder, lived.mirrored, write, entry)


@each_object()
def test_missing_row_that_a_webhook_inserts_first_stays_the_webhooks(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 3: the row of the page is inserted only where there still is none."""
    control = stripe_double.control
    judge.install_witness(connection)
    lived = Lived(control, mirrored, created=LONG_AGO)
    control.advance(3_600)
    with (
        ThreadPoolExecutor(1) as pool,
        mirror(database_url, stripe_double) as to,
        control.hold("after_read", endpoint=endpoint(mirrored, "list")) as hold,
    ):
        run = pool.submit(reconcile, database_url, stripe_double)
        hold.wait_reached()
        lived.become(1)
        assert apply(to, lived.body()).outcome is heart.Outcome.APPLIED
        hold.release()
        report = run.result(20)
    assert set(lived.shown(connection)) == {1}
    assert found(report, mirrored) == [], "asked for by its id, it is in sync"


@each_object()
def test_object_that_has_ended_is_ended_by_the_run(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 7: a list that leaves ended ones out; rows stay as they were for ever."""
    control = stripe_double.control
    (lived,) = drifted(database_url, stripe_double, mirrored)
    lived.end(events=0)
    control.advance(3_600)
    report = reconcile(database_url, stripe_double)
    kind = "missing_in_stripe"
    if mirrored.known_when_deleted or not mirrored.is_deletable:
        kind = "differs"
    assert found(report, mirrored) == [(lived.name, kind, "repaired")]
    assert lived.held(connection) == -1
    held = read_held(connection, mirrored, [lived.name]).get(lived.name)
    assert held is not None
    assert mirrored.is_terminal(held.row) or held.missing_in_stripe_since is not None
    assert mirrored.is_deleted(held.row) == mirrored.is_emptied(held.row)
    control.advance(3_600)
    assert list(reconcile(database_url, stripe_double).drift()) == []


def test_canceled_subscriptions_are_listed_and_the_run_calls_them_a_leak(
    database_url: str, stripe_double: StripeDouble
) -> None:
    """Trap 7: a list without `status=all` leaves canceled ones out."""
    control = stripe_double.control
    (lived,) = drifted(database_url, stripe_double, SUBSCRIPTION)
    lived.end(events=0)
    control.advance(3_600)
    report = reconcile(database_url, stripe_double)
    assert [row.consequence for row in report.drift()] == ["leak"]
    walked = [
        dict(line.query)
        for line in control.requests()
        if line.endpoint == "subscriptions.list" and "created[gte]" in dict(line.query)
    ]
    assert {query["status"] for query in walked} == {"all"}


@each_object()
def test_row_that_only_the_database_has_is_confirmed_marked_and_reported(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 8: nobody looks for rows that Stripe does not know."""
    control = stripe_double.control
    (lived,) = drifted(database_url, stripe_double, mirrored)
    ghost: dict[str, object] = {**(control.truth(lived.name) or {}), "id": "x_1Ghost"}
    if mirrored.items is not None:
        ghost["items"] = {"object": "list", "data": [], "has_more": False}
    event = control.emit_object(event_type(mirrored, "updated"), ghost)
    with mirror(database_url, stripe_double) as to:
        apply(to, control.event_body(event))
    query = f"SELECT * FROM stripe.{mirrored.table} WHERE id = 'x_1Ghost'"  # noqa: S608
    before = connection.execute(query.encode()).fetchone()
    marked = f"SELECT id FROM stripe.{mirrored.table} WHERE missing_in_stripe_since IS NOT NULL"  # noqa: S608
    control.advance(3_600)
    control.clear_requests()
    looked = reconcile(database_url, stripe_double, writes=False)
    assert ("x_1Ghost", "missing_in_stripe", "reported") in found(looked, mirrored)
    assert connection.execute(marked.encode()).fetchall() == []
    assert ("GET", f"{mirrored.path}/x_1Ghost", 404) in [
        (line.method, line.path, line.status) for line in control.requests()
    ]
    report = reconcile(database_url, stripe_double)
    assert ("x_1Ghost", "missing_in_stripe", "repaired") in found(report, mirrored)
    assert connection.execute(marked.encode()).fetchall() == [("x_1Ghost",)]
    after = connection.execute(query.encode()).fetchone()
    assert (before is None) == (after is None) is False
    assert found(reconcile(database_url, stripe_double), mirrored) == []


@each_object(is_always_listed)
@pytest.mark.parametrize(
    "fault", [{"kind": "empty_list"}, {"kind": "truncated_list", "keep": 2}], ids=str
)
def test_broken_list_deletes_and_overwrites_nothing(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    fault: dict[str, int | str],
) -> None:
    """Trap 9: a truncated or empty list is read as "everything was deleted"."""
    control = stripe_double.control
    made = drifted(database_url, stripe_double, mirrored, 5)
    before = world(connection, "runs", "drifts", "account")
    control.fault(**fault, endpoint=endpoint(mirrored, "list"), count=None)  # type: ignore[arg-type]
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.REFUSED
    assert "left out" in str(report.run.reason)
    assert world(connection, "runs", "drifts", "account") == before
    assert {action for _, _, action in found(report, mirrored)} == {"refused"}
    control.clear_faults()
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    assert [lived.held(connection) for lived in made] == [1] * 5


@each_object(vouches)
@pytest.mark.parametrize(
    "key", ["sk_test_other", "rk_test_other", "sk_live_double", "rk_live_double"]
)
def test_key_of_another_account_or_mode_stops_before_anything_is_read(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    key: str,
) -> None:
    """Trap 9: with the wrong key everything is "missing". rk_ keys may not read the account."""
    control = stripe_double.control
    drifted(database_url, stripe_double, mirrored)
    Lived(control.realm(OTHER_ACCOUNT), mirrored, created=LONG_AGO)
    Lived(control.realm(livemode=True), mirrored, created=LONG_AGO)
    before = world(connection)
    control.clear_requests()
    for writes in (True, False):
        with pytest.raises(WrongAccount):
            reconcile(database_url, stripe_double, key=key, writes=writes)
    assert world(connection) == before
    assert not {endpoint(one, "list") for one in MIRRORED} & control.request_counts().keys()


@each_object()
def test_object_that_lists_do_not_show_yet_is_not_missing(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 10: an object appears in lists seconds after its creation, a change too."""
    control = stripe_double.control
    changed, ended = drifted(database_url, stripe_double, mirrored, 2)
    control.switch(lag=300.0)
    young = Lived(control, mirrored)
    changed.become(2)
    ended.end()
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    control.advance(2)
    before = world(connection, "runs", "drifts", "account")
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert found(report, mirrored) == []
    # The lagging list calls the ended one alive; it was asked for by its id.
    assert world(connection, "runs", "drifts", "account") == before
    asked = {line.path.rpartition("/")[2] for line in control.requests()}
    assert {young.name, changed.name, ended.name} <= asked


@each_object()
def test_list_does_not_speak_for_a_young_row_in_a_wrong_place(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 10: where Stripe lists it, its row is read by its id, and the page may be older."""
    control = stripe_double.control
    for number in range(300):
        Lived(control, mirrored, created=LONG_AGO - 86_400 + number * 287, events=0)
    (lived,) = drifted(database_url, stripe_double, mirrored)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.switch(lag=300.0)
    lived.become(2)
    with mirror(database_url, stripe_double) as to:
        assert apply(to, lived.body()).outcome is heart.Outcome.APPLIED
    moved = f"UPDATE stripe.{mirrored.table} SET created = created - interval '12 hours'"  # noqa: S608
    connection.execute(f"{moved} WHERE id = %s".encode(), [lived.name])
    control.advance(2)
    control.clear_requests()
    report = reconcile(database_url, stripe_double)
    assert found(report, mirrored) == [(lived.name, "differs", "repaired")]
    assert lived.held(connection) == 2
    asked = [line for line in control.requests() if line.path.endswith(lived.name)]
    assert len(asked) == 1
