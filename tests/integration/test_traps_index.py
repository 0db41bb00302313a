"""A known way to become slow as the tables grow: a query or a foreign key without its index."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble
from shared.objects.customer import CUSTOMER
from shared.objects.subscription import SUBSCRIPTION
from shared.repository import ledger
from shared.repository.apply_event import look
from shared.repository.rows import newest_ids, read_held, recorded_created
from shared.repository.window import read_window
from tests.builders import apply_all, mirror, until


def test_every_foreign_key_has_an_index(connection: psycopg.Connection) -> None:
    """Trap 14: without one on subscription_items(subscription_id), a third of the speed."""
    without = connection.execute(
        """
        SELECT k.conrelid::regclass::text, k.conname
        FROM pg_constraint AS k
        WHERE k.contype = 'f' AND k.connamespace = 'stripe'::regnamespace
            AND NOT EXISTS (
                SELECT 1 FROM pg_index AS x
                WHERE x.indrelid = k.conrelid AND x.indkey[0] = k.conkey[1] AND x.indpred IS NULL
            )
        """
    ).fetchall()
    assert without == []


@pytest.fixture
def full(connection: psycopg.Connection) -> psycopg.Connection:
    """Tables in which reading all of it is the dearer way."""
    connection.execute(
        """
        INSERT INTO stripe.subscriptions (
            id, customer_id, status, currency, collection_method, cancel_at_period_end, created,
            start_date, discounts, livemode, metadata, as_of, revision
        )
        SELECT 'sub_' || n, 'cus_' || n % 1000, 'active', 'eur', 'charge_automatically', false,
            to_timestamp(1700000000 + n), to_timestamp(1700000000 + n), '[]', false, '{}',
            tstzrange(to_timestamp(1700000000), to_timestamp(1700000001)), 1
        FROM generate_series(1, 6000) AS n;
        INSERT INTO stripe.subscription_items (id, subscription_id, price_id, currency, metadata)
        SELECT 'si_' || n, 'sub_' || n % 6000 + 1, 'price_1', 'eur', '{}'
        FROM generate_series(1, 12000) AS n;
        INSERT INTO stripe.customers (id, created, deleted, metadata, as_of, revision)
        SELECT 'cus_' || n, to_timestamp(1700000000 + n), false, '{}',
            tstzrange(to_timestamp(1700000000), to_timestamp(1700000001)), 1
        FROM generate_series(1, 6000) AS n;
        INSERT INTO stripe.events (id, type, created, source, outcome)
        SELECT 'evt_' || n, 'customer.created', now(), 'webhook',
            CASE WHEN n % 1000 = 0 THEN 'failed' ELSE 'applied' END
        FROM generate_series(1, 6000) AS n;
        INSERT INTO stripe.changes (object, object_id, revision, event_id, fields)
        SELECT 'subscription', 'sub_' || n, 1, 'evt_' || n, '{"created": [null, 1700000000]}'
        FROM generate_series(1, 6000) AS n;
        ANALYZE stripe.subscriptions, stripe.subscription_items, stripe.customers, stripe.events,
            stripe.changes;
        """
    )
    return connection


def scans(connection: psycopg.Connection) -> dict[str, int]:
    """How often each of the large tables was read from end to end so far."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    found = connection.execute(
        """
        SELECT relname, seq_scan FROM pg_stat_user_tables
        WHERE relname IN
            ('subscriptions', 'subscription_items', 'customers', 'events', 'changes')
        """
    ).fetchall()
    assert len(found) == 5
    return dict(found)


def lookups(connection: psycopg.Connection, index: str) -> int:
    found = connection.execute(
        "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s", (index,)
    ).fetchone()
    assert found is not None
    return int(found[0])


Read = Callable[[psycopg.Connection, Any], object]
READS: dict[str, Read] = {
    "held": lambda c, m: look(c, m, "sub_1", "evt_1"),
    "window": lambda c, m: read_window(c, m, 1_700_000_100, 1_700_000_200),
    "many": lambda c, m: read_held(c, m, ["sub_1", "cus_2"]),
    "recorded": lambda c, m: recorded_created(c, m, ["sub_1", "cus_2"]),
    "newest": lambda c, m: newest_ids(c, m, 3),
    "failed": lambda c, _: ledger.failed(c, 10),
    "find": lambda c, _: ledger.find(c, "evt_1"),
    "known": lambda c, _: ledger.known(c, ["evt_1", "evt_2"]),
    "replayable": lambda c, _: ledger.replayable(c, most_attempts=10, event_id=None),
    "drop_payloads": lambda c, _: ledger.drop_payloads(c, days=1, most=10),
}


@pytest.mark.parametrize("mirrored", [SUBSCRIPTION, CUSTOMER], ids=lambda made: made.name)
def test_no_read_scans_a_table(full: psycopg.Connection, mirrored: Any) -> None:
    """Trap 14: whatever is read, one row or a window, is found by an index."""
    before = scans(full)
    for name, read in READS.items():
        read(full, mirrored)
        assert scans(full) == before, name


def test_no_event_scans_a_table(
    full: psycopg.Connection, database_url: str, stripe_double: StripeDouble
) -> None:
    """Trap 14: webhooks fall from 494/s to 161/s at 100,000 items."""
    control = stripe_double.control
    name = control.create_subscription()
    control.advance(60)
    added = control.add_item(name)
    control.advance(60)
    control.remove_item(name, added)
    before = scans(full), lookups(full, "subscription_items_subscription_id_idx")
    with mirror(database_url, stripe_double) as heart:
        receipts = apply_all(heart, control)
    assert [receipt.outcome for receipt in receipts] == ["applied"] * 4
    # A backend tells its statistics when it ends, at the latest.
    index = "subscription_items_subscription_id_idx"
    until(lambda: lookups(full, index) >= before[1] + 4, "the index was used by each event")
    assert scans(full) == before[0]
