"""Rules whose absence shows only in one narrow story each: those stories."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.database.pool import Database
from shared.errors import DatabaseUnavailable, WrongAccount
from shared.mirror import Outcome
from shared.objects.declaration import MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.repository import ledger
from shared.repository.ledger import Entry
from tests.builders import apply, apply_all, mirror, reconcile, world
from tests.integration.lived import LONG_AGO, Lived, drifted, found
from tests.integration.witness import one
from tests.objects import each_object, endpoint, first_item


@each_object()
def test_confirmed_row_does_not_give_way_to_an_answer_read_before(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """A question begins, Stripe goes back to what the row says, an equal event confirms the row.

    Were the confirmation to leave the revision alone, the slow answer would still find it.
    """
    control = stripe_double.control
    lived = Lived(control, mirrored)
    control.advance(60)
    for state in (1, 2):
        lived.become(state)
    with (
        mirror(database_url, stripe_double) as to,
        ThreadPoolExecutor(1) as pool,
        control.hold("after_read", endpoint=endpoint(mirrored, "retrieve")) as hold,
    ):
        *earlier, newest = lived.bodies()
        for body in earlier:
            apply(to, body)
        slow = pool.submit(apply, to, newest)
        hold.wait_reached()
        lived.become(1)
        assert apply(to, lived.body()).outcome is Outcome.UNCHANGED
        hold.release()
        assert slow.result(10).retries == 1
    assert lived.held(connection) == 1


@each_object()
@pytest.mark.parametrize("writes", [True, False])
def test_what_the_webhook_brings_meanwhile_is_in_flight_and_counts_for_no_limit(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    writes: bool,
) -> None:
    control = stripe_double.control
    lived = Lived(control, mirrored, created=LONG_AGO)
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        control.advance(3_600)
        lived.become(1)
        control.advance(3_600)
        with (
            ThreadPoolExecutor(1) as pool,
            control.hold("after_read", endpoint=endpoint(mirrored, "list")) as hold,
        ):
            run = pool.submit(reconcile, database_url, stripe_double, writes=writes, limit="0")
            hold.wait_reached()
            assert apply(to, lived.body()).outcome is Outcome.APPLIED
            hold.release()
            report = run.result(20)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert found(report, mirrored) == [(lived.name, "differs", "in_flight")]
    assert lived.held(connection) == 1


@each_object()
def test_run_beyond_its_limit_changes_no_row(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    made = drifted(database_url, stripe_double, mirrored, 3)
    before = world(connection, "runs", "drifts", "account")
    report = reconcile(database_url, stripe_double, limit="2")
    assert report.run.outcome is RunOutcome.REFUSED
    refused = sorted((lived.name, "differs", "refused") for lived in made)
    assert found(report, mirrored) == refused
    assert world(connection, "runs", "drifts", "account") == before
    assert reconcile(database_url, stripe_double, limit="3").run.outcome is RunOutcome.SUCCESS


def test_repair_that_is_asked_for_again_counts_against_the_limit(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """A row is missing and may go in; when that is written, somebody has put an old one there."""
    control = stripe_double.control
    name = control.create_subscription()
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    connection.execute(
        """
        CREATE TABLE stash AS SELECT * FROM stripe.subscriptions;
        DELETE FROM stripe.subscription_items;
        DELETE FROM stripe.subscriptions;
        CREATE FUNCTION be_quicker() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO stripe.subscriptions SELECT * FROM stash ON CONFLICT DO NOTHING;
            RETURN NULL;
        END $$;
        CREATE TRIGGER be_quicker BEFORE INSERT ON stripe.subscriptions
            FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION be_quicker();
        """
    )
    control.update_subscription(name, status="past_due", events=0)
    control.advance(2)
    report = reconcile(database_url, stripe_double, limit="0", grace=1)
    assert found(report, SUBSCRIPTION) == [(name, "differs", "refused")]
    assert report.run.outcome is RunOutcome.REFUSED
    assert one(connection, "SELECT status FROM stripe.subscriptions") == "active"


def test_items_read_after_a_change_are_not_put_to_the_state_before_it(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """More than ten items come in an answer of their own, and Stripe may change in between."""
    control = stripe_double.control
    name = control.create_subscription(items=[{"price": "basic"}] * 11)
    body = control.event_body(control.events()[-1]["id"])
    with (
        mirror(database_url, stripe_double) as to,
        ThreadPoolExecutor(1) as pool,
        control.hold("before_read", endpoint="subscription_items.list") as hold,
    ):
        applied = pool.submit(apply, to, body)
        hold.wait_reached()
        control.update_subscription(name, status="past_due")
        control.remove_item(name, first_item(control, name))
        hold.release()
        assert applied.result(10).outcome is Outcome.APPLIED
    assert one(connection, "SELECT status FROM stripe.subscriptions") == "past_due"
    assert one(connection, "SELECT count(*) FROM stripe.subscription_items") == 10


@pytest.mark.parametrize("deleted_cursor", ["goes_on", "missing"])
def test_items_are_read_again_where_the_one_they_went_on_from_was_removed(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    deleted_cursor: str,
) -> None:
    """Stripe was seen to refuse a cursor that is deleted (stripe/stripe-go, issue 1030)."""
    control = stripe_double.control
    control.switch(deleted_cursor=deleted_cursor)
    name = control.create_subscription(
        customer=control.create_customer(events=0), items=[{"price": "basic"}] * 130
    )
    truth = control.truth(name)
    assert truth is not None
    last_of_a_page = truth["items"]["data"][99]["id"]
    control.hook(
        lambda: control.remove_item(name, last_of_a_page),
        when="after_read",
        endpoint="subscription_items.list",
        count=1,
    )
    with mirror(database_url, stripe_double) as to:
        # What is removed while its page is read, the event of its removal tells.
        assert apply(to, control.event_body(control.events()[-1]["id"])).error is None
        apply_all(to, control, after=len(control.events()) - 1)
    assert one(connection, "SELECT count(*) FROM stripe.subscription_items") == 129


def test_event_that_is_done_is_never_done_again(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Of two that process one event at once, the slower must not say that it failed."""
    control = stripe_double.control
    control.create_customer()
    with mirror(database_url, stripe_double) as to:
        (receipt,) = apply_all(to, control)
    entry = Entry(
        event_id=receipt.event_id,
        type=receipt.event_type,
        object_id=receipt.object_id,
        created=1_790_000_000,
        api_version=None,
        source="webhook",
        outcome="failed",
        error="too late",
        payload=b"{}",
    )
    before = world(connection)
    with pytest.raises(psycopg.errors.UniqueViolation):
        ledger.enter(connection, entry)
    assert world(connection) == before


@pytest.mark.parametrize(
    "key, told", [("sk_test_other", "acct_1Other"), ("sk_live_double", "of live mode")]
)
def test_key_whose_account_or_mode_is_not_the_databases_stops_the_run(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    key: str,
    told: str,
) -> None:
    """Once a run has entered the account, it tells even in a database without rows."""
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    before = world(connection)
    with pytest.raises(WrongAccount, match=told):
        reconcile(database_url, stripe_double, key=key)
    assert world(connection) == before


def test_closed_pool_is_a_database_out_of_reach(database_url: str) -> None:
    """A worker that is being closed may still have an event in hand, which Stripe sends again."""
    database = Database(database_url)
    database.read(lambda connection: connection.execute("SELECT 1"))
    database.close()
    with pytest.raises(DatabaseUnavailable):
        database.read(lambda connection: connection.execute("SELECT 1"))
