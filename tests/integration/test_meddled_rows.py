"""What somebody with psql, or an odd database, does to the mirror: all of it heals."""

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.database.pool import Database
from shared.mirror import Outcome
from tests import builders
from tests.builders import apply, mirror, reconcile


def seeded(database_url: str, double: StripeDouble, count: int = 30) -> list[str]:
    double.control.advance(86_400)
    now = int(double.control.now())
    double.control.seed(count, start=now - 50_000, end=now - 5_000)
    assert reconcile(database_url, double).run.outcome is RunOutcome.SUCCESS
    double.control.advance(3_600)
    return double.control.ids("subscription")


def in_sync(database_url: str, double: StripeDouble) -> bool:
    report = reconcile(database_url, double, writes=False)
    return report.run.outcome is RunOutcome.SUCCESS and not list(report.drift())


@pytest.mark.parametrize(
    "created, count",
    [
        ("created - interval '40 days'", 30),
        ("created + interval '1 hour'", 30),
        ("'infinity'", 30),
        ("'epoch'", 30),
        ("(SELECT max(created) FROM stripe.subscriptions)", 1_100),  # into another window
    ],
)
def test_row_whose_created_drifted_is_repaired_and_holds_up_no_other(
    created: str,
    count: int,
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
) -> None:
    names = seeded(database_url, stripe_double, count)
    connection.execute(
        f"UPDATE stripe.subscriptions SET created = {created} WHERE id = %s",  # noqa: S608
        (names[3],),
    )
    connection.execute(
        "UPDATE stripe.subscriptions SET status = 'unpaid' WHERE id = %s", (names[7],)
    )
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    found = {row.object_id: (row.kind, row.action) for row in report.drift()}
    assert found[names[7]] == ("differs", "repaired")
    assert found[names[3]] == ("differs", "repaired")
    assert in_sync(database_url, stripe_double)


def test_customer_without_created_is_compared_and_repaired(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    seeded(database_url, stripe_double)
    name = stripe_double.control.ids("customer")[5]
    connection.execute(
        "UPDATE stripe.customers SET created = NULL, email = 'wrong@example.com' WHERE id = %s",
        (name,),
    )
    report = reconcile(database_url, stripe_double)
    assert [(row.object_id, row.action) for row in report.drift()] == [(name, "repaired")]
    assert in_sync(database_url, stripe_double)


def test_infinite_time_in_a_row_is_overwritten_by_an_event_and_by_a_run(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    names = seeded(database_url, stripe_double)
    connection.execute(
        "UPDATE stripe.subscriptions SET current_period_end = 'infinity', ended_at = '-infinity'"
        " WHERE id = ANY(%s)",
        (names[:2],),
    )
    control = stripe_double.control
    control.update_subscription(names[0], metadata={"plan": "life"})
    with mirror(database_url, stripe_double) as to:
        body = control.event_body(control.events()[-1]["id"])
        assert apply(to, body).outcome is Outcome.APPLIED
    report = reconcile(database_url, stripe_double)
    assert [(row.object_id, row.action) for row in report.drift()] == [(names[1], "repaired")]
    assert in_sync(database_url, stripe_double)


def test_event_that_breaks_a_rule_of_the_users_own_is_kept_as_failed(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    connection.execute("CREATE UNIQUE INDEX theirs ON stripe.customers (email)")
    control = stripe_double.control
    for _ in range(2):
        control.create_customer(email="same@example.com")
    with mirror(database_url, stripe_double) as to:
        first, second = builders.apply_all(to, control)
    assert first.outcome is Outcome.APPLIED
    assert second.outcome is Outcome.FAILED
    assert second.error is not None
    assert "theirs" in second.error
    assert "same@example.com" not in second.error


def test_late_event_from_before_does_not_bring_back_what_stripe_no_longer_has(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    name = control.create_subscription()
    body = control.event_body(control.events()[-1]["id"])
    ghost = body.replace(name.encode(), b"sub_ghost").replace(b"evt_", b"evt_9")
    late = body.replace(name.encode(), b"sub_ghost").replace(b"evt_", b"evt_8")
    with mirror(database_url, stripe_double) as to:
        builders.apply_all(to, control)
        assert apply(to, ghost).outcome is Outcome.APPLIED
        control.advance(3_600)
        assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
        assert apply(to, late).outcome is Outcome.STALE
    row = connection.execute(
        "SELECT missing_in_stripe_since IS NOT NULL FROM stripe.subscriptions"
        " WHERE id = 'sub_ghost'"
    ).fetchone()
    assert row == (True,)


def test_cursor_of_long_ago_is_not_gone_on_from(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    names = seeded(database_url, stripe_double)
    connection.execute(
        """
        UPDATE stripe.runs SET outcome = 'incomplete', started_at = now() - interval '21 days',
            done = '{"subscription": [[0, 99999999999]], "customer": [[0, 99999999999]]}'
        """
    )
    connection.execute(
        "UPDATE stripe.subscriptions SET status = 'unpaid' WHERE id = %s", (names[0],)
    )
    report = reconcile(database_url, stripe_double)
    assert [(row.object_id, row.action) for row in report.drift()] == [(names[0], "repaired")]


def test_options_of_the_url_cannot_lift_read_only_nor_the_time_outs(database_url: str) -> None:
    database = Database(f"{database_url}&options=-csearch_path%3Dpublic", read_only=True)
    try:
        with database.connection() as connection:
            shown = [
                connection.execute(f"SHOW {name}").fetchone()
                for name in (
                    "default_transaction_read_only",
                    "statement_timeout",
                    "search_path",
                    "jit",
                )
            ]
    finally:
        database.close()
    assert shown == [("on",), ("30s",), ("public",), ("off",)]


def test_absurd_amount_stops_no_run(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    names = seeded(database_url, stripe_double)
    connection.execute(
        "UPDATE stripe.subscription_items SET quantity = 9000000000000000000,"
        " unit_amount_decimal = CASE WHEN subscription_id = %s THEN 'NaN' ELSE 1e19 END"
        " WHERE subscription_id = ANY(%s)",
        (names[0], names[:2]),
    )
    stripe_double.control.cancel(names[0])
    stripe_double.control.cancel(names[1])
    report = reconcile(database_url, stripe_double)
    assert {row.object_id: row.action for row in report.drift()} == dict.fromkeys(
        names[:2], "repaired"
    )
    assert in_sync(database_url, stripe_double)
