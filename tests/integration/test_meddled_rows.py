"""What somebody with psql, or an odd database, does to the mirror: all of it heals."""

import json

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.database.pool import Database
from shared.mirror import Outcome
from shared.objects.catalogue import MIRRORED
from shared.objects.column import Type
from shared.objects.declaration import MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from tests import builders
from tests.builders import apply, mirror, reconcile
from tests.integration.lived import Lived, seeded
from tests.integration.meddling import OTHER
from tests.integration.witness import count
from tests.objects import each_object


def seeded_subscriptions(database_url: str, double: StripeDouble) -> list[str]:
    return [lived.name for lived in seeded(database_url, double, SUBSCRIPTION, 30)]


def in_sync(database_url: str, double: StripeDouble) -> bool:
    report = reconcile(database_url, double, writes=False)
    return report.run.outcome is RunOutcome.SUCCESS and not list(report.drift())


@each_object()
@pytest.mark.parametrize(
    "created, number",
    [
        ("created - interval '40 days'", 30),
        ("created + interval '1 hour'", 30),
        ("'infinity'", 30),
        ("'epoch'", 30),
        ("(SELECT max(created) FROM stripe.{table})", 1_100),  # into another window
    ],
)
def test_row_whose_created_drifted_is_repaired_and_holds_up_no_other(
    created: str,
    number: int,
    mirrored: MirroredObject,
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
) -> None:
    made = seeded(database_url, stripe_double, mirrored, number)
    moved, changed = made[3], made[7]
    table = f"stripe.{mirrored.table}"
    time = created.format(table=mirrored.table)
    for change, lived in (
        (f"created = {time}", moved),
        (f"metadata = {OTHER[Type.METADATA].format('metadata')}", changed),
    ):
        statement = f"UPDATE {table} SET {change} WHERE id = %s"  # noqa: S608
        connection.execute(statement.encode(), (lived.name,))
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    found = {row.object_id: (row.kind, row.action) for row in report.drift()}
    assert found == dict.fromkeys((moved.name, changed.name), ("differs", "repaired"))
    assert in_sync(database_url, stripe_double)


def test_infinite_time_in_a_row_is_overwritten_by_an_event_and_by_a_run(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    names = seeded_subscriptions(database_url, stripe_double)
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


@each_object()
def test_late_event_from_before_does_not_bring_back_what_stripe_no_longer_has(
    mirrored: MirroredObject,
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
) -> None:
    control = stripe_double.control
    lived = Lived(control, mirrored)
    body = lived.body()
    ghost = body.replace(lived.name.encode(), b"x_ghost").replace(b"evt_", b"evt_9")
    late = body.replace(lived.name.encode(), b"x_ghost").replace(b"evt_", b"evt_8")
    with mirror(database_url, stripe_double) as to:
        builders.apply_all(to, control)
        assert apply(to, ghost).outcome is Outcome.APPLIED
        control.advance(3_600)
        assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
        assert apply(to, late).outcome is Outcome.STALE
    where = "id = 'x_ghost' AND missing_in_stripe_since IS NOT NULL"
    assert count(connection, mirrored.table, where) == 1


def test_cursor_of_long_ago_is_not_gone_on_from(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    names = seeded_subscriptions(database_url, stripe_double)
    connection.execute(
        """
        UPDATE stripe.runs SET outcome = 'incomplete', started_at = now() - interval '21 days',
            done = %s
        """,
        [json.dumps({mirrored.name: [[0, 99999999999]] for mirrored in MIRRORED})],
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
    names = seeded_subscriptions(database_url, stripe_double)
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
