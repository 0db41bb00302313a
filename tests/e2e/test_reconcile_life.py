"""The life of a run: its lease, its cursor, signals, deadline, heartbeat."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest

from sandbox import product
from sandbox.stripe_double import StripeDouble
from shared.objects.catalogue import MIRRORED
from tests.e2e.reconciling import end_of, reconcile, reconciling

# So many make several windows of each object, once the database has them.
MANY = 1_500
SOME_PAGES = 9


@pytest.fixture
def many(stripe_double: StripeDouble) -> StripeDouble:
    stripe_double.control.seed(MANY)
    return stripe_double


def count(connection: psycopg.Connection, table: str) -> int:
    query = {
        "customers": "SELECT count(*) FROM stripe.customers",
        "subscriptions": "SELECT count(*) FROM stripe.subscriptions",
        "runs": "SELECT count(*) FROM stripe.runs",
    }[table]
    (number,) = connection.execute(query).fetchall()[0]
    return int(number)


def ranges(double: StripeDouble, endpoint: str) -> list[tuple[int, int]]:
    """Ranges of `created` that were listed since the double's requests were cleared."""
    found = []
    for line in double.control.requests():
        asked = dict(line.query)
        if line.endpoint == endpoint and "created[gte]" in asked:
            found.append((int(asked["created[gte]"]), int(asked["created[lt]"])))
    return found


def done(connection: psycopg.Connection, name: str) -> list[tuple[int, int]]:
    """Ranges of `created` that the last run kept."""
    query = "SELECT done -> %s FROM stripe.runs ORDER BY started_at DESC LIMIT 1"
    (found,) = connection.execute(query, [name]).fetchall()[0]
    return [(gte, lt) for gte, lt in found or []]


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def test_second_run_is_refused_at_once_and_says_by_whom(
    environ: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 22: two runs at once repair twice."""
    control = stripe_double.control
    control.seed(30)
    with control.hold(endpoint="subscriptions.list") as hold, reconciling(environ) as first:
        hold.wait_reached(20)
        product.wait_until(lambda: done(connection, "customer") != [], "the customers are done")
        asked = len(control.requests())
        second = reconcile(environ)
        assert second.status == 1
        assert second.last["event"] == "run.failed"
        assert "LeaseHeld" in second.last["error"]
        assert f":{first.pid} holds the lease until 20" in second.last["error"]
        endpoints = {line.endpoint for line in control.requests()[asked:]}
        assert "customers.list" not in endpoints, "it did not begin to compare"
        assert reconcile(environ, "--report").status == 0, "a report needs no lease"
        hold.release()
        assert end_of(first).status == 0
    assert count(connection, "subscriptions") == 30
    assert count(connection, "runs") == 1


def test_killed_or_stopped_run_is_gone_on_from_without_listing_twice(
    environ: dict[str, str], many: StripeDouble, connection: psycopg.Connection
) -> None:
    """Traps 16 and 22: a run that was killed or stopped starts over, or leaves its lock."""
    control = many.control
    assert reconcile(environ).status == 0
    with (
        control.hold(endpoint="customers.list", skip=SOME_PAGES) as hold,
        reconciling(environ) as process,
    ):
        hold.wait_reached(20)
        product.wait_until(lambda: done(connection, "customer") != [], "a window is kept")
        process.kill()
        process.wait()
    before = done(connection, "customer")
    early = reconcile(environ)
    assert early.status == 1
    assert "LeaseHeld" in early.last["error"], "its lease has not expired"

    connection.execute("UPDATE stripe.runs SET lease_expires_at = now() - interval '1 second'")
    control.clear_requests()
    with (
        control.hold(endpoint="customers.list", skip=2) as hold,
        reconciling(environ) as process,
    ):
        hold.wait_reached(20)
        process.terminate()
        hold.release()
        stopped = end_of(process)
    asked = ranges(many, "customers.list")
    assert asked
    assert not [one for one in asked if any(overlap(one, kept) for kept in before)]
    assert stopped.status == 1
    assert stopped.last["outcome"] == "incomplete"
    assert "the next run goes on from there" in stopped.last["reason"]

    before = [*done(connection, "customer")]
    control.clear_requests()
    assert reconcile(environ).status == 0
    asked = ranges(many, "customers.list")
    assert not [one for one in asked if any(overlap(one, kept) for kept in before)]
    outcomes = connection.execute("SELECT outcome FROM stripe.runs ORDER BY started_at").fetchall()
    assert outcomes == [("success",), ("abandoned",), ("incomplete",), ("success",)]


def test_run_whose_lease_was_taken_over_writes_no_more(
    environ: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 22: the one that was slow, not dead, comes back and writes beside the new one."""
    control = stripe_double.control
    control.seed(30)
    with (
        control.hold(endpoint="customers.list", skip=1) as hold,
        reconciling(environ) as slow,
    ):
        hold.wait_reached(20)
        others = [one.name for one in MIRRORED if one.name != "customer"]
        product.wait_until(
            lambda: all(done(connection, name) for name in others), "its other windows"
        )
        connection.execute("UPDATE stripe.runs SET lease_expires_at = now() - interval '1 second'")
        assert reconcile(environ).status == 0
        changes = connection.execute("SELECT count(*) FROM stripe.changes").fetchall()
        hold.release()
        ended = end_of(slow)
    assert ended.status == 1
    assert "LeaseLost" in json.dumps(ended.last)
    assert connection.execute("SELECT count(*) FROM stripe.changes").fetchall() == changes
    outcomes = connection.execute("SELECT outcome FROM stripe.runs ORDER BY started_at").fetchall()
    assert outcomes == [("abandoned",), ("success",)]


def test_deadline_ends_the_run_and_keeps_the_windows_that_are_done(
    environ: dict[str, str], many: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 16: a run that is too long for its time-out starts over, every night."""
    never = threading.Event()
    assert reconcile(environ).status == 0
    many.control.hook(lambda: never.wait(4.0), endpoint="customers.list", skip=SOME_PAGES, count=1)
    stopped = reconcile(environ, "--deadline", "4")
    assert stopped.status == 1
    assert stopped.last["outcome"] == "incomplete"
    assert "the deadline came" in stopped.last["reason"]
    assert "the next run goes on from there" in stopped.last["reason"]
    assert done(connection, "customer")
    # The page that never came may have repeated only what was compared already.
    assert 0 < stopped.last["in_sync"] <= 2 * MANY


@pytest.fixture
def monitor() -> Iterator[tuple[str, list[str]]]:
    """A monitor's address, and the paths that were asked of it."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/ping/abc", paths
        server.shutdown()
        thread.join()


def test_monitor_hears_of_the_start_and_of_the_exit_status(
    environ: dict[str, str], stripe_double: StripeDouble, monitor: tuple[str, list[str]]
) -> None:
    url, paths = monitor
    stripe_double.control.seed(3)
    told = {**environ, "HEARTBEAT_URL": url, "LOG_LEVEL": "DEBUG"}
    first = reconcile(told)
    assert first.status == 0
    assert "ping" not in first.stderr, "whoever knows the address can report in our name"
    assert paths == ["/ping/abc/start", "/ping/abc/0"]
    assert reconcile(told, "--report").status == 0
    assert len(paths) == 2, "a report is no night's run"
    paths.clear()
    assert reconcile({**told, "STRIPE_SECRET_KEY": "sk_live_double"}).status == 1
    assert paths == ["/ping/abc/start", "/ping/abc/1"]


def test_monitor_that_is_down_does_not_fail_the_run(
    environ: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    stripe_double.control.seed(3)
    secret = "0c7f9c52-of-the-monitor"
    url = f"http://127.0.0.1:{product.free_port()}/{secret}"
    done = reconcile({**environ, "HEARTBEAT_URL": url, "LOG_LEVEL": "DEBUG"})
    assert done.status == 0
    assert [line["event"] for line in done.log].count("heartbeat.failed") == 2
    assert secret not in done.stderr
    assert count(connection, "subscriptions") == 3


def test_secrets_are_read_from_files(
    environ: dict[str, str], stripe_double: StripeDouble, tmp_path: Path
) -> None:
    stripe_double.control.seed(1)
    key = tmp_path / "key"
    key.write_text("sk_test_double\n", encoding="utf-8")
    from_file = {name: value for name, value in environ.items() if name != "STRIPE_SECRET_KEY"}
    assert reconcile({**from_file, "STRIPE_SECRET_KEY_FILE": str(key)}).status == 0
