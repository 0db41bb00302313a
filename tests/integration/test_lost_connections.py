"""A run whose connections break, wherever it is: it goes on, and nothing is done twice or left."""

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from reconcile.connections import RetryingDatabase
from reconcile.deadline import Deadline
from reconcile.report.model import Report, RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.database.pool import Database
from shared.errors import DatabaseUnavailable, Interrupted
from tests.builders import apply_all, mirror, reconcile, run, until
from tests.integration.network import Fate, Network, network
from tests.integration.witness import count, one

HOUR = 3_600
_numbers = itertools.count(1)


def drift(url: str, double: StripeDouble) -> None:
    """Something for every stage of a run: what it inserts, repairs, marks, enters, replays."""
    control = double.control
    names = [control.create_subscription() for _ in range(12)]
    with mirror(url, double) as heart:
        apply_all(heart, control)
    known = len(control.events())
    for name in names[:3]:
        control.update_subscription(name, status="unpaid", events=0)
    for name in names[3:6]:
        control.update_subscription(name, metadata={"never": "arrived"})
    for _ in range(3):
        control.create_subscription(events=0)
    control.update_subscription(names[6], metadata={"has": "failed"})
    failed = control.events()[-1]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO stripe.events (id, type, object_id, created, source, outcome, payload)
            VALUES (%s, %s, %s, to_timestamp(%s), 'webhook', 'failed', %s)
            """,
            (
                failed["id"],
                failed["type"],
                names[6],
                failed["created"],
                control.event_body(failed["id"]),
            ),
        )
        connection.execute(
            """
            INSERT INTO stripe.customers
            SELECT (jsonb_populate_record(o, '{"id": "cus_gone"}')).*
            FROM stripe.customers AS o LIMIT 1
            """
        )
        connection.execute(
            """
            INSERT INTO stripe.subscriptions
            SELECT (jsonb_populate_record(o, '{"id": "sub_gone"}')).*
            FROM stripe.subscriptions AS o LIMIT 1
            """
        )
        connection.execute(
            "UPDATE stripe.events SET received_at = now() - interval '100 days'"
            " WHERE outcome <> 'failed'"
        )
    assert known
    control.advance(2 * HOUR)


@contextmanager
def copy(url: str) -> Iterator[str]:
    """A copy of a database to which nobody is connected."""
    given = conninfo_to_dict(url)
    name = f"{given['dbname']}_copy_{next(_numbers)}"
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {given['dbname']}".encode())
        try:
            yield make_conninfo(url, dbname=name)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def came_of(url: str, report: Report) -> dict[str, Any]:
    """All that a run did, without its id and its times."""
    queries = {
        "subscriptions": """
            SELECT id, status, metadata, revision, missing_in_stripe_since IS NULL
            FROM stripe.subscriptions ORDER BY id""",
        "customers": """
            SELECT id, revision, missing_in_stripe_since IS NULL FROM stripe.customers
            ORDER BY id""",
        "items": "SELECT id, quantity FROM stripe.subscription_items ORDER BY id",
        "events": """
            SELECT id, outcome, source, attempts, error, payload IS NULL FROM stripe.events
            ORDER BY id""",
        "changes": """
            SELECT object, object_id, revision, fields - 'missing_in_stripe_since'
            FROM stripe.changes ORDER BY object, object_id, revision""",
        "drifts": """
            SELECT object, object_id, kind, consequence, action, spooled IS NULL,
                fields - 'missing_in_stripe_since'
            FROM stripe.drifts ORDER BY object, object_id""",
        "runs": "SELECT scope, outcome, done, counts, drift, events_until FROM stripe.runs",
        "fingerprints": "SELECT count(*) FROM stripe.fingerprints",
    }
    with psycopg.connect(url) as connection:
        found: dict[str, Any] = {
            name: connection.execute(query.encode()).fetchall() for name, query in queries.items()
        }
    found["report"] = (
        report.run.outcome,
        report.run.reason,
        report.counts,
        sorted((row.object_id, row.action) for row in report.drift()),
        report.events,
    )
    return found


@pytest.mark.long
def test_run_does_everything_once_whichever_of_its_commits_is_lost_or_not_answered(
    database_url: str, stripe_double: StripeDouble, subtests: pytest.Subtests
) -> None:
    """The answer to a commit may be lost though it was made: nobody is told by the connection."""
    drift(database_url, stripe_double)
    with copy(database_url) as url, network(url) as way:
        expected = came_of(url, reconcile(way.url(), stripe_double, lease_seconds=600))
        commits = way.commits
    assert expected["report"][0] is RunOutcome.SUCCESS
    assert {row[4] for row in expected["drifts"]} == {"repaired"}
    assert {row[1] for row in expected["events"]} >= {"applied", "stale"}
    assert commits > 10
    fates: tuple[Fate, ...] = ("lost", "unanswered")
    for number, fate in itertools.product(range(1, commits + 1), fates):
        with (
            subtests.test(f"commit {number} {fate}"),
            copy(database_url) as url,
            network(url) as way,
        ):
            way.doom_commit(number, fate)
            report = reconcile(way.url(), stripe_double, lease_seconds=600)
            assert came_of(url, report) == expected


@pytest.mark.long
def test_run_does_everything_once_wherever_its_connections_are_cut(
    database_url: str, stripe_double: StripeDouble, subtests: pytest.Subtests
) -> None:
    drift(database_url, stripe_double)
    with copy(database_url) as url, network(url) as way:
        expected = came_of(url, reconcile(way.url(), stripe_double, lease_seconds=600))
        messages = way.messages
    # Some of both kinds, all over the run; every message would take minutes.
    for number in range(1, messages, max(1, messages // 24)):
        fate: Fate = "lost" if number % 2 else "unanswered"
        with (
            subtests.test(f"message {number} {fate}"),
            copy(database_url) as url,
            network(url) as way,
        ):
            way.doom_message(number, fate)
            report = reconcile(way.url(), stripe_double, lease_seconds=600)
            assert came_of(url, report) == expected


def away_for_a_while(way: Network, seconds: float) -> None:
    way.refuse()
    threading.Event().wait(seconds)
    way.listen()


@pytest.mark.parametrize("writes", [True, False], ids=["run", "report"])
@pytest.mark.parametrize("how", ["slow", "refused", "silent"])
def test_run_waits_for_a_database_that_takes_seconds_to_be_there(
    database_url: str, stripe_double: StripeDouble, how: str, writes: bool
) -> None:
    """A database that scales to zero, a restart, a server that hangs for a moment."""
    stripe_double.control.seed(5)
    with network(database_url) as way, ThreadPoolExecutor(1) as pool:
        if how == "slow":
            way.delay(4.0)
        elif how == "refused":
            pool.submit(away_for_a_while, way, 3.0)
            until(lambda: not accepts(way), "it is away")
        else:
            way.fall_silent()
            threading.Timer(3.0, way.wake).start()
        report = reconcile(way.url(), stripe_double, writes=writes)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert {row.kind for row in report.drift()} == {"missing_in_database"}


def accepts(way: Network) -> bool:
    try:
        psycopg.connect(way.url(), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize(
    "endpoint",
    [
        "subscriptions.list",
        pytest.param("customers.list", marks=pytest.mark.long),
        pytest.param("events.list", marks=pytest.mark.long),
    ],
)
def test_server_that_restarts_under_a_run_costs_time_and_nothing_else(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    endpoint: str,
) -> None:
    caplog.set_level(logging.INFO)
    drift(database_url, stripe_double)
    with (
        network(database_url) as way,
        ThreadPoolExecutor(1) as pool,
        stripe_double.control.hold(endpoint=endpoint) as hold,
    ):
        running = pool.submit(reconcile, way.url(), stripe_double)
        hold.wait_reached()
        way.refuse()
        hold.release()
        until(lambda: "database.waiting" in caplog.text, "it waits")
        way.listen()
        assert running.result(30).run.outcome is RunOutcome.SUCCESS
    told = [one.getMessage() for one in caplog.records]
    assert (told.count("database.waiting"), told.count("database.back")) == (1, 1)
    assert count(connection, "runs", "outcome = 'success'") == 1
    assert one(connection, "SELECT array_agg(DISTINCT action) FROM stripe.drifts") == ["repaired"]


def test_run_that_ends_while_its_database_is_away_gives_the_lease_back(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Else the next try would be shut out until the lease expires."""
    stripe_double.control.seed(50)
    stop = threading.Event()
    with (
        network(database_url) as way,
        ThreadPoolExecutor(1) as pool,
        stripe_double.control.hold(endpoint="subscriptions.list") as hold,
    ):
        running = pool.submit(reconcile, way.url(), stripe_double, stop=stop, lease_seconds=600)
        hold.wait_reached()
        way.refuse()
        stop.set()
        hold.release()
        threading.Event().wait(2.0)
        assert count(connection, "runs", "outcome IS NULL") == 1
        way.listen()
        assert running.result(20).run.outcome is RunOutcome.INCOMPLETE
    assert count(connection, "runs", "outcome = 'incomplete'") == 1
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS


@pytest.mark.parametrize("how", ["deadline", "SIGTERM"])
def test_run_whose_database_stays_away_ends_when_its_time_is_over_and_says_why(
    database_url: str, stripe_double: StripeDouble, how: str
) -> None:
    stop = threading.Event()
    with network(database_url) as way:
        way.refuse()
        deadline = time.monotonic() + 3.0 if how == "deadline" else None
        if how == "SIGTERM":
            threading.Timer(1.0, stop.set).start()
        began = time.monotonic()
        with (
            run(way.url(), stripe_double, deadline=deadline, stop=stop) as waiting,
            pytest.raises((Interrupted, DatabaseUnavailable)) as ended,
        ):
            waiting.execute()
    assert time.monotonic() - began < 15
    assert "database" in str(ended.value)
    assert "nothing listens at" in str(ended.value)
    assert stripe_double.control.requests() == []


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"dbname": "no_such_database"}, "no database of that name"),
        ({"user": "nobody_of_that_name"}, "no such user"),
        (
            {"host": "localhost", "port": "1", "sslmode": "bogus"},
            "for a reason that is not known here",
        ),
    ],
    ids=["database", "user", "setting"],
)
def test_what_no_waiting_can_put_right_ends_the_run_at_once(
    database_url: str, stripe_double: StripeDouble, wrong: dict[str, str], words: str
) -> None:
    url = make_conninfo(database_url, **wrong)
    began = time.monotonic()
    with (
        run(url, stripe_double) as doomed,
        pytest.raises(DatabaseUnavailable, match=words),
    ):
        doomed.execute()
    assert time.monotonic() - began < 10


def test_connections_that_are_ended_again_and_again_cost_time_and_not_the_run(
    database_url: str,
) -> None:
    """Each pause before a try is long enough for what lies in the pool to be ended."""
    over = threading.Event()
    with network(database_url) as way, ThreadPoolExecutor(1) as pool:

        def cut() -> None:
            while not over.wait(0.03):
                way.cut()

        cutting = pool.submit(cut)
        database = Database(way.url())
        work = RetryingDatabase(database, Deadline(threading.Event(), time.monotonic() + 60))
        try:
            for number in range(30):
                asked = work.read(lambda c, n=number: c.execute("SELECT %s", (n,)).fetchone())  # type: ignore[misc]
                assert asked == (number,)
        finally:
            over.set()
            database.close()
        cutting.result()
