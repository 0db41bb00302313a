"""When Stripe or the database is in trouble, the endpoint says 503 in time and writes nothing."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from sandbox.postgres import EmbeddedPostgres
from sandbox.stripe_double import StripeDouble
from shared.database.migrations import migrate
from tests.builders import Endpoint, until, world
from tests.integration.witness import blocked, count, one

CANARIES = ("canary", "sk_test_double", "sk_t****", "whsec_", "acct_1Double")

STRIPE: dict[str, dict[str, Any]] = {
    "401": {"kind": "status", "status": 401},
    "403": {"kind": "status", "status": 403},
    "409": {"kind": "status", "status": 409},
    "429 without Retry-After": {"kind": "status", "status": 429},
    "429 named": {"kind": "status", "status": 429, "reason": "endpoint-rate"},
    "429 for a minute": {"kind": "status", "status": 429, "retry_after": 60},
    "429 not to retry": {"kind": "status", "status": 429, "should_retry": False},
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "reset": {"kind": "reset"},
    "half a body": {"kind": "half_body"},
    "HTML with 200": {"kind": "html", "status": 200},
    "HTML with 502": {"kind": "html", "status": 502},
}


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


def doubtful(endpoint: Endpoint) -> bytes:
    """An event that cannot be decided without asking Stripe; everything before it is applied."""
    control = endpoint.double.control
    known = len(control.events())
    name = control.create_subscription(metadata={"note": "canary"})
    control.update_customer(control.ids("customer")[-1], email="canary@example.com")
    control.advance(60)
    control.update_subscription(name, status="past_due")
    control.update_subscription(name, status="unpaid")
    names = [event["id"] for event in control.events()[known:]]
    *before, asked, last = [control.event_body(event) for event in names]
    for body in (*before, last):
        assert endpoint.post(body).status_code == 200
    return asked


def assert_postponed(answer: TestResponse, seconds: float, word: str) -> None:
    assert (answer.status_code, answer.json) == (503, {"error": word})
    assert int(answer.headers["Retry-After"]) > 0
    assert seconds < 5


def timed(call: Callable[[], TestResponse]) -> tuple[TestResponse, float]:
    began = time.monotonic()
    answer = call()
    return answer, time.monotonic() - began


def test_stripe_in_trouble_postpones_the_event(
    endpoint: Endpoint, connection: psycopg.Connection, subtests: pytest.Subtests
) -> None:
    """401, 403, 409, 429 with and without Retry-After, 5xx, reset, half a body, HTML."""
    body = doubtful(endpoint)
    control = endpoint.double.control
    before = world(connection)
    for name, fault in STRIPE.items():
        with subtests.test(name):
            control.fault(**fault, count=None)
            answer, seconds = timed(lambda: endpoint.post(body))
            control.clear_faults()
            assert_postponed(answer, seconds, "stripe_unavailable")
            line = endpoint.logged()[-1]
            assert (line["event"], line["level"]) == ("event.postponed", "error")
            assert world(connection) == before
    assert [canary for canary in CANARIES if canary in endpoint.lines.getvalue()] == []
    # The trouble is over: Stripe sends again.
    assert endpoint.post(body).json == {"outcome": "unchanged"}
    assert one(connection, "SELECT status FROM stripe.subscriptions") == "unpaid"


def test_stripe_that_does_not_answer_postpones_the_event_in_time(
    endpoint: Endpoint, connection: psycopg.Connection
) -> None:
    """A hang, and a body that drips: no wait is unbounded."""
    control = endpoint.double.control
    bodies = [doubtful(endpoint), doubtful(endpoint)]
    first, second = (f"/v1/subscriptions/{name}" for name in control.ids("subscription"))
    control.fault("hang", seconds=20.0, path=first, count=None)
    control.fault("slow_body", seconds=20.0, path=second, count=None)
    before = world(connection)
    with ThreadPoolExecutor(2) as pool:
        for answer, seconds in pool.map(lambda body: timed(lambda: endpoint.post(body)), bodies):
            assert_postponed(answer, seconds, "stripe_unavailable")
    assert world(connection) == before


def test_one_failure_of_stripe_is_made_good_by_asking_again(endpoint: Endpoint) -> None:
    body = doubtful(endpoint)
    for fault in (STRIPE["500"], STRIPE["reset"]):
        endpoint.double.control.fault(**fault, endpoint="subscriptions.retrieve")
    assert endpoint.post(body).json == {"outcome": "unchanged"}


def test_object_that_stripe_does_not_know_fails_and_is_kept(
    endpoint: Endpoint, connection: psycopg.Connection
) -> None:
    """404: another time will not help the sender, so it is not made to come again."""
    body = doubtful(endpoint)
    before = world(connection, "events")
    endpoint.double.control.fault("status", status=404, endpoint="subscriptions.retrieve")
    answer = endpoint.post(body)
    assert answer.status_code in {200, 503}
    assert world(connection, "events") == before
    if answer.status_code == 200:
        assert answer.json == {"outcome": "failed"}
        assert count(connection, "events", "outcome = 'failed'") == 1
    assert endpoint.post(body).json == {"outcome": "unchanged"}


def test_database_that_is_down_hangs_or_comes_back(stripe_double: StripeDouble) -> None:
    """Crashed: one waits, 503 for the rest at once. Frozen: 503 in time. Back: all is applied."""
    control = stripe_double.control
    control.create_subscription(customer=control.create_customer(events=0))
    body = control.event_body(control.events()[-1]["id"])
    with EmbeddedPostgres.start() as server:
        migrate(server.url())
        with Endpoint(server.url(), stripe_double) as endpoint:
            server.stop_hard()
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: timed(lambda: endpoint.post(body)), range(12)))
            for answer, seconds in answers:
                assert_postponed(answer, seconds, "database_unavailable")
            longest = max(seconds for _, seconds in answers)
            assert len([seconds for _, seconds in answers if seconds > longest / 2]) == 1
            server.restart()
            assert endpoint.post(body).json == {"outcome": "applied"}
            control.advance(60)
            control.update_subscription(control.ids("subscription")[0], status="past_due")
            later = control.event_body(control.events()[-1]["id"])
            server.freeze()
            try:
                answer, seconds = timed(lambda: endpoint.post(later))
            finally:
                server.thaw()
            assert_postponed(answer, seconds, "database_unavailable")
            # Connections that died unnoticed cost nobody an event.
            server.stop_hard()
            server.restart()
            assert endpoint.post(later).json in ({"outcome": "applied"}, {"outcome": "duplicate"})
            assert "canary" not in endpoint.lines.getvalue()
        with psycopg.connect(server.url()) as connection:
            assert one(connection, "SELECT status FROM stripe.subscriptions") == "past_due"


def test_full_pool_postpones_what_cannot_be_served_in_time(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Every connection waits for a lock; whoever comes now waits for a connection, not for ever."""
    control = stripe_double.control
    customer = control.create_customer(events=0)
    for _ in range(6):
        control.create_subscription(customer=customer)
    bodies = [control.event_body(made["id"]) for made in control.events()]
    with (
        Endpoint(database_url, stripe_double, threads=2) as endpoint,
        psycopg.connect(database_url) as holder,
        ThreadPoolExecutor(6) as pool,
    ):
        holder.execute("LOCK TABLE stripe.subscriptions IN ACCESS EXCLUSIVE MODE")
        barrier = threading.Barrier(6)

        def send(body: bytes) -> tuple[TestResponse, float]:
            barrier.wait(10)
            return timed(lambda: endpoint.post(body))

        for answer, seconds in pool.map(send, bodies):
            assert_postponed(answer, seconds, "database_unavailable")
        holder.rollback()
        until(lambda: blocked(connection) == 0, "the server gives up too")
        outcomes = [endpoint.post(body).json for body in bodies]
    assert all(
        outcome in ({"outcome": "applied"}, {"outcome": "duplicate"}) for outcome in outcomes
    )
    assert count(connection, "subscriptions") == count(connection, "events") == 6


def test_error_text_of_the_database_reaches_nobody(
    endpoint: Endpoint, connection: psycopg.Connection
) -> None:
    """Trap 18: error text sent back to the caller, keys and database messages in it."""
    control = endpoint.double.control
    control.create_subscription(metadata={"note": "canary"})
    connection.execute(
        """
        CREATE FUNCTION leak() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'canary % sk_test_double whsec_double canary@example.com', NEW.metadata;
        END $$;
        CREATE TRIGGER leak BEFORE INSERT ON stripe.subscriptions
            FOR EACH ROW EXECUTE FUNCTION leak();
        """
    )
    before = world(connection, "account")
    answer = endpoint.post(control.event_body(control.events()[-1]["id"]))
    assert answer.status_code >= 500
    assert json.loads(answer.text).keys() == {"error"}
    assert [canary for canary in CANARIES if canary in answer.text] == []
    assert world(connection, "account") == before
    told = endpoint.lines.getvalue()
    assert [secret for secret in CANARIES if secret in told] == []
