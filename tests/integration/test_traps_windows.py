"""Known ways in which a run never comes to the end of a list, each tried on the real thing."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import sql

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from tests.builders import reconcile, until, world
from tests.integration.lived import LONG_AGO
from tests.integration.witness import count, one


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
    assert list(reconcile(database_url, stripe_double).drift()) == []
    assert world(connection, "runs", "drifts") == before


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
    assert report.counts["subscription"].in_sync == 130
    assert report.counts["subscription"].database == 130


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
    assert [row.action for row in report.drift()] == ["repaired"] * 150
    counts = report.counts["subscription"]
    assert (counts.stripe, counts.database, counts.in_sync) == (400, 400, 250)
    left = "SELECT count(*) FROM stripe.subscriptions WHERE days_until_due = 7"
    assert one(connection, left) == 0
