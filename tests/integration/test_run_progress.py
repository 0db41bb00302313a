"""A second terminal asks the database how far a run is."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sandbox.stripe_double import StripeDouble
from shared.repository import runs
from shared.repository.progress import Counts, Progress
from shared.repository.runs import EVERYTHING, Started
from tests.builders import reconcile, until
from tests.integration.witness import count, one

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def asked(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """What the query in docs/operations.md answers."""
    (query,) = re.findall(
        r"```sql\n(SELECT [^`]* FROM stripe\.progress;)\n```", OPERATIONS.read_text("utf-8")
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode()).fetchall()


def started(connection: psycopg.Connection) -> Started:
    return runs.start(
        connection, run_id=str(uuid.uuid4()), scope=EVERYTHING, holder="test:1", lease_seconds=60
    )


def test_documented_query_says_how_far_a_run_is_while_it_runs(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    control.seed(30)
    control.create_product(created=1)
    control.create_price(product="pro", created=1)
    assert asked(connection) == []
    reconcile(database_url, stripe_double, writes=False)
    lists = [line for line in control.requests() if line.endpoint == "subscriptions.list"]
    page = next(n for n, line in enumerate(lists) if dict(line.query)["limit"] == "100")
    for first in (True, False):
        with (
            ThreadPoolExecutor(1) as pool,
            control.hold("after_read", endpoint="subscriptions.list", skip=page) as hold,
        ):
            running = pool.submit(reconcile, database_url, stripe_double)
            hold.wait_reached()
            until(
                lambda: bool(asked(connection)) and asked(connection)[0]["compared"] == 32,
                "all but the subscriptions are done",
            )
            (row,) = asked(connection)
            hold.release()
            report = running.result(20)
        assert report.run.outcome == "success"
        assert (row["phase"], row["is_alive"]) == ("comparing", True)
        assert row["drift"] == (32 if first else 0)
        assert row["planned"] == (None if first else 62), "who begins cannot know"
        assert (row["time_left"] is None) == first
        assert row["per_second"] > 0
        assert asked(connection) == []
    assert one(connection, "SELECT phase FROM stripe.runs LIMIT 1") == "repairs"
    assert count(connection, "runs", "stripe_requests > 0") == 2


def test_run_that_goes_on_from_another_counts_on_at_its_own_pace(
    connection: psycopg.Connection,
) -> None:
    first = started(connection)
    assert asked(connection)[0]["phase"] is None
    told = Progress(
        done={"customer": [(0, 10)]},
        counts={"customer": Counts(database=100, stripe=101), "subscription": Counts(stripe=9)},
        planned={"customer": 400, "subscription": 0},
        drift=3,
        stripe_requests=7,
        phase="comparing",
    )
    runs.advance(connection, first.id, told, 1, lease_seconds=60)
    runs.finish(connection, first.id, runs.Ending("incomplete"))
    second = started(connection)
    assert second.resumes == first.id
    assert (second.progress.planned, second.progress.drift) == (told.planned, 3)
    assert second.progress.stripe_requests == 0, "those are each run's own"
    connection.execute(
        "UPDATE stripe.runs SET started_at = now() - interval '10 s' WHERE outcome IS NULL"
    )
    second.progress.phase = "comparing"
    runs.advance(connection, second.id, second.progress, 1, lease_seconds=60)
    (row,) = asked(connection)
    assert (row["compared"], row["planned"], row["per_second"], row["drift"]) == (100, 400, 0, 3)
    assert row["time_left"] is None
    second.progress.counts["customer"].database = 200
    runs.advance(connection, second.id, second.progress, 1, lease_seconds=60)
    (row,) = asked(connection)
    assert (row["compared"], row["per_second"]) == (200, 10)
    assert timedelta(seconds=19) < row["time_left"] < timedelta(seconds=25)
    second.progress.phase = "second look"
    runs.advance(connection, second.id, second.progress, 1, lease_seconds=-1)
    (row,) = asked(connection)
    assert (row["phase"], row["time_left"], row["is_alive"]) == ("second look", None, False)
