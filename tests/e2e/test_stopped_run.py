"""A run that is stopped within Stripe's event list: what it found right stays right (trap 23)."""

import signal

import psycopg
import pytest

from sandbox import product
from sandbox.stripe_double import StripeDouble
from tests.builders import apply_all, mirror
from tests.e2e.reconciling import end_of, reconcile, reconciling
from tests.integration import judge
from tests.integration.witness import one, statuses

MANY = 300
HOUR = 3_600


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_stopped_run_and_the_nights_after_leave_right_rows_right(
    environ: dict[str, str],
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    number: signal.Signals,
) -> None:
    """The webhook is down while each goes active -> unpaid -> active; no row is ever unpaid."""
    control = stripe_double.control
    names = [control.create_subscription() for _ in range(MANY)]
    with mirror(database_url, stripe_double) as heart:
        apply_all(heart, control)
    judge.install_witness(connection)
    for status in ("unpaid", "active"):
        control.advance(6 * HOUR)
        for name in names:
            control.update_subscription(name, status=status)
            control.advance(1)
    control.advance(HOUR)
    hurried = {**environ, "LEASE_SECONDS": "10", "MAX_REPAIRS": "10%"}
    # Four pages are read ahead, so of seven the first is done when the sixth is asked for.
    with (
        control.hold(endpoint="events.list", skip=5) as hold,
        reconciling(hurried, "--grace", "0") as process,
    ):
        hold.wait_reached(20)
        product.wait_until(lambda: entered(connection) > 0, "the first page is entered")
        process.send_signal(number)
        if number is signal.SIGTERM:
            hold.release()
        ended = end_of(process)
    assert ended.status == (-number if number is signal.SIGKILL else 1)
    assert 0 < entered(connection) < 2 * MANY
    assert statuses(connection) == {"active": MANY}
    connection.execute("UPDATE stripe.runs SET lease_expires_at = now() WHERE outcome IS NULL")
    for night in range(3):
        control.advance(24 * HOUR)
        assert reconcile(hurried, "--grace", "0").status == 0, night
    assert statuses(connection) == {"active": MANY}
    assert entered(connection) == 2 * MANY
    shown = [version for versions in judge.versions(connection).values() for version in versions]
    assert shown == [], "no row was written at all"


def entered(connection: psycopg.Connection) -> int:
    """How many events were entered that never arrived."""
    return int(one(connection, "SELECT count(*) FROM stripe.events WHERE source = 'reconcile'"))
