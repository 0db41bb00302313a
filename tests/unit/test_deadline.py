"""What stops a run: its deadline, and a signal."""

import threading
import time

import pytest

from reconcile.deadline import Deadline
from shared.errors import DeadlineReached, Interrupted
from shared.stripe.http import RUN_PATIENCE, StripeHttp


def test_what_a_signal_stops_asks_nothing_and_promises_nothing_of_the_next_run() -> None:
    """A report, a replay and one subscription have none that goes on; who knows, says it."""
    stop = threading.Event()
    stop.set()
    http = StripeHttp("http://127.0.0.1:9", "sk_test_x", patience=RUN_PATIENCE, stop=stop)
    with pytest.raises(Interrupted, match="stopped by a signal") as ended:
        http.get("/v1/customers")
    http.close()
    assert http.requests == 0
    assert "next" not in str(ended.value)


def test_signal_comes_before_the_deadline_where_both_have_come() -> None:
    stop = threading.Event()
    deadline = Deadline(stop, time.monotonic())
    with pytest.raises(DeadlineReached, match="the deadline came after 3 of 4 windows"):
        deadline.require("3 of 4 windows")
    stop.set()
    with pytest.raises(Interrupted, match="stopped by a signal after 3 of 4 windows"):
        deadline.require("3 of 4 windows")


def test_pause_ends_with_the_deadline() -> None:
    began = time.monotonic()
    Deadline(threading.Event(), began + 0.6).wait(30.0)
    assert time.monotonic() - began < 10.0
