"""Two runs at once, and runs that die with the lease in their hands."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.errors import LeaseHeld
from shared.objects.catalogue import MIRRORED
from shared.objects.subscription import SUBSCRIPTION
from tests.builders import reconcile, until, world
from tests.integration.witness import blocked, count, one

LONG_AGO = 1_780_000_000
EXPIRE = "UPDATE stripe.runs SET lease_expires_at = now() - interval '1 s' WHERE outcome IS NULL"


def drift(double: StripeDouble) -> str:
    """Something to repair: a subscription that the database lacks."""
    name = double.control.create_subscription(created=LONG_AGO)
    double.control.advance(3_600)
    return name


def test_second_run_is_refused_at_once_and_says_who_holds_the_lease(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 22: two runs at once repair twice."""
    drift(stripe_double)
    control = stripe_double.control
    with (
        ThreadPoolExecutor(1) as pool,
        control.hold("before_read", endpoint="customers.list", skip=1) as hold,
    ):
        first = pool.submit(reconcile, database_url, stripe_double)
        hold.wait_reached()
        kept = "SELECT count(*) FROM stripe.runs WHERE done ? 'subscription'"
        until(lambda: one(connection, kept) == 1, "its other windows are kept")
        before = world(connection)
        began = time.monotonic()
        with pytest.raises(LeaseHeld) as refused:
            reconcile(database_url, stripe_double)
        assert time.monotonic() - began < 2
        assert world(connection) == before
        running = one(connection, "SELECT id::text FROM stripe.runs WHERE outcome IS NULL")
        assert str(running) in str(refused.value)
        # A report takes no lease and is in nobody's way.
        assert reconcile(database_url, stripe_double, writes=False).run.mode == "report"
        hold.release()
        assert first.result(20).run.outcome is RunOutcome.SUCCESS


def test_of_many_runs_started_at_once_one_goes_on(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 22: the lease is taken by one statement, not by a look and a write."""
    drift(stripe_double)
    runs = 8
    barrier = threading.Barrier(runs)
    hold = stripe_double.control.hold("before_read", endpoint="customers.list")

    def start(_: int) -> str:
        barrier.wait(20)
        try:
            return reconcile(database_url, stripe_double).run.outcome
        except LeaseHeld:
            return "refused"

    with ThreadPoolExecutor(runs) as pool, hold:
        outcomes = [pool.submit(start, number) for number in range(runs)]
        until(lambda: sum(one.done() for one in outcomes) == runs - 1, "all but one are refused")
        hold.release()
        assert Counter(one.result(20) for one in outcomes) == {"success": 1, "refused": runs - 1}
    assert count(connection, "runs") == 1
    assert count(connection, "changes", "object = 'subscription'") == 1


def test_lease_of_a_killed_run_is_taken_over_when_it_expires(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 22: a killed run leaves its lock, and an operator has to come."""
    drift(stripe_double)
    connection.execute(
        """
        INSERT INTO stripe.runs (id, scope, holder, lease_expires_at, done, counts)
        VALUES (gen_random_uuid(), 'all', 'killed:1', now() + interval '60 s', '{}', '{}')
        """
    )
    with pytest.raises(LeaseHeld, match="killed:1"):
        reconcile(database_url, stripe_double)
    connection.execute(EXPIRE)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    outcomes = connection.execute("SELECT outcome FROM stripe.runs ORDER BY started_at").fetchall()
    assert outcomes == [("abandoned",), ("success",)]
    assert count(connection, "subscriptions") == 1


@pytest.mark.parametrize("rows", ["missing", "existing"])
def test_fenced_run_writes_nothing_after_its_lease_was_taken_over(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, rows: str
) -> None:
    """Trap 22: a run that was taken for dead wakes up and goes on writing."""
    control = stripe_double.control
    name = drift(stripe_double)
    if rows == "existing":
        reconcile(database_url, stripe_double)
        control.update_subscription(name, status="unpaid", events=0)
        control.advance(3_600)
    with (
        ThreadPoolExecutor(1) as pool,
        control.hold("after_read", endpoint="subscriptions.list") as hold,
    ):
        old = pool.submit(reconcile, database_url, stripe_double)
        hold.wait_reached()
        others = [f"done ? '{one.name}'" for one in MIRRORED if one is not SUBSCRIPTION]
        kept = " AND ".join(["outcome IS NULL", *others])
        until(lambda: count(connection, "runs", kept) == 1, "its other windows are kept")
        # It stands still for longer than its lease; the next one does all the work.
        connection.execute(EXPIRE)
        assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
        control.update_subscription(name, status="past_due", events=0)
        before = world(connection)
        assert len(before["changes"]) > 0
        hold.release()
        report = old.result(20)
    assert report.run.outcome is RunOutcome.FAILED
    assert "LeaseLost" in str(report.run.reason)
    assert world(connection) == before


def test_taking_over_waits_for_the_write_in_hand_of_the_old_run(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 22: the old run is in the middle of a write when its lease expires."""
    drift(stripe_double)
    with ThreadPoolExecutor(2) as pool, psycopg.connect(database_url) as holder:
        # The old run stops inside its transaction: its insert waits for this one.
        holder.execute("LOCK TABLE stripe.customers IN SHARE MODE")
        old = pool.submit(reconcile, database_url, stripe_double)
        until(lambda: blocked(connection) == 1, "the old run is inside its write")
        new = pool.submit(_expire_and_run, database_url, stripe_double)
        until(lambda: blocked(connection) == 2, "the takeover waits for the write in hand")
        holder.commit()
        outcomes = {str(old.result(20).run.outcome), new.result(20)}
    assert "success" in outcomes
    assert outcomes <= {"success", "failed", "refused"}
    # Whoever won, it is there once, with one change.
    assert count(connection, "subscriptions") == 1
    assert count(connection, "changes", "object = 'subscription'") == 1
    assert count(connection, "runs", "outcome IS NULL") == 0


def _expire_and_run(url: str, double: StripeDouble) -> str:
    """The statement that expires the lease waits for the fence like any takeover would."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(EXPIRE)
    try:
        return reconcile(url, double).run.outcome
    except LeaseHeld:
        return "refused"
