"""The double makes trouble like Stripe, and lets a test stage it: limits, faults, lags, holds."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import urllib3
from urllib3.exceptions import HTTPError

from sandbox.stripe_double import StripeDouble
from sandbox.stripe_double.http.interventions import FaultKind, When
from tests.integration.double_client import Client


@pytest.fixture
def client(stripe_double: StripeDouble) -> Iterator[Client]:
    opened = Client(stripe_double)
    yield opened
    opened.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as opened:
        yield opened


# Rate limits


def statuses(answers: list[urllib3.BaseHTTPResponse]) -> list[int]:
    return [answer.status for answer in answers]


def test_endpoint_is_limited_by_itself_and_says_so(
    stripe_double: StripeDouble, client: Client
) -> None:
    stripe_double.control.switch(rate_limits=True, endpoint_rate=5, sandbox_rate=1000)
    answers = [client.get("/v1/subscriptions") for _ in range(30)]
    refused = [answer for answer in answers if answer.status == 429]
    assert 15 <= len(refused) <= 25
    assert {answer.headers["Stripe-Rate-Limited-Reason"] for answer in refused} == {"endpoint-rate"}
    assert refused[0].json()["error"]["code"] == "rate_limit"
    assert client.get("/v1/subscriptions/sub_x").status == 404


def test_sandbox_is_limited_overall_and_live_mode_is_wider(stripe_double: StripeDouble) -> None:
    stripe_double.control.switch(rate_limits=True, live_rate=100, sandbox_rate=8)
    paths = ["/v1/subscriptions", "/v1/customers", "/v1/events", "/v1/subscriptions/sub_x"]
    for key, limited in (("sk_test_double", True), ("sk_live_double", False)):
        client = Client(stripe_double, key=key)
        answers = [client.get(path) for path in paths for _ in range(5)]
        reasons = {answer.headers.get("Stripe-Rate-Limited-Reason") for answer in answers}
        assert ("global-rate" in reasons) is limited
        client.close()


def test_tokens_flow_back(stripe_double: StripeDouble, client: Client) -> None:
    stripe_double.control.switch(rate_limits=True, endpoint_rate=50)
    limit = time.monotonic() + 5
    seen: list[int] = []
    while 429 not in seen or seen[-1] != 200:
        assert time.monotonic() < limit
        seen.append(client.get("/v1/subscriptions").status)


def test_stripes_own_limits_are_the_defaults(stripe_double: StripeDouble) -> None:
    switches = stripe_double.control.switches
    assert (switches.endpoint_rate, switches.live_rate, switches.sandbox_rate) == (25, 100, 25)
    assert switches.rate_limits is False


@pytest.mark.parametrize("limiter", ["endpoint", "global"])
def test_concurrency_is_limited(
    stripe_double: StripeDouble, client: Client, pool: ThreadPoolExecutor, limiter: str
) -> None:
    control = stripe_double.control
    control.switch(**{f"{limiter}_concurrency": 1})
    with control.hold("before_read") as hold:
        first = pool.submit(client.get, "/v1/subscriptions")
        hold.wait_reached()
        second = client.get("/v1/subscriptions")
    assert second.status == 429
    assert second.headers["Stripe-Rate-Limited-Reason"] == f"{limiter}-concurrency"
    assert first.result(5).status == 200
    assert client.get("/v1/subscriptions").status == 200


# Faults


@pytest.mark.parametrize("status", [401, 403, 404, 409, 500, 502, 503])
def test_status_fault_answers_with_stripes_error(
    stripe_double: StripeDouble, client: Client, status: int
) -> None:
    stripe_double.control.fault("status", status=status, should_retry=False, retry_after=3)
    answer = client.get("/v1/subscriptions")
    assert answer.status == status
    assert answer.json()["error"]["type"]
    assert answer.headers["Stripe-Should-Retry"] == "false"
    assert answer.headers["Retry-After"] == "3"
    assert client.get("/v1/subscriptions").status == 200


@pytest.mark.parametrize(
    "reason, code",
    [
        ("global-concurrency", "rate_limit"),
        ("resource-specific", "rate_limit"),
        (None, "lock_timeout"),
    ],
)
def test_429_fault_names_its_limiter_or_none(
    stripe_double: StripeDouble, client: Client, reason: str | None, code: str
) -> None:
    stripe_double.control.fault("status", status=429, reason=reason)
    answer = client.get("/v1/subscriptions")
    assert answer.status == 429
    assert answer.headers.get("Stripe-Rate-Limited-Reason") == reason
    assert answer.json()["error"]["code"] == code
    assert "Retry-After" not in answer.headers
    assert "Stripe-Should-Retry" not in answer.headers


@pytest.mark.parametrize("kind", ["reset", "half_body", "hang"])
def test_broken_answer_is_an_error_at_the_client(
    stripe_double: StripeDouble, client: Client, kind: FaultKind
) -> None:
    stripe_double.control.create_subscription()
    stripe_double.control.fault(kind, seconds=0.01)
    with pytest.raises(HTTPError):
        client.get("/v1/subscriptions")
    assert client.get("/v1/subscriptions").status == 200


def test_hang_ends_with_the_double() -> None:
    with ThreadPoolExecutor(1) as pool:
        with StripeDouble.start() as double:
            client = Client(double)
            double.control.fault("hang", seconds=600)
            waiting = pool.submit(client.get, "/v1/subscriptions")
            wait_until(lambda: bool(double.control.requests()))
        with pytest.raises(HTTPError):
            waiting.result(5)
        client.close()


def test_slow_body_comes_late_but_whole(stripe_double: StripeDouble, client: Client) -> None:
    stripe_double.control.create_subscription()
    stripe_double.control.fault("slow_body", seconds=0.2)
    began = time.monotonic()
    assert len(client.read("/v1/subscriptions")["data"]) == 1
    assert time.monotonic() - began > 0.15


@pytest.mark.parametrize("status, expected", [(500, 200), (502, 502)])
def test_html_may_come_instead_of_json(
    stripe_double: StripeDouble, client: Client, status: int, expected: int
) -> None:
    stripe_double.control.fault("html", status=status)
    answer = client.get("/v1/subscriptions")
    assert answer.status == expected
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.data.startswith(b"<html>")


def test_list_can_be_empty_or_cut_short(stripe_double: StripeDouble, client: Client) -> None:
    control = stripe_double.control
    control.seed(30)
    control.fault("empty_list", endpoint="subscriptions.list")
    control.fault("truncated_list", endpoint="subscriptions.list", keep=4)
    empty = client.read("/v1/subscriptions", status="all", limit=20)
    assert (empty["data"], empty["has_more"]) == ([], False)
    short = client.read("/v1/subscriptions", status="all", limit=20)
    assert (len(short["data"]), short["has_more"]) == (4, False)
    assert client.read("/v1/subscriptions", status="all", limit=20)["has_more"] is True


def test_fault_meets_only_what_it_is_set_for(stripe_double: StripeDouble, client: Client) -> None:
    control = stripe_double.control
    name = control.create_subscription()
    control.fault("status", endpoint="subscriptions.retrieve", count=2, skip=1)
    control.fault("status", path="/v1/customers", status=503)
    assert client.get("/v1/subscriptions").status == 200
    answers = [client.get(f"/v1/subscriptions/{name}") for _ in range(4)]
    assert statuses(answers) == [200, 500, 500, 200]
    assert client.get("/v1/customers").status == 503
    control.fault("status", count=None)
    assert statuses([client.get("/v1/events") for _ in range(3)]) == [500, 500, 500]
    control.clear_faults()
    assert client.get("/v1/events").status == 200


def test_fault_may_come_by_chance(stripe_double: StripeDouble, client: Client) -> None:
    stripe_double.control.fault("status", count=None, probability=0.5)
    seen = statuses([client.get("/v1/subscriptions") for _ in range(60)])
    assert 10 < seen.count(500) < 50


def test_latency_delays_every_answer(stripe_double: StripeDouble, client: Client) -> None:
    stripe_double.control.switch(latency=0.1)
    began = time.monotonic()
    client.get("/v1/subscriptions")
    assert time.monotonic() - began >= 0.1


# Lists that lag, grow and move


def test_list_lags_behind_its_objects(stripe_double: StripeDouble, client: Client) -> None:
    control = stripe_double.control
    control.switch(lag=10)
    old = control.create_subscription(metadata={"v": "1"})
    assert client.ids("/v1/subscriptions") == []
    control.advance(11)
    control.update_subscription(old, metadata={"v": "2"})
    new = control.create_subscription()

    page = client.read("/v1/subscriptions")["data"]

    assert [one["id"] for one in page] == [old]
    assert page[0]["metadata"] == {"v": "1"}
    assert client.read(f"/v1/subscriptions/{old}")["metadata"] == {"v": "2"}
    assert len(client.ids("/v1/customers")) == 1
    control.advance(11)
    page = client.read("/v1/subscriptions")["data"]
    assert [one["id"] for one in page] == [new, old]
    assert page[1]["metadata"] == {"v": "2"}


def test_items_and_events_lag_by_switches_of_their_own(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    name = control.create_subscription()
    control.advance(60)
    control.add_item(name)
    control.switch(lag_items=30, lag_events=30)
    assert len(client.ids("/v1/subscription_items", subscription=name)) == 1
    assert len(client.ids("/v1/events")) == 2
    control.advance(31)
    assert len(client.ids("/v1/subscription_items", subscription=name)) == 2
    assert len(client.ids("/v1/events")) == 3


def test_objects_appear_while_a_list_is_walked(stripe_double: StripeDouble, client: Client) -> None:
    control = stripe_double.control
    control.seed(20)
    control.switch(churn_on_list=True)
    seen = client.walk("/v1/subscriptions", status="all", limit=5)
    assert len(seen) == 21
    assert len(control.ids("subscription")) > 23


def test_hook_runs_inside_a_request(stripe_double: StripeDouble, client: Client) -> None:
    control = stripe_double.control
    name = control.create_subscription()
    control.hook(lambda: control.cancel(name), endpoint="subscriptions.retrieve", count=1)
    assert client.read(f"/v1/subscriptions/{name}")["status"] == "canceled"
    other = control.create_subscription()
    control.hook(
        lambda: control.cancel(other),
        when="after_read",
        endpoint="subscriptions.retrieve",
        count=1,
    )
    assert client.read(f"/v1/subscriptions/{other}")["status"] == "active"
    assert client.read(f"/v1/subscriptions/{other}")["status"] == "canceled"


# Holds


@pytest.mark.parametrize("when, expected", [("after_read", "active"), ("before_read", "canceled")])
def test_held_request_answers_with_the_state_of_when_it_read(
    stripe_double: StripeDouble,
    client: Client,
    pool: ThreadPoolExecutor,
    when: When,
    expected: str,
) -> None:
    control = stripe_double.control
    name = control.create_subscription()
    path = f"/v1/subscriptions/{name}"

    with control.hold(when, path=path) as hold:
        slow: Future[urllib3.BaseHTTPResponse] = pool.submit(client.get, path)
        hold.wait_reached()
        control.cancel(name)
        quick = client.get(path)
        assert quick.json()["status"] == "canceled"
        assert not slow.done()
        hold.release()
        assert slow.result(5).json()["status"] == expected


def test_hold_that_nobody_reaches_says_so(stripe_double: StripeDouble) -> None:
    with (
        stripe_double.control.hold() as hold,
        pytest.raises(TimeoutError, match="no request reached the hold"),
    ):
        hold.wait_reached(timeout=0.01)
    assert not hold.reached


def test_reset_releases_held_requests(
    stripe_double: StripeDouble, client: Client, pool: ThreadPoolExecutor
) -> None:
    hold = stripe_double.control.hold()
    waiting = pool.submit(client.get, "/v1/subscriptions")
    hold.wait_reached()
    stripe_double.reset()
    assert waiting.result(5).status == 200


# The wire


def test_connections_are_kept_and_many_are_served_at_once(
    stripe_double: StripeDouble, client: Client, pool: ThreadPoolExecutor
) -> None:
    stripe_double.control.seed(500)
    pages = [
        pool.submit(client.read, "/v1/subscriptions", status="all", limit=100) for _ in range(100)
    ]
    assert {len(page.result(10)["data"]) for page in pages} == {100}


def test_plain_bodies_are_sent_to_whoever_does_not_ask_for_gzip(
    stripe_double: StripeDouble,
) -> None:
    stripe_double.control.create_subscription()
    with urllib3.PoolManager() as pool:
        answer = pool.request(
            "GET",
            f"{stripe_double.url}/v1/subscriptions",
            headers=urllib3.make_headers(basic_auth="sk_test_double:"),
        )
    assert answer.status == 200
    assert "Content-Encoding" not in answer.headers
    assert answer.data.startswith(b'{\n  "object": "list",\n')


def test_nonsense_on_the_socket_closes_that_connection_only(
    stripe_double: StripeDouble, client: Client
) -> None:
    for nonsense in (b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", stripe_double.port), timeout=5) as opened:
            opened.sendall(nonsense)
            assert opened.recv(100) == b""
    assert client.get("/v1/subscriptions").status == 200


def test_changes_from_many_threads_are_all_kept(
    stripe_double: StripeDouble, client: Client, pool: ThreadPoolExecutor
) -> None:
    control = stripe_double.control
    name = control.create_subscription()
    for _ in pool.map(lambda _: control.add_item(name), range(100)):
        pass
    found = client.walk("/v1/subscription_items", subscription=name, limit=100)
    assert len(set(found)) == 101
    assert len(control.history(name)) == 101


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for a condition, with a limit."""
    pulse = threading.Event()
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "the condition never came true"
        pulse.wait(0.002)
