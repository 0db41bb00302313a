"""A confirmation counts as a write: what began before it may not replace what it confirmed."""

import threading

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble
from shared.mirror import Outcome, Receipt
from tests import builders
from tests.integration.witness import one


@pytest.mark.parametrize("confirmed_by", ["event", "answer"])
def test_slow_answer_loses_against_a_confirmation_that_came_meanwhile(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    confirmed_by: str,
) -> None:
    """Trap 2: Stripe goes from X to Y and back to X while the question about Y is open."""
    control = stripe_double.control
    receipts: list[Receipt] = []
    with builders.mirror(database_url, stripe_double) as mirror:
        name = control.create_subscription()
        control.update_subscription(name, metadata={"state": "X"})
        builders.apply_all(mirror, control)
        before = len(control.events())
        control.update_subscription(name, metadata={"state": "Y"})
        body = control.event_body(control.events()[before]["id"])
        with control.hold("after_read", endpoint="subscriptions.retrieve") as hold:
            asking = threading.Thread(target=lambda: receipts.append(builders.apply(mirror, body)))
            asking.start()
            hold.wait_reached()
            control.update_subscription(name, metadata={"state": "X"})
            if confirmed_by == "event":
                (confirmed,) = builders.apply_all(mirror, control, after=before + 1)
            else:
                reminder = control.emit(
                    "customer.subscription.trial_will_end",
                    name,
                    extra={
                        "data": {
                            "object": {**(control.truth(name) or {}), "metadata": {"state": "Z"}}
                        }
                    },
                )
                confirmed = builders.apply(mirror, control.event_body(reminder))
            assert confirmed.outcome is Outcome.UNCHANGED
        asking.join()
    (receipt,) = receipts
    assert (receipt.retries, receipt.asked) == (1, 2)
    assert one(connection, "SELECT metadata ->> 'state' FROM stripe.subscriptions") == "X"
    assert one(connection, "SELECT count(*) FROM stripe.changes WHERE object_id = %s", name) == 2
