"""Our own limit on requests, with a clock that is passed in."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from shared.rate_limit import RateLimit


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_first_request_goes_at_once_and_the_next_wait_their_turn() -> None:
    limit = RateLimit(10, 5, clock=Clock())
    assert [round(limit.reserve("a"), 6) for _ in range(4)] == [0.0, 0.2, 0.4, 0.6]


def test_endpoints_share_the_limit_on_all() -> None:
    limit = RateLimit(10, 5, clock=Clock())
    assert [round(limit.reserve(name), 6) for name in "abcd"] == [0.0, 0.1, 0.2, 0.3]


def test_idle_time_is_not_saved_up() -> None:
    clock = Clock()
    limit = RateLimit(10, 5, clock=clock)
    limit.reserve("a")
    clock.now += 60
    assert [round(limit.reserve("a"), 6) for _ in range(2)] == [0.0, 0.2]


def test_limit_of_a_mode_keeps_below_stripes() -> None:
    for livemode, whole in ((True, 100), (False, 25)):
        limit = RateLimit.for_mode(livemode=livemode)
        for _ in range(50):
            limit.reserve("a")
        assert limit.reserve("a") > 50 / 25
        every = RateLimit.for_mode(livemode=livemode)
        for number in range(200):
            every.reserve(f"endpoint {number}")
        assert every.reserve("one more") > 200 / whole


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.5)), min_size=1, max_size=60))
def test_no_second_holds_more_than_is_allowed(requests: list[tuple[str, float]]) -> None:
    clock = Clock()
    limit = RateLimit(10, 4, clock=clock)
    sent: list[tuple[float, str]] = []
    for endpoint, pause in requests:
        sent.append((clock.now + limit.reserve(endpoint), endpoint))
        clock.now += pause
    for start, _ in sent:
        window = [name for moment, name in sent if start <= moment < start + 1 - 1e-6]
        assert len(window) <= 10
        assert all(window.count(name) <= 4 for name in "abc")


def test_threads_never_get_one_slot_twice() -> None:
    limit = RateLimit(10, 10, clock=Clock())
    slots: list[float] = []

    def take() -> None:
        slots.extend(limit.reserve("a") for _ in range(50))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({round(slot, 6) for slot in slots}) == 400
