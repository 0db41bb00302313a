"""SIGTERM while a run asks Stripe hundreds of questions: it ends within a few, whichever they are.

A question is one request; the client asks 25 a second at most, so hundreds take many seconds.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from sandbox import product
from sandbox.stripe_double import Control, StripeDouble
from tests.builders import apply_all, mirror, until
from tests.e2e.reconciling import end_of, reconcile, reconciling
from tests.integration.witness import blocked, one, statuses

MANY = 250
ENOUGH = 12
"""Questions after which the phase is under way."""

FEW = 20
"""Eight at a time are under way when the signal comes; a few more are on their way."""

HOUR = 3_600
GONE = """
INSERT INTO stripe.subscriptions
SELECT (jsonb_populate_record(o, jsonb_build_object('id', 'sub_gone' || n, 'created', %s::text))).*
FROM stripe.subscriptions AS o, generate_series(1, %s) AS n
WHERE o.id = (SELECT min(id) FROM stripe.subscriptions)
"""
FAILED = """
INSERT INTO stripe.events (id, type, object_id, created, source, outcome, payload)
VALUES (%s, %s, %s, to_timestamp(%s), 'webhook', 'failed', %s)
"""

Stage = Callable[[Control, psycopg.Connection, list[str]], Iterator[None]]


def second_look(
    control: Control, connection: psycopg.Connection, names: list[str]
) -> Iterator[None]:
    """Rows that somebody writes between their comparison and the second look."""
    for name in names:
        control.update_subscription(name, status="unpaid", events=0)
    control.advance(HOUR)
    with control.hold(endpoint="events.list") as hold:
        yield
        hold.wait_reached(20)
        product.wait_until(lambda: waiting(connection) == MANY, "all are compared")
        connection.execute("UPDATE stripe.subscriptions SET revision = revision + 1")
        hold.release()
        yield


def repairs(control: Control, connection: psycopg.Connection, names: list[str]) -> Iterator[None]:
    """Rows that somebody writes at the very moment of their repair."""
    for name in names:
        control.update_subscription(name, status="unpaid", events=0)
    control.advance(HOUR)
    with psycopg.connect(connection.info.dsn) as other:
        other.execute("UPDATE stripe.subscriptions SET revision = revision + 1")
        yield
        product.wait_until(lambda: blocked(connection) > 0, "the repair waits for the rows")
        other.commit()
        yield


def missed_events(control: Control, _: psycopg.Connection, names: list[str]) -> Iterator[None]:
    """Events so young that their objects are looked at."""
    for name in names:
        control.update_subscription(name, metadata={"never": "arrived"})
    control.advance(60)
    yield
    yield


def replayed_events(
    control: Control, connection: psycopg.Connection, names: list[str]
) -> Iterator[None]:
    known = len(control.events())
    for name in names:
        control.update_subscription(name, metadata={"has": "failed"})
    for name, event in zip(names, control.events()[known:], strict=True):
        body = control.event_body(event["id"])
        row = (event["id"], event["type"], name, event["created"], body)
        connection.execute(FAILED, row)
    control.advance(60)
    yield
    yield


def confirmations(control: Control, connection: psycopg.Connection, _: list[str]) -> Iterator[None]:
    """Rows that no list names: each is asked for by its id."""
    connection.execute(GONE, ("2026-01-01T00:00:00Z", MANY))
    control.advance(HOUR)
    yield
    yield


def rows_beyond(control: Control, connection: psycopg.Connection, _: list[str]) -> Iterator[None]:
    """Rows that lie in no window."""
    connection.execute(GONE, ("1960-01-01T00:00:00Z", MANY))
    control.advance(HOUR)
    yield
    yield


PHASES: dict[str, tuple[Stage, tuple[str, ...]]] = {
    "second look": (second_look, ()),
    "repairs": (repairs, ()),
    "missed events": (missed_events, ()),
    "replayed events": (replayed_events, ()),
    "confirmations": (confirmations, ()),
    "rows from beyond": (rows_beyond, ()),
    "confirmations of a report": (confirmations, ("--report",)),
    "replay by hand": (replayed_events, ("replay",)),
}


def waiting(connection: psycopg.Connection) -> int:
    return int(one(connection, "SELECT count(*) FROM stripe.drifts WHERE action = 'pending'"))


def asked(double: StripeDouble) -> int:
    lines = double.control.requests()
    return sum(line.endpoint == "subscriptions.retrieve" for line in lines)


@contextmanager
def populated(double: StripeDouble, url: str) -> Iterator[list[str]]:
    names = [double.control.create_subscription() for _ in range(MANY)]
    with mirror(url, double) as heart:
        apply_all(heart, double.control)
    double.control.advance(2 * HOUR)
    yield names


@pytest.mark.parametrize(
    "phase",
    [
        pytest.param(
            phase,
            marks=() if phase in {"second look", "confirmations of a report"} else pytest.mark.long,
        )
        for phase in PHASES
    ],
)
def test_run_that_gets_sigterm_among_hundreds_of_questions_ends_within_a_few(
    environ: dict[str, str],
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    phase: str,
) -> None:
    stage, arguments = PHASES[phase]
    hurried = {**environ, "MAX_REPAIRS": "100%"}
    with populated(stripe_double, database_url) as names:
        steps = stage(stripe_double.control, connection, names)
        next(steps)
        stripe_double.control.clear_requests()
        with reconciling(hurried, *arguments) as process:
            next(steps)
            product.wait_until(lambda: asked(stripe_double) >= ENOUGH, "it asks")
            process.send_signal(signal.SIGTERM)
            before = asked(stripe_double)
            ended = end_of(process, 15)
        assert asked(stripe_double) - before <= FEW
        assert ended.status == 1
        assert "signal" in str(ended.last)
    assert one(connection, "SELECT count(*) FROM stripe.runs WHERE outcome IS NULL") == 0


@pytest.mark.parametrize(
    "endpoint", ["customers.list", "subscriptions.list", "events.list", "subscriptions.retrieve"]
)
def test_lease_is_kept_while_a_single_question_takes_its_time(
    environ: dict[str, str],
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    endpoint: str,
) -> None:
    """It is extended every quarter of its time, whatever the run waits for."""
    control = stripe_double.control
    name = control.create_subscription()
    with mirror(database_url, stripe_double) as heart:
        apply_all(heart, control)
    control.update_subscription(name, metadata={"never": "arrived"})
    control.advance(60)
    expires = "SELECT lease_expires_at FROM stripe.runs WHERE outcome IS NULL"
    with (
        control.hold(endpoint=endpoint, skip=int(endpoint == "subscriptions.retrieve")) as hold,
        reconciling({**environ, "LEASE_SECONDS": "10"}) as process,
    ):
        hold.wait_reached(20)
        product.wait_until(lambda: one(connection, expires) is not None, "it has its lease")
        for _ in range(2):
            before = one(connection, expires)
            until(lambda: one(connection, expires) > before, "it is extended", 8)  # noqa: B023
        hold.release()
        assert end_of(process).status == 0


@pytest.mark.long
def test_many_slow_questions_do_not_lose_the_lease(
    environ: dict[str, str],
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """Each of the second look's questions takes two seconds, the lease is ten."""
    control, slow = stripe_double.control, threading.Event()
    names = [control.create_subscription() for _ in range(50)]
    with mirror(database_url, stripe_double) as heart:
        apply_all(heart, control)
    control.advance(HOUR)
    for name in names:
        control.update_subscription(name, status="unpaid", events=0)
    control.advance(HOUR)
    control.hook(lambda: slow.wait(2.0), endpoint="subscriptions.retrieve", count=None)
    hurried = {**environ, "LEASE_SECONDS": "10", "MAX_REPAIRS": "100%"}
    with (
        control.hold(endpoint="events.list") as hold,
        reconciling(hurried) as process,
    ):
        hold.wait_reached(20)
        product.wait_until(lambda: waiting(connection) == len(names), "all are compared")
        connection.execute("UPDATE stripe.subscriptions SET revision = revision + 1")
        hold.release()
        product.wait_until(lambda: asked(stripe_double) > 30, "it has asked for most", 90)
        second = reconcile(hurried)
        assert second.status == 1
        assert "holds the lease" in second.last["error"]
        assert end_of(process).status == 0
    assert statuses(connection) == {"unpaid": len(names)}
