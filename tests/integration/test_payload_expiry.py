"""The ledger's payloads expire; its rows, their outcomes and what failed do not."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from reconcile.connections import RetryingDatabase
from reconcile.deadline import Deadline
from reconcile.deliveries import expiry, replay
from reconcile.deliveries.expiry import expire
from sandbox.stripe_double import StripeDouble
from shared.database.pool import Database
from shared.mirror import Outcome
from shared.repository.__main__ import statements
from tests.builders import apply, event, mirror, reconcile
from tests.integration.witness import count, one

HAVING = "payload IS NOT NULL"


@pytest.fixture
def database(database_url: str) -> Iterator[RetryingDatabase]:
    made = Database(database_url)
    yield RetryingDatabase(made, Deadline(threading.Event(), None))
    made.close()


def fill(connection: psycopg.Connection, rows: int, days: float, outcome: str = "applied") -> None:
    """Ledger rows that were received so many days ago."""
    connection.execute(
        """
        INSERT INTO stripe.events (id, type, created, source, outcome, payload, received_at)
        SELECT format('evt_%%s_%%s_%%s', %(outcome)s::text, %(days)s::text, n), 'customer.updated',
            now(), 'webhook', %(outcome)s, '{}', now() - make_interval(secs => %(days)s * 86400)
        FROM generate_series(1, %(rows)s) AS n
        """,
        {"rows": rows, "days": days, "outcome": outcome},
    )


def test_payloads_past_their_days_are_dropped_and_the_rows_stay(
    database: RetryingDatabase, connection: psycopg.Connection
) -> None:
    for outcome in ("applied", "stale", "unchanged"):
        fill(connection, 10, 90.01, outcome)
        fill(connection, 10, 89.99, outcome)
    before = connection.execute("SELECT id, outcome, attempts FROM stripe.events ORDER BY id")
    rows = before.fetchall()
    assert sum(expire(database, 90)) == 30
    assert (
        count(connection, "events", f"{HAVING} AND received_at < now() - '90 days'::interval") == 0
    )
    assert count(connection, "events", HAVING) == 30
    after = connection.execute("SELECT id, outcome, attempts FROM stripe.events ORDER BY id")
    assert after.fetchall() == rows
    assert sum(expire(database, 90)) == 0


def test_failed_event_keeps_its_payload_until_it_is_done(
    database: RetryingDatabase,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    fill(connection, 3, 400, "failed")
    assert sum(expire(database, 1)) == 0
    assert count(connection, "events", HAVING) == 3
    body = event("customer.updated", {"id": "cus_1"}, id="evt_failed_400_1")
    connection.execute("UPDATE stripe.events SET payload = %s", [body])
    stripe_double.control.create_customer(id="cus_1", events=0)
    with mirror(database_url, stripe_double, source="reconcile") as heart:
        receipts = replay.replay(database, heart, threading.Event(), "evt_failed_400_1")
    assert [receipt.outcome for receipt in receipts] == [Outcome.APPLIED]
    assert sum(expire(database, 1)) == 1


def test_expiry_goes_in_small_batches_each_a_transaction_of_its_own(
    database: RetryingDatabase, connection: psycopg.Connection
) -> None:
    fill(connection, 2 * expiry._BATCH + 500, 100)
    before = one(connection, "SELECT txid_current()")
    assert sum(expire(database, 90)) == 2 * expiry._BATCH + 500
    assert one(connection, "SELECT txid_current()") - before >= 3
    sizes = connection.execute("SELECT count(*) FROM stripe.events GROUP BY xmin::text").fetchall()
    assert sorted(size for (size,) in sizes) == [500, expiry._BATCH, expiry._BATCH]


def test_expiry_that_is_stopped_half_way_keeps_what_it_did(
    database: RetryingDatabase, connection: psycopg.Connection
) -> None:
    fill(connection, 2 * expiry._BATCH, 100)
    with closing(expire(database, 90)) as batches:
        assert next(batches) == expiry._BATCH
    assert count(connection, "events", HAVING) == expiry._BATCH


def test_nightly_run_drops_them_and_a_report_does_not(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    fill(connection, 5, 100)
    reconcile(database_url, stripe_double, writes=False)
    assert count(connection, "events", HAVING) == 5
    reconcile(database_url, stripe_double)
    assert count(connection, "events", HAVING) == 0
    assert count(connection, "events") == 5


def test_event_whose_payload_is_gone_is_still_a_duplicate(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    body = event("customer.updated", {"id": "cus_1"})
    with mirror(database_url, stripe_double) as heart:
        apply(heart, body)
        connection.execute("UPDATE stripe.events SET payload = NULL")
        assert apply(heart, body).outcome is Outcome.DUPLICATE
    assert count(connection, "events", HAVING) == 0


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def test_expiry_reads_its_index_and_not_the_table(
    connection: psycopg.Connection,
) -> None:
    """The statement itself, as the server plans it: auto_explain is not needed for that."""
    fill(connection, 60_000, 10)
    fill(connection, 200, 100)
    connection.execute("ANALYZE stripe.events")
    text = statements()["ledger.drop_payloads"].text
    given = {"days": 90, "most": 1000}
    ((plan,),) = connection.execute(f"EXPLAIN (FORMAT JSON) {text}".encode(), given).fetchall()
    found = list(nodes(plan[0]["Plan"]))
    assert "events_payload_idx" in {node.get("Index Name") for node in found}, json.dumps(plan)
    assert [node for node in found if node["Node Type"] == "Seq Scan"] == []
