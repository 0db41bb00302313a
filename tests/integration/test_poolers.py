"""Behind a pooler in transaction mode, where nothing of a session lasts: all of it works."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.database.migrations import migrate
from shared.database.pool import Database
from tests.builders import apply, mirror, reconcile
from tests.integration.pooling import Pooler, pooler
from tests.integration.test_lost_connections import came_of, copy, drift
from tests.integration.witness import count


def prepared(pool: Pooler) -> list[str]:
    """What is left prepared on the server's connections."""
    with psycopg.connect(pool.url(), autocommit=True, prepare_threshold=None) as connection:
        found = set()
        for _ in range(8):
            query = "SELECT name FROM pg_prepared_statements"
            found |= {row[0] for row in connection.execute(query).fetchall()}
    return sorted(found)


@pytest.mark.parametrize("refuses_options", [False, True], ids=["", "options refused"])
def test_events_under_load_are_all_applied(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    refuses_options: bool,
) -> None:
    """Each thread's statements go to another connection of the server's every time."""
    control = stripe_double.control
    names = [control.create_subscription() for _ in range(20)]
    for number in range(3):
        control.advance(5)
        for name in names:
            control.update_subscription(name, metadata={"n": str(number)})
    bodies = [control.event_body(event["id"]) for event in control.events()]
    with (
        pooler(database_url, refuses_options=refuses_options) as pool,
        mirror(pool.url(), stripe_double) as heart,
        ThreadPoolExecutor(4) as threads,
    ):
        receipts = list(threads.map(lambda body: apply(heart, body), bodies))
        assert prepared(pool) == []
        assert pool.transactions >= len(bodies)
    assert {receipt.outcome for receipt in receipts} <= {"applied", "stale", "unchanged"}
    assert count(connection, "events", "outcome <> 'failed'") == len(bodies)
    assert count(connection, "subscriptions", "metadata->>'n' = '2'") == len(names)


@pytest.mark.parametrize("refuses_options", [False, True], ids=["", "options refused"])
def test_run_and_report_do_and_say_the_same_as_without_it(
    database_url: str, stripe_double: StripeDouble, refuses_options: bool
) -> None:
    drift(database_url, stripe_double)
    with copy(database_url) as url:
        seen = reconcile(url, stripe_double, writes=False)
        expected = came_of(url, reconcile(url, stripe_double))
    with copy(database_url) as url, pooler(url, refuses_options=refuses_options) as pool:
        report = reconcile(pool.url(), stripe_double, writes=False)
        assert report.counts == seen.counts
        assert came_of(url, reconcile(pool.url(), stripe_double)) == expected
        for _ in range(3):
            assert reconcile(pool.url(), stripe_double).run.outcome is RunOutcome.SUCCESS
        assert prepared(pool) == []


def test_second_run_is_refused_and_the_lease_is_kept_behind_it(
    database_url: str, stripe_double: StripeDouble
) -> None:
    stripe_double.control.seed(10)
    with (
        pooler(database_url, size=2) as pool,
        ThreadPoolExecutor(1) as threads,
        stripe_double.control.hold(endpoint="customers.list") as hold,
    ):
        first = threads.submit(reconcile, pool.url(), stripe_double)
        hold.wait_reached()
        with pytest.raises(Exception, match="holds the lease"):
            reconcile(pool.url(), stripe_double)
        hold.release()
        assert first.result(20).run.outcome is RunOutcome.SUCCESS


def test_migrations_are_applied_once_through_it(empty_database_url: str) -> None:
    with pooler(empty_database_url) as pool:
        assert len(migrate(pool.url())) > 5
        assert [migrate(pool.url()) for _ in range(3)] == [(), (), ()]
        assert prepared(pool) == []


def test_own_options_that_a_pooler_refuses_are_named_with_the_cure(database_url: str) -> None:
    """What a person asked for is not left out without a word."""
    with pooler(database_url, refuses_options=True) as pool:
        database = Database(f"{pool.url()}?options=-csearch_path%3Dpublic")
        with pytest.raises(Exception, match="ignore_startup_parameters"):
            database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        database.close()


def test_direct_connection_goes_on_preparing(database_url: str) -> None:
    """To plan each time would cost more than all else of an event."""
    database = Database(database_url, max_connections=1)
    with database.connection() as connection:
        for _ in range(10):
            connection.execute("SELECT 1")
        query = "SELECT count(*) FROM pg_prepared_statements"
        assert connection.execute(query).fetchone() == (1,)
    database.close()
