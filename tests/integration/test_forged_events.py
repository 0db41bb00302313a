"""What who has the signing secret can do, and how long it lasts: until the next nightly run."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble
from shared.mirror import Mirror, Outcome
from shared.objects.column import LAST_SECOND
from tests.builders import apply, apply_all, mirror, reconcile
from tests.integration.witness import count, one

STATUS = "SELECT status FROM stripe.subscriptions"


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


@pytest.mark.parametrize("status", ["trialing", "canceled"])
@pytest.mark.parametrize("moment", ["now", "in a thousand years", "at the end of time"])
def test_forged_state_lasts_until_the_nightly_run_and_true_events_are_taken_after_it(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    status: str,
    moment: str,
) -> None:
    control = stripe_double.control
    name = control.create_subscription(customer=control.create_customer(), status="past_due")
    apply_all(heart, control)
    body = control.event_body(control.events()[-1]["id"])
    control.advance(60)
    forged = json.loads(body)
    now = int(control.now())
    forged["id"], forged["type"] = "evt_1Forged", "customer.subscription.updated"
    forged["created"] = {"now": now, "in a thousand years": now + 1_000 * 31_536_000}.get(
        moment, LAST_SECOND
    )
    forged["data"]["object"]["status"] = status
    assert apply(heart, json.dumps(forged).encode()).outcome is Outcome.APPLIED
    assert one(connection, STATUS) == status
    control.advance(3_600)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome == "success"
    assert [row.action for row in report.drift()] == ["repaired"]
    assert one(connection, STATUS) == "past_due"
    assert count(connection, "changes", "event_id = 'evt_1Forged'") == 1, "it stays on record"
    control.advance(60)
    control.activate(name)
    true = control.event_body(control.events()[-1]["id"])
    assert apply(heart, true).outcome is Outcome.APPLIED
    assert one(connection, STATUS) == "active"


def test_forged_object_that_stripe_lacks_is_marked_by_the_nightly_run(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    control.create_subscription(customer=control.create_customer())
    apply_all(heart, control)
    body = control.event_body(control.events()[-1]["id"])
    forged = json.loads(body)
    forged["id"], forged["data"]["object"]["id"] = "evt_1Forged", "sub_1Forged"
    forged["data"]["object"]["items"]["data"] = []
    forged["created"] = LAST_SECOND
    forged["data"]["object"]["created"] = LAST_SECOND
    assert apply(heart, json.dumps(forged).encode()).outcome is Outcome.APPLIED
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome == "success"
    gone = "id = 'sub_1Forged' AND missing_in_stripe_since IS NOT NULL"
    assert count(connection, "subscriptions", gone) == 1
