"""The load run in small: hostile delivery to a real webhook, then a run over what is in sync."""

import subprocess
import sys

import psycopg

from sandbox import product
from sandbox.comparison import differences
from sandbox.product import Webhook
from sandbox.stripe_double import StripeDouble
from tests.e2e.conftest import SECRET

SMALL = ("--events", "300", "--subscriptions", "40", "--rows", "150", "--workers", "2")


def test_hostile_delivery_ends_in_the_truth_and_one_ledger_row_an_event() -> None:
    """Traps 1, 2 and 12: two events in one second, refetch races, copies of one event at once."""
    done = subprocess.run(
        (sys.executable, "-m", "sandbox.load", "webhook", "reconcile", *SMALL),
        env=product.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "questions to Stripe" in done.stdout
    assert "everything is right" in done.stdout


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
