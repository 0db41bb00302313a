"""What a support engineer looks up, and what the product reads of its ledger, costs an index."""

import re
from pathlib import Path

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from tests.builders import apply, mirror, reconcile, run, until
from tests.integration.test_plans import from_end_to_end, touched

APPLICATION = Path(__file__).parents[2] / "docs" / "application.md"
GROWN = """
INSERT INTO stripe.runs (id, scope, holder, lease_expires_at, done, counts, outcome, finished_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'all', 'x', now(), '{}', '{}', 'success', now());
INSERT INTO stripe.events (id, type, object_id, created, source, outcome, payload)
SELECT 'evt_grown' || n, 'x', nullif('sub_' || n % 900, 'sub_0'), now() - interval '3 days',
    'webhook', 'applied', CASE WHEN n % 2 = 0 THEN 'x'::bytea END
FROM generate_series(1, 20000) AS n;
INSERT INTO stripe.customers (id, email, created, deleted, metadata, as_of, revision)
SELECT 'cus_grown' || n, nullif('User' || n || '@Example.com', 'User1@Example.com'),
    to_timestamp(n), false, '{}', '[2001-01-01,2001-01-02)', 1
FROM generate_series(1, 20000) AS n;
INSERT INTO stripe.changes (object, object_id, revision, event_id, run_id, fields)
SELECT 'customer', 'cus_grown' || n, 1, CASE WHEN n % 20 > 0 THEN 'evt_grown' || n END,
    CASE WHEN n % 20 = 0 THEN '00000000-0000-0000-0000-000000000001'::uuid END, '{}'
FROM generate_series(1, 20000) AS n;
INSERT INTO stripe.drifts (
    run_id, object, object_id, kind, consequence, fields, monthly_amount, ends_access, action,
    found_at
)
SELECT '00000000-0000-0000-0000-000000000001', 'customer', 'cus_grown' || n, 'differs', 'cosmetic',
    '{}', '{}', false, 'repaired', now()
FROM generate_series(1, 20000) AS n;
"""
LOOKUPS = {
    "events": "SELECT * FROM stripe.events WHERE object_id = 'sub_1'",
    "events of several": "SELECT * FROM stripe.events WHERE object_id = ANY('{sub_1,sub_2}')",
    "events in order": "SELECT * FROM stripe.events WHERE object_id = 'sub_1' ORDER BY created",
    "drifts": "SELECT * FROM stripe.drifts WHERE object_id = 'cus_grown7'",
    "changes": "SELECT * FROM stripe.changes WHERE run_id = '11111111-0000-0000-0000-000000000001'",
    "customers": "SELECT * FROM stripe.customers WHERE lower(email) = 'user7@example.com'",
    "customers as typed": "SELECT * FROM stripe.customers WHERE lower(email) = lower('U7@E.com')",
}


def documented_lookups() -> list[str]:
    """The statements that docs/application.md gives to whoever answers a customer."""
    (part,) = re.findall(
        r"## Look-ups\n.*?```sql\n(.*?)```", APPLICATION.read_text("utf-8"), re.DOTALL
    )
    return [one.strip() for one in part.split(";") if one.strip()]


def grown(connection: psycopg.Connection, *, analysed: bool) -> None:
    connection.execute(GROWN.encode())
    if analysed:
        connection.execute("VACUUM ANALYZE")


def plan(connection: psycopg.Connection, text: str) -> list[str]:
    row = connection.execute(f"EXPLAIN (FORMAT JSON) {text}".encode()).fetchone()
    assert row is not None
    return [
        # The nodes of a bitmap's own are what its condition has led to.
        scan
        for scan in from_end_to_end(row[0][0]["Plan"])
        if "Bitmap" not in scan
    ]


@pytest.mark.parametrize("analysed", [True, False])
def test_lookup_of_an_object_a_run_or_an_address_reads_no_table_from_end_to_end(
    connection: psycopg.Connection, *, analysed: bool
) -> None:
    """In a session as anybody has it: without the product's own settings."""
    grown(connection, analysed=analysed)
    those = {**LOOKUPS, **{text: text for text in documented_lookups()}}
    assert len(those) >= len(LOOKUPS) + 4
    assert {name: plan(connection, text) for name, text in those.items()} == {
        name: [] for name in those
    }
    for text in those.values():
        connection.execute(text.encode())


def test_address_of_any_length_is_taken(connection: psycopg.Connection) -> None:
    """An entry of an ordinary index could not be as long: the event would fail."""
    connection.execute(
        """
        INSERT INTO stripe.customers (id, email, deleted, metadata, as_of, revision)
        SELECT 'cus_long', string_agg(md5(n::text), ''), false, '{}', '[2001-01-01,2001-01-02)', 1
        FROM generate_series(1, 1000) AS n
        """
    )


def test_nothing_that_the_product_does_reads_its_ledger_from_end_to_end(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    """Runs, reports, replays and events: the server counts the scans."""
    control = stripe_double.control
    control.advance(86_400 * 3)
    control.seed(30)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.advance(3_600)
    connection.execute(GROWN.encode())
    # As Stripe leaves them, for it knows none of these.
    connection.execute(
        "UPDATE stripe.customers SET deleted = true, email = NULL WHERE id LIKE 'cus_grown%'"
    )
    connection.execute("VACUUM ANALYZE")
    connection.execute("SELECT pg_stat_reset()")
    with mirror(database_url, stripe_double) as to:
        for name in control.ids("subscription")[:5]:
            event = control.emit("customer.subscription.updated", name)
            apply(to, control.event_body(event))
    control.advance(3_600)
    connection.execute("UPDATE stripe.subscription_items SET quantity = 77")
    for writes in (False, True):
        report = reconcile(database_url, stripe_double, writes=writes)
        assert len(list(report.drift())) == 30
    one = control.ids("subscription")[0]
    with run(database_url, stripe_double, subscription=one) as alone:
        alone.execute().close()
    until(lambda: touched(connection)["events"][2] > 0, "the server counts what was done")
    found = touched(connection)
    for table in ("events", "changes", "drifts", "customers"):
        scans, read, by_index, _ = found[table]
        assert (table, scans, read) == (table, 0, 0)
        assert table == "customers" or by_index < 20_000, (table, by_index)
