"""Many threads ask the double through one limit, as fast as it lets them."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.stripe_double import StripeDouble
from shared.errors import Interrupted, StripeUnavailable
from shared.stripe.http import Patience, StripeHttp
from shared.stripe.rate_limit import RateLimit
from tests.builders import KEY, until

PATIENCE = Patience(attempts=20, read_seconds=5.0, first_pause=0.02, longest_pause=0.2)
THREADS = 16


def ask(http: StripeHttp, count: int) -> list[bool]:
    """Ask so often in all, from sixteen threads; after each, whether they wait for the limit."""

    def once(_: int) -> bool:
        http.get("/v1/subscriptions", {"limit": 1})
        return http.saturated("/v1/subscriptions")

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(once, range(count)))


def refusals(double: StripeDouble) -> int:
    found = sum(line.status == 429 for line in double.control.requests())
    double.control.clear_requests()
    return found


def test_threads_that_keep_to_the_limit_are_never_refused(stripe_double: StripeDouble) -> None:
    stripe_double.control.switch(rate_limits=True, endpoint_rate=200, sandbox_rate=200)
    http = StripeHttp(stripe_double.url, KEY, patience=PATIENCE, limit=RateLimit(160, 160))
    saturated = ask(http, 240)
    assert http.requests == len(stripe_double.control.requests()) == 240
    assert refusals(stripe_double) == 0
    assert any(saturated)
    http.close()


@pytest.mark.parametrize(
    "lower, back, requests",
    [
        ({"sandbox_rate": 60}, {"sandbox_rate": 1000}, 110),
        ({"endpoint_concurrency": 4, "latency": 0.02}, {"endpoint_concurrency": None}, 60),
    ],
    ids=["global-rate", "endpoint-concurrency"],
)
def test_lower_limit_of_stripes_costs_few_refusals_and_no_request(
    stripe_double: StripeDouble,
    lower: dict[str, float],
    back: dict[str, float | None],
    requests: int,
) -> None:
    control = stripe_double.control
    rates = {"endpoint_rate": 1000, "sandbox_rate": 1000}
    control.switch(rate_limits=True, **(rates | lower))
    http = StripeHttp(stripe_double.url, KEY, patience=PATIENCE, limit=RateLimit(400, 400))
    ask(http, requests)
    assert http.requests == len(control.requests())
    assert refusals(stripe_double) < 0.4 * requests
    control.switch(latency=0, **back)
    ask(http, 40)
    assert refusals(stripe_double) == 0
    http.close()


def test_refused_request_waits_out_of_the_line(
    stripe_double: StripeDouble, caplog: pytest.LogCaptureFixture
) -> None:
    """While one is told to wait for a minute, another goes at once, even one at a time."""
    stripe_double.control.fault("status", status=429, reason="endpoint-concurrency", retry_after=60)
    caplog.set_level(logging.INFO)
    stop = threading.Event()
    limit = RateLimit(100, 100)
    http = StripeHttp(stripe_double.url, KEY, patience=PATIENCE, limit=limit, stop=stop)
    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(http.get, "/v1/subscriptions")
        until(lambda: "stripe.retried" in caplog.text, "it is told to wait")
        assert http.get("/v1/subscriptions").body
        stop.set()
        stopped = refused.exception(5)
    assert isinstance(stopped, Interrupted)
    assert "next" not in str(stopped), "who knows of a next run says it"
    assert http.requests == 2
    http.close()


def test_request_that_has_no_turn_before_its_deadline_is_given_up(
    stripe_double: StripeDouble,
) -> None:
    limit = RateLimit(0.01, 0.01)
    http = StripeHttp(stripe_double.url, KEY, patience=PATIENCE, limit=limit)
    http.get("/v1/subscriptions")
    with pytest.raises(StripeUnavailable, match="left within the time allowed"):
        http.get("/v1/subscriptions", deadline=time.monotonic() + 5)
    assert http.requests == 1
    http.close()
