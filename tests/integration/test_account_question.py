"""`GET /v1/account` is optional whatever the answer, but for a key that Stripe does not know."""

import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import MAIN_ACCOUNT, OTHER_ACCOUNT, Control, StripeDouble
from shared.errors import KeyRevoked, WrongAccount
from shared.stripe.api import StripeApi
from shared.stripe.http import StripeHttp
from tests.builders import QUICK, Endpoint, reconcile, world
from tests.integration.witness import count, one

STATUSES: dict[str, dict[str, Any]] = {
    **{
        str(status): {"kind": "status", "status": status}
        for status in (400, 402, 403, 404, 405, 409, 410, 418, 429, 500, 502, 503, 504)
    },
    "500, do not retry": {"kind": "status", "status": 500, "should_retry": False},
    "HTML": {"kind": "html"},
    "HTML, 404": {"kind": "html", "status": 404},
    "reset": {"kind": "reset"},
    "half": {"kind": "half_body"},
    "hang": {"kind": "hang", "seconds": 60.0},
}


def trouble(control: Control, name: str) -> None:
    control.fault(endpoint="account.retrieve", count=None, **STATUSES[name])


@pytest.mark.parametrize("writes", [True, False], ids=["run", "report"])
@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=pytest.mark.long if one == "hang" else ()) for one in STATUSES],
)
def test_run_goes_on_without_the_account_whatever_stripe_answers(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    name: str,
    writes: bool,
) -> None:
    control = stripe_double.control
    subscription = control.create_subscription(customer=control.create_customer())
    control.advance(3_600)
    trouble(control, name)
    began = time.monotonic()
    report = reconcile(database_url, stripe_double, writes=writes)
    assert time.monotonic() - began < 30
    assert report.run.outcome is RunOutcome.SUCCESS
    assert report.run.account is None
    assert [row.object_id for row in report.drift() if row.object == "subscription"] == [
        subscription
    ]
    if writes:
        assert one(connection, "SELECT id FROM stripe.subscriptions") == subscription
        assert one(connection, "SELECT id FROM stripe.account") is None
        # The next night enters what this one was not told.
        control.clear_faults()
        assert reconcile(database_url, stripe_double).run.account == MAIN_ACCOUNT
        assert one(connection, "SELECT id FROM stripe.account") == MAIN_ACCOUNT
        trouble(control, name)
        assert reconcile(database_url, stripe_double).run.account == MAIN_ACCOUNT


@pytest.mark.parametrize("name", ["404", "403", "500", "HTML"])
def test_rows_still_tell_a_key_of_another_account_where_stripe_does_not(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, name: str
) -> None:
    control = stripe_double.control
    control.create_subscription(customer=control.create_customer())
    control.advance(3_600)
    reconcile(database_url, stripe_double)
    control.realm(OTHER_ACCOUNT).create_subscription()
    before = world(connection)
    trouble(control, name)
    with pytest.raises(WrongAccount):
        reconcile(database_url, stripe_double, key="sk_test_other")
    assert world(connection) == before


@pytest.mark.parametrize("writes", [True, False], ids=["run", "report"])
def test_revoked_key_ends_the_run_with_the_cure(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, writes: bool
) -> None:
    control = stripe_double.control
    control.create_subscription()
    control.revoke_key("sk_test_double")
    before = world(connection)
    with pytest.raises(KeyRevoked, match="set STRIPE_SECRET_KEY"):
        reconcile(database_url, stripe_double, writes=writes)
    assert world(connection) == before
    assert control.request_counts() == {"": 1}, "nothing else was asked"


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"null", b'{"id": 5}', b'{"id": ""}', b'{"id": "cus_1"}', b"{", b"\xff"]
)
def test_answer_that_is_no_account_tells_none(body: bytes) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        http = StripeHttp(f"http://127.0.0.1:{server.server_port}", "sk_test_x", patience=QUICK)
        assert StripeApi(http, livemode=False).account_id(5.0) is None
        http.close()
        server.shutdown()


@pytest.mark.parametrize("name", STATUSES)
def test_event_that_names_us_is_applied_without_the_account_whatever_stripe_answers(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, name: str
) -> None:
    control = stripe_double.control
    trouble(control, name)
    customer = control.create_customer()
    made = control.emit("customer.updated", customer, extra={"context": MAIN_ACCOUNT})
    stranger = control.realm(OTHER_ACCOUNT)
    other = stranger.emit(
        "customer.updated", stranger.create_customer(), extra={"context": OTHER_ACCOUNT}
    )
    with Endpoint(database_url, stripe_double) as endpoint:
        began = time.monotonic()
        assert endpoint.post(control.event_body(made)).json == {"outcome": "applied"}
        assert time.monotonic() - began < 5
        assert endpoint.post(stranger.event_body(other)).status_code == 400
    assert count(connection, "customers") == 1
