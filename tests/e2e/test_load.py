"""The product under load, by real processes, is right: each row, and one ledger row an event."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from sandbox import product
from sandbox.mirrored import differences
from sandbox.product import Webhook
from sandbox.stripe_double import Control, DeliveryPlan, StripeDouble
from tests.e2e.conftest import SECRET

MUCH = pytest.mark.long


def live(control: Control, subscriptions: int, events: int) -> list[str]:
    """So many subscriptions lead so eventful a life, often several times in one second.

    Returns the events. What is sold was there before, and events are all that a webhook knows.
    """
    control.switch(shop="open")
    for product_name in control.products:
        control.update_product(product_name, metadata={"told": "by an event"})
    for price in control.prices:
        control.update_price(price, metadata={"told": "by an event"})
    for _ in range(subscriptions):
        control.create_subscription(status="incomplete")
    for seed in range(events):
        if len(control.outbox()) >= events:
            break
        control.churn(10, seed=seed, seconds=0.5, create=0.0)
    return control.outbox()


@pytest.mark.parametrize("subscriptions, events", [(40, 300), pytest.param(200, 1_000, marks=MUCH)])
def test_hostile_delivery_ends_in_the_truth_and_one_ledger_row_an_event(
    environ: dict[str, str],
    tmp_path: Path,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    subscriptions: int,
    events: int,
) -> None:
    """Traps 1, 2 and 12: two events in one second, refetch races, copies of one event at once."""
    control = stripe_double.control
    names = live(control, subscriptions, events)
    plan = DeliveryPlan(copies=(1, 3), order="shuffled", senders=16)
    with Webhook({**environ, "WEB_CONCURRENCY": "2"}, tmp_path / "webhook.log") as webhook:
        sent = control.send(names, webhook.url, [SECRET], plan)
    assert Counter(reply.status for one in sent for reply in one.answers).keys() == {200}
    assert differences(connection, control) == []
    entered = connection.execute("SELECT id FROM stripe.events").fetchall()
    assert sorted(row[0] for row in entered) == sorted(names)
    asked = control.request_counts()
    assert sum(count for name, count in asked.items() if name.endswith(".retrieve")) > 0


@pytest.mark.parametrize("rows", [1_000, pytest.param(20_000, marks=MUCH)])
def test_nights_fill_an_empty_database_and_then_find_nothing_to_do(
    environ: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection, rows: int
) -> None:
    """Within Stripe's limits too."""
    control = stripe_double.control
    control.switch(shop="open")
    control.seed(rows)
    control.advance(3_600)
    for limits, drift in ((False, None), (False, 0), (True, 0)):
        control.switch(rate_limits=limits)
        flags = ("--format", "json", "--deadline", "0")
        done = product.run("reconcile", *flags, environ=environ, timeout=900.0)
        assert done.returncode == 0, done.stderr
        assert drift in {None, json.loads(done.stdout)["counts"]["drift"]}
    assert differences(connection, control) == []


def test_benchmark_measures_runs_and_events_that_end_well(tmp_path: Path) -> None:
    """It breaks off where a run or an event ends otherwise. What it found is not judged here."""
    results = tmp_path / "bench.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sandbox.bench", "bulk", "growth", "--fast", "--rows", "300"),
            *("--sizes", "300", "--tables", "50", "--events", "25", "--json", str(results)),
        ],
        env=product.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode in {0, 1}, done.stderr) == (True, ""), done.stdout
    parts = json.loads(results.read_bytes())
    assert [point["rows"] for point in parts["bulk"]["points"]] == [300]
    assert [point["ledger"] for point in parts["growth"]["points"]] == [500]


def test_comparison_names_what_is_wrong(
    webhook: Webhook, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """A judge that finds nothing proves nothing until it has found something."""
    control = stripe_double.control
    name = control.create_subscription(quantity=2)
    control.deliver(webhook.url, [SECRET])
    assert differences(connection, control) == []
    connection.execute("UPDATE stripe.subscriptions SET status = 'paused'")
    connection.execute("UPDATE stripe.subscription_items SET quantity = 3")
    connection.execute("UPDATE stripe.customers SET email = 'x@example.com'")
    wrong = differences(connection, control)
    assert f"{name}: status is 'paused', in Stripe 'active'" in wrong
    assert f"{name}: quantity is 3, in Stripe 2" in wrong
    assert len(wrong) == 3
