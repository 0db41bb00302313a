"""Known ways in which a nightly run does harm, each tried on the real thing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from reconcile.report.model import Report, RunOutcome
from sandbox.stripe_double import OTHER_ACCOUNT, Control, StripeDouble
from shared import mirror as heart
from shared.errors import WrongAccount
from tests.builders import apply, apply_all, mirror, reconcile, until, world
from tests.integration.witness import blocked, count, one, quantities, watch_quantities

LONG_AGO = 1_780_000_000
"""Months before the double's clock: old enough for any list."""


def found(report: Report) -> list[tuple[str, str, str]]:
    """What a report says of subscriptions: id, kind, action."""
    return [
        (row.object_id, row.kind, row.action)
        for row in report.drift()
        if row.object == "subscription"
    ]


def drifted(url: str, double: StripeDouble, number: int = 1) -> list[str]:
    """Subscriptions that the database holds as of their creation, long ago, and Stripe no more."""
    control = double.control
    control.clear_requests()
    names = [
        control.create_subscription(created=LONG_AGO + place, quantity=1) for place in range(number)
    ]
    with mirror(url, double) as to:
        apply_all(to, control)
    control.advance(3_600)
    for name in names:
        control.change_item(name, item_of(control, name), quantity=2, events=0)
    control.advance(3_600)
    return names


def item_of(control: Control, subscription: str) -> str:
    body = control.truth(subscription)
    assert body is not None
    return str(body["items"]["data"][0]["id"])


def quantity(connection: psycopg.Connection) -> int:
    return int(one(connection, "SELECT quantity FROM stripe.subscription_items"))


def test_page_read_before_a_webhook_does_not_overwrite_it(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 3: page read, webhook commits, the page is written stamped "now"."""
    control = stripe_double.control
    watch_quantities(connection)
    (name,) = drifted(database_url, stripe_double)
    with (
        ThreadPoolExecutor(1) as pool,
        mirror(database_url, stripe_double) as to,
        control.hold("after_read", endpoint="subscriptions.list") as hold,
    ):
        run = pool.submit(reconcile, database_url, stripe_double)
        hold.wait_reached()
        control.advance(60)
        control.change_item(name, item_of(control, name), quantity=3)
        body = control.event_body(control.events()[-1]["id"])
        assert apply(to, body).outcome is heart.Outcome.APPLIED
        hold.release()
        report = run.result(20)
        # The event that comes again is known, and the next one is not taken for older.
        assert apply(to, body).outcome is heart.Outcome.DUPLICATE
        control.advance(60)
        control.change_item(name, item_of(control, name), quantity=4)
        body = control.event_body(control.events()[-1]["id"])
        assert apply(to, body).outcome is heart.Outcome.APPLIED
    assert report.run.outcome is RunOutcome.SUCCESS
    assert quantities(connection) == [1, 3, 4]
    assert found(report) in ([], [(name, "differs", "in_flight")])


def test_repair_loses_against_a_webhook_that_writes_in_between(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 3: between the second look and the repair somebody writes the row."""
    control = stripe_double.control
    watch_quantities(connection)
    (name,) = drifted(database_url, stripe_double)
    item = item_of(control, name)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as holder:
        holder.execute("SELECT 1 FROM stripe.subscriptions FOR UPDATE")
        run = pool.submit(reconcile, database_url, stripe_double)
        until(lambda: blocked(connection) == 1, "the repair waits for the row")
        control.advance(60)
        control.change_item(name, item, quantity=3, events=0)
        # What a webhook writes.
        holder.execute("UPDATE stripe.subscription_items SET quantity = 3")
        holder.execute("UPDATE stripe.subscriptions SET revision = revision + 1")
        holder.commit()
        report = run.result(20)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert quantities(connection) == [1, 3]
    assert found(report) == [(name, "differs", "in_flight")]


def test_missing_row_that_a_webhook_inserts_first_stays_the_webhooks(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 3: the row of the page is inserted only where there still is none."""
    control = stripe_double.control
    watch_quantities(connection)
    name = control.create_subscription(created=LONG_AGO, quantity=1)
    control.advance(3_600)
    with (
        ThreadPoolExecutor(1) as pool,
        mirror(database_url, stripe_double) as to,
        control.hold("after_read", endpoint="subscriptions.list") as hold,
    ):
        run = pool.submit(reconcile, database_url, stripe_double)
        hold.wait_reached()
        control.change_item(name, item_of(control, name), quantity=2)
        body = control.event_body(control.events()[-1]["id"])
        assert apply(to, body).outcome is heart.Outcome.APPLIED
        hold.release()
        report = run.result(20)
    assert quantities(connection) == [2]
    assert found(report) == [], "asked for by its id, it is in sync"


def test_more_than_ten_items_on_a_list_page_are_all_stored(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 5: each subscription on a page embeds ten items at most."""
    items = [{"price": "basic", "quantity": number + 1} for number in range(12)]
    stripe_double.control.create_subscription(created=LONG_AGO, items=items, events=0)
    stripe_double.control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    assert count(connection, "subscription_items") == 12
    before = world(connection, "runs", "drifts")
    assert found(reconcile(database_url, stripe_double)) == []
    assert world(connection, "runs", "drifts") == before


def test_canceled_subscription_is_ended_by_the_run(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 7: a list without `status=all` leaves canceled ones out; rows stay active for ever."""
    control = stripe_double.control
    (name,) = drifted(database_url, stripe_double)
    control.cancel(name, events=0)
    control.advance(3_600)
    report = reconcile(database_url, stripe_double)
    assert found(report) == [(name, "differs", "repaired")]
    assert [row.consequence for row in report.drift()] == ["leak"]
    assert one(connection, "SELECT status FROM stripe.subscriptions") == "canceled"
    walked = [
        dict(line.query)
        for line in control.requests()
        if line.endpoint == "subscriptions.list" and "created[gte]" in dict(line.query)
    ]
    assert {query["status"] for query in walked} == {"all"}


def test_row_that_only_the_database_has_is_confirmed_marked_and_reported(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 8: nobody looks for rows that Stripe does not know."""
    control = stripe_double.control
    (name,) = drifted(database_url, stripe_double)
    body = control.truth(name)
    ghost = {**(body or {}), "id": "sub_1Ghost"}
    ghost["items"] = {"object": "list", "data": [], "has_more": False}
    event = control.emit_object("customer.subscription.updated", ghost)
    with mirror(database_url, stripe_double) as to:
        apply(to, control.event_body(event))
    control.advance(3_600)
    control.clear_requests()
    looked = reconcile(database_url, stripe_double, writes=False)
    assert ("sub_1Ghost", "missing_in_stripe", "reported") in found(looked)
    assert count(connection, "subscriptions", "missing_in_stripe_since IS NOT NULL") == 0
    assert ("GET", "/v1/subscriptions/sub_1Ghost", 404) in [
        (line.method, line.path, line.status) for line in control.requests()
    ]
    report = reconcile(database_url, stripe_double)
    assert ("sub_1Ghost", "missing_in_stripe", "repaired") in found(report)
    marked = connection.execute(
        "SELECT id, status FROM stripe.subscriptions WHERE missing_in_stripe_since IS NOT NULL"
    ).fetchall()
    assert marked == [("sub_1Ghost", "active")]
    assert found(reconcile(database_url, stripe_double)) == []


@pytest.mark.parametrize(
    "fault", [{"kind": "empty_list"}, {"kind": "truncated_list", "keep": 2}], ids=str
)
def test_broken_list_deletes_and_overwrites_nothing(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    fault: dict[str, int | str],
) -> None:
    """Trap 9: a truncated or empty list is read as "everything was deleted"."""
    control = stripe_double.control
    drifted(database_url, stripe_double, 5)
    before = world(connection, "runs", "drifts", "account")
    control.fault(**fault, endpoint="subscriptions.list", count=None)  # type: ignore[arg-type]
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.REFUSED
    assert "left out" in str(report.run.reason)
    assert world(connection, "runs", "drifts", "account") == before
    assert {action for _, _, action in found(report)} == {"refused"}
    control.clear_faults()
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    assert one(connection, "SELECT min(quantity) FROM stripe.subscription_items") == 2


@pytest.mark.parametrize(
    "key", ["sk_test_other", "rk_test_other", "sk_live_double", "rk_live_double"]
)
@pytest.mark.parametrize("writes", [True, False])
def test_key_of_another_account_or_mode_stops_before_anything_is_read(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    key: str,
    writes: bool,
) -> None:
    """Trap 9: with the wrong key everything is "missing". rk_ keys may not read the account."""
    control = stripe_double.control
    drifted(database_url, stripe_double)
    control.realm(OTHER_ACCOUNT).create_subscription(created=LONG_AGO)
    control.realm(livemode=True).create_subscription(created=LONG_AGO)
    before = world(connection)
    control.clear_requests()
    with pytest.raises(WrongAccount):
        reconcile(database_url, stripe_double, key=key, writes=writes)
    assert world(connection) == before
    assert not {"subscriptions.list", "customers.list"} & control.request_counts().keys()


def test_object_that_lists_do_not_show_yet_is_not_missing(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 10: an object appears in lists seconds after its creation, a change too."""
    control = stripe_double.control
    (old,) = drifted(database_url, stripe_double)
    control.switch(lag=300.0)
    young = control.create_subscription()
    control.cancel(old)
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    control.advance(2)
    before = world(connection, "runs", "drifts", "account")
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert found(report) == []
    # The lagging list calls the canceled one active; it was asked for by its id.
    assert world(connection, "runs", "drifts", "account") == before
    asked = {line.path.rpartition("/")[2] for line in control.requests()}
    assert {young, old} <= asked


def test_list_does_not_speak_for_a_young_row_in_a_wrong_place(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 10: where Stripe lists it, its row is read by its id, and the page may be older."""
    control = stripe_double.control
    control.seed(300, start=LONG_AGO - 86_400, end=LONG_AGO - 60)
    (old,) = drifted(database_url, stripe_double)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.switch(lag=300.0)
    events = len(control.events())
    control.cancel(old)
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control, after=events)
    connection.execute(
        "UPDATE stripe.subscriptions SET created = created - interval '12 hours' WHERE id = %s",
        [old],
    )
    control.advance(2)
    control.clear_requests()
    report = reconcile(database_url, stripe_double)
    assert found(report) == [(old, "differs", "repaired")]
    query = "SELECT status, created FROM stripe.subscriptions WHERE id = %s"
    row = connection.execute(query, [old]).fetchone()
    assert row == ("canceled", datetime.fromtimestamp(LONG_AGO, UTC))
    asked = [line for line in control.requests() if line.path.endswith(old)]
    assert len(asked) == 1


def test_first_run_finds_the_distribution_itself_and_lists_hardly_a_page_too_many(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 16: an empty database knows no windows; one after the other would take hours."""
    control = stripe_double.control
    now = int(control.now())
    control.seed(300, start=now - 9 * 365 * 86_400, end=now - 8 * 365 * 86_400)
    control.seed(700, start=now - 86_400, end=now - 7_200)
    control.advance(3_600)
    control.clear_requests()
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    for table in ("customers", "subscriptions"):
        query = sql.SQL("SELECT count(*) FROM stripe.{}").format(sql.Identifier(table))
        assert connection.execute(query).fetchone() == (1_000,)
        pages = control.request_counts()[f"{table}.list"]
        # Eleven pages, and hardly one for the end of a part, or for one that turns out to be empty.
        assert 11 <= pages <= 14


def test_second_with_more_objects_than_a_window_has_pages_is_listed_to_its_end(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 16: an import made them all in one second, in which nothing narrows a list."""
    control = stripe_double.control
    second = int(control.now()) - 7_200
    control.seed(2_050, customers=1, start=second, end=second)
    control.advance(3_600)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    query = "SELECT count(*) FROM stripe.subscriptions"
    assert connection.execute(query).fetchone() == (2_050,)


def test_window_full_of_questions_is_kept_in_portions(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 16: a window that is all questions would not be done before any deadline."""
    control = stripe_double.control
    control.seed(130, customers=1)
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    # No list tells the items, so each subscription is asked for, twice, for its items between.
    control.switch(embedded_items=0)
    done = "SELECT count(*) FROM stripe.runs WHERE outcome IS NULL AND done ? 'subscription'"
    with (
        ThreadPoolExecutor(1) as pool,
        control.hold(endpoint="subscriptions.retrieve", skip=120) as hold,
    ):
        going = pool.submit(reconcile, database_url, stripe_double)
        hold.wait_reached()
        until(lambda: connection.execute(done).fetchone() == (1,), "a portion is kept")
        hold.release()
        report = going.result(30)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert report.counts["subscription"]["in_sync"] == 130
    assert report.counts["subscription"]["database"] == 130


def test_portion_that_ends_within_a_page_leaves_the_rest_to_the_next_portion(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 16: what lay between its last question and the next page was never compared."""
    control = stripe_double.control
    control.seed(400, customers=1)
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    # Younger than a list may lag: each of the newest 150 is asked for, the oldest 250 are in sync.
    connection.execute(
        """
        UPDATE stripe.subscriptions SET
            days_until_due = 7,
            as_of = tstzrange(to_timestamp(%(now)s), to_timestamp(%(now)s + 1))
        WHERE id IN (SELECT id FROM stripe.subscriptions ORDER BY created DESC LIMIT 150)
        """,
        {"now": int(control.now())},
    )
    control.advance(5)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert [action for _, _, action in found(report)] == ["repaired"] * 150
    counts = report.counts["subscription"]
    assert (counts["stripe"], counts["database"], counts["in_sync"]) == (400, 400, 250)
    left = "SELECT count(*) FROM stripe.subscriptions WHERE days_until_due = 7"
    assert one(connection, left) == 0
