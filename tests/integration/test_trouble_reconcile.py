"""When Stripe or the database is in trouble, a run asks again, or fails and keeps its cursor."""

from typing import Any

import psycopg
import pytest

from reconcile import cli
from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.errors import StripeRefused
from shared.stripe.http import Patience
from tests.builders import KEY, reconcile, world
from tests.integration.witness import count, one

LONG_AGO = 1_780_000_000
IMPATIENT = Patience(attempts=3, read_seconds=0.5, first_pause=0.01)
CANARIES = ("canary", "sk_test_double", "sk_t****")

PASSING: dict[str, dict[str, Any]] = {
    "409": {"kind": "status", "status": 409},
    "429 without Retry-After": {"kind": "status", "status": 429},
    "429 named": {"kind": "status", "status": 429, "reason": "endpoint-rate", "should_retry": True},
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "reset": {"kind": "reset"},
    "half a body": {"kind": "half_body"},
    "HTML with 200": {"kind": "html", "status": 200},
    "HTML with 502": {"kind": "html", "status": 502},
    "hang": {"kind": "hang", "seconds": 10.0},
    "dripping body": {"kind": "slow_body", "seconds": 10.0},
}
LASTING: dict[str, dict[str, Any]] = {
    **PASSING,
    "401": {"kind": "status", "status": 401},
    "403": {"kind": "status", "status": 403},
    "404": {"kind": "status", "status": 404},
    "500 not to retry": {"kind": "status", "status": 500, "should_retry": False},
}


@pytest.fixture
def drifted(database_url: str, stripe_double: StripeDouble) -> str:
    """A mirrored subscription with a difference in it; returns its id."""
    control = stripe_double.control
    customer = control.create_customer(email="canary@example.com", created=LONG_AGO)
    name = control.create_subscription(customer=customer, created=LONG_AGO)
    control.advance(3_600)
    reconcile(database_url, stripe_double)
    control.update_subscription(name, metadata={"note": "canary"}, events=0)
    control.advance(3_600)
    return name


def test_passing_trouble_of_stripe_costs_a_run_nothing_but_another_request(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    drifted: str,
    subtests: pytest.Subtests,
) -> None:
    """Once 409, 429 without Retry-After, 5xx, reset, half a body, HTML, a hang."""
    control = stripe_double.control
    for number, (name, fault) in enumerate(PASSING.items()):
        with subtests.test(name):
            control.update_subscription(drifted, metadata={"n": str(number)}, events=0)
            control.advance(3_600)
            control.fault(**fault, endpoint="subscriptions.list", count=1)
            report = reconcile(database_url, stripe_double, patience=IMPATIENT)
            assert report.run.outcome is RunOutcome.SUCCESS
            held = one(connection, "SELECT metadata->>'n' FROM stripe.subscriptions")
            assert held == str(number)


def test_lasting_trouble_of_stripe_fails_the_run_and_keeps_its_cursor(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    drifted: str,  # noqa: ARG001 (it is there, and stays as it was)
    caplog: pytest.LogCaptureFixture,
    subtests: pytest.Subtests,
) -> None:
    """Customers are compared, then Stripe breaks: no row is changed, the next run goes on."""
    control = stripe_double.control
    before = world(connection, "runs", "drifts")
    for name, fault in LASTING.items():
        with subtests.test(name):
            control.fault(**fault, endpoint="subscriptions.list", count=None)
            report = reconcile(database_url, stripe_double, patience=IMPATIENT)
            control.clear_faults()
            assert report.run.outcome is RunOutcome.FAILED
            assert "/v1/subscriptions" in str(report.run.reason)
            assert world(connection, "runs", "drifts") == before
            done = one(
                connection,
                "SELECT done->'customer'->0->1 FROM stripe.runs ORDER BY started_at DESC LIMIT 1",
            )
            assert done > LONG_AGO
            told = f"{report.run.reason} {caplog.text}"
            assert [canary for canary in CANARIES if canary in told] == []
    assert count(connection, "runs", "outcome IS NULL") == 0
    # The trouble is over; what was compared before it is not compared again.
    control.clear_requests()
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    walked = [line for line in control.requests() if line.endpoint == "customers.list"]
    assert len(walked) <= 2
    held = one(connection, "SELECT metadata->>'note' FROM stripe.subscriptions")
    assert held == "canary"


@pytest.mark.parametrize("status", [401, 403])
def test_key_without_rights_stops_the_run_with_exit_1_and_says_what_to_do(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    drifted: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    status: int,
) -> None:
    """Stripe's own message names the account and the tail of the key: it is nowhere."""
    assert drifted
    before = world(connection, "runs")
    environment = {
        "DATABASE_URL": database_url,
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_API_BASE": stripe_double.url,
        "GRACE_SECONDS": "0",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stripe_double.control.fault("status", status=status, endpoint="subscriptions.list", count=None)
    stripe_double.control.fault("status", status=status, endpoint="customers.list", count=None)
    assert cli.main([]) == 1
    told = "".join(capfd.readouterr())
    assert ("revoked" if status == 401 else "permission") in told
    assert [canary for canary in CANARIES if canary in told] == []
    assert world(connection, "runs") == before


def test_revoked_key_keeps_the_run_from_beginning(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, drifted: str
) -> None:
    assert drifted
    before = world(connection)
    stripe_double.control.revoke_key(KEY)
    with pytest.raises(StripeRefused):
        reconcile(database_url, stripe_double, patience=IMPATIENT)
    assert count(connection, "runs", "outcome IS NULL") == 0
    assert world(connection, "runs", "drifts") == {
        name: rows for name, rows in before.items() if name not in {"runs", "drifts"}
    }


def test_object_that_cannot_be_read_fails_the_run_but_holds_up_no_other(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, drifted: str
) -> None:
    """Poison in a list: NUL characters, lone surrogates, numbers and times beyond measure."""
    control = stripe_double.control
    poison = (
        {"metadata": {"note": "canary\0"}},
        {"metadata": {"note": "canary\ud800"}},
        {"days_until_due": 2**64},
        {"cancel_at": 10**15},
        {"status": 5},
    )
    for fields in poison:
        control.create_subscription(created=LONG_AGO + 1, extra=fields, events=0)
    healthy = control.create_subscription(created=LONG_AGO + 2, events=0)
    control.advance(3_600)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.FAILED
    assert "could not be" in str(report.run.reason)
    assert "canary" not in str(report.run.reason)
    names = connection.execute("SELECT id FROM stripe.subscriptions").fetchall()
    assert sorted(names) == sorted([(drifted,), (healthy,)])
    held = one(connection, "SELECT metadata->>'note' FROM stripe.subscriptions ORDER BY created")
    assert held == "canary"
