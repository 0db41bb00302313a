"""The load run and the benchmark in small: they still do what they say, and nothing is wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from sandbox import product
from sandbox.mirrored import differences
from sandbox.product import Webhook
from sandbox.stripe_double import StripeDouble
from tests.e2e.conftest import SECRET

LOAD = ("sandbox.load", "webhook", "--events", "300", "--subscriptions", "40", "--workers", "2")
BENCH = ("sandbox.bench", "bulk", "growth", "--fast", "--rows", "300", "--sizes", "300")
SMALL = ("--tables", "50", "--events", "25", "--json")


class Ended(NamedTuple):
    """A run that has ended, and where a benchmark left its results."""

    status: int
    stdout: str
    stderr: str
    results: Path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Ended]:
    """Run them beside each other: each waits for its own processes most of the time."""
    results = tmp_path_factory.mktemp("bench") / "bench.json"
    running = [
        subprocess.Popen(
            (sys.executable, "-m", *arguments),
            env=product.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for arguments in (LOAD, (*BENCH, *SMALL, str(results)))
    ]
    told = [process.communicate(timeout=120) for process in running]
    load, bench = (
        Ended(process.returncode, *words, results)
        for process, words in zip(running, told, strict=True)
    )
    return load, bench


def test_hostile_delivery_ends_in_the_truth_and_one_ledger_row_an_event(
    both: tuple[Ended, Ended],
) -> None:
    """Traps 1, 2 and 12: two events in one second, refetch races, copies of one event at once."""
    done, _ = both
    assert (done.status, done.stderr) == (0, ""), done.stdout
    assert "questions to Stripe" in done.stdout
    assert "everything is right" in done.stdout


def test_benchmark_measures_runs_and_events_that_end_well(both: tuple[Ended, Ended]) -> None:
    """It breaks off where a run or an event ends otherwise. What it found is not judged here."""
    _, done = both
    assert (done.status in {0, 1}, done.stderr) == (True, ""), done.stdout
    parts = json.loads(done.results.read_bytes())
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
