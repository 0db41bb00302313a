"""Our own limit on requests: threads and Stripe are played, on a clock that is passed in."""

import contextlib
import heapq
import threading
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.stripe.rate_limit import RateLimit


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bucket:
    """Stripe's limiter: tokens that flow back at `rate` a second, at most a second's worth."""

    rate: float
    reason: str | None = "endpoint-rate"
    tokens: float = field(init=False)
    then: float = 100.0

    def __post_init__(self) -> None:
        self.tokens = self.rate

    def refuses(self, now: float) -> bool:
        self.tokens = min(self.rate, self.tokens + (now - self.then) * self.rate)
        self.then = now
        if self.tokens < 1:
            return True
        self.tokens -= 1
        return False


@dataclass
class Play:
    """Threads that ask again as soon as they are answered; `late`: how late they wake up."""

    limit: RateLimit
    clock: Clock
    stripe: Callable[["Play", float], str | None] = lambda _play, _now: "fine"
    latency: float = 0.5
    late: Callable[[int], float] = lambda _number: 0.0
    sent: list[tuple[float, str, int]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    running: int = 0
    most: int = 0

    def run(self, threads: dict[str, int], seconds: float) -> "Play":
        names = [name for name, count in threads.items() for _ in range(count)]
        workers = [self._work(name, number) for number, name in enumerate(names)]
        due = [(self.clock.now, number) for number in range(len(workers))]
        end = self.clock.now + seconds
        while due and due[0][0] < end:
            self.clock.now, number = heapq.heappop(due)
            heapq.heappush(due, (self.clock.now + next(workers[number]), number))
        self.clock.now = end
        for worker in workers:
            worker.close()
        self.running = 0
        return self

    def _work(self, endpoint: str, number: int) -> Generator[float, None, None]:
        while True:
            with self.limit.turn(endpoint) as turn:
                while (wait := turn.wait()) > 0:
                    yield min(wait, 0.5) + self.late(len(self.sent))
                self.sent.append((self.clock.now, endpoint, number))
                reason = self.stripe(self, self.clock.now)
                if reason != "fine":
                    self.refused.append(self.clock.now)
                    yield 0.1
                    turn.refused(reason)
                    continue
                self.running += 1
                self.most = max(self.most, self.running)
                yield self.latency
                self.running -= 1


def limiting(bucket: Bucket) -> Callable[[Play, float], str | None]:
    return lambda _play, now: bucket.reason if bucket.refuses(now) else "fine"


def per_second(play: Play) -> dict[str, float]:
    begin, end = play.sent[0][0], play.clock.now
    counted = Counter(endpoint for _, endpoint, _ in play.sent)
    return {endpoint: count / (end - begin) for endpoint, count in counted.items()}


def waits(limit: RateLimit, *endpoints: str) -> list[float]:
    return [round(limit.turn(name).wait(), 6) for name in endpoints]


def test_first_request_goes_at_once_and_the_next_wait_their_turn() -> None:
    limit = RateLimit(10, 5, clock=Clock())
    assert waits(limit, "a", "a", "a", "a") == [0.0, 0.2, 0.4, 0.6]


def test_idle_time_is_not_saved_up() -> None:
    clock = Clock()
    limit = RateLimit(10, 5, clock=clock)
    waits(limit, "a")
    clock.now += 60
    assert waits(limit, "a", "a") == [0.0, 0.2]


def test_request_that_waits_for_its_endpoint_holds_up_no_other_endpoint() -> None:
    limit = RateLimit(10, 1, clock=Clock())
    assert waits(limit, "a", "a", "a", "b") == [0.0, 1.0, 2.0, 0.1]


@pytest.mark.parametrize(
    "livemode, in_all, per_endpoint, whole, each",
    [(True, None, 25, 100, 25), (False, None, 25, 25, 25), (True, 400, 50, 400, 50)],
)
def test_limit_of_a_mode_keeps_a_little_below_stripes(
    livemode: bool, in_all: int | None, per_endpoint: int, whole: int, each: int
) -> None:
    def made() -> RateLimit:
        return RateLimit.for_mode(
            livemode=livemode, in_all=in_all, per_endpoint=per_endpoint, clock=Clock()
        )

    assert 100 / each < waits(made(), *["a"] * 101)[-1] < 103 / each
    assert 1 / whole < waits(made(), "a", "b")[-1] < 1.03 / whole


@pytest.mark.parametrize("whole, endpoints, each", [(98, "ab", 24.5), (24.5, "ab", 12.25)])
def test_endpoints_listed_at_once_share_the_whole_limit_fairly(
    whole: float, endpoints: str, each: float
) -> None:
    clock = Clock()
    play = Play(RateLimit(whole, 24.5, clock=clock), clock).run(dict.fromkeys(endpoints, 16), 40)
    assert per_second(play) == pytest.approx(dict.fromkeys(endpoints, each), rel=0.02)


def test_single_request_is_not_starved_by_an_endpoint_with_many_threads() -> None:
    clock = Clock()
    play = Play(RateLimit(24.5, 24.5, clock=clock), clock).run({"list": 20, "get": 1}, 40)
    assert per_second(play)["get"] > 1.6
    assert sum(per_second(play).values()) == pytest.approx(24.5, rel=0.02)


def test_threads_get_equal_shares_in_the_order_in_which_they_came() -> None:
    clock = Clock()
    play = Play(RateLimit(24.5, 24.5, clock=clock), clock).run({"a": 24}, 40)
    counted = Counter(number for _, _, number in play.sent)
    assert max(counted.values()) - min(counted.values()) <= 1


def test_threads_that_wake_up_late_lose_no_slot() -> None:
    clock = Clock()
    play = Play(RateLimit(98, 24.5, clock=clock), clock, late=lambda n: (n * 7 % 9) / 100)
    assert per_second(play.run({"a": 20}, 40))["a"] == pytest.approx(24.5, rel=0.02)


def test_standstill_of_all_threads_is_not_made_up_for() -> None:
    clock = Clock()
    play = Play(RateLimit(98, 24.5, clock=clock), clock)
    play.late = lambda number: 5.0 if 200 <= number < 224 else 0.0
    play.run({"a": 24}, 40)
    for start, _, _ in play.sent:
        assert sum(start <= moment < start + 1 for moment, _, _ in play.sent) <= 24.5 + 3


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.5)), min_size=1, max_size=60))
def test_no_second_holds_more_than_is_allowed(requests: list[tuple[str, float]]) -> None:
    clock = Clock()
    limit = RateLimit(10, 4, clock=clock)
    sent: list[tuple[float, str]] = []
    for endpoint, pause in requests:
        with limit.turn(endpoint) as turn:
            while (wait := turn.wait()) > 0:
                clock.now += wait
        sent.append((clock.now, endpoint))
        clock.now += pause
    for start, _ in sent:
        window = [name for moment, name in sent if start <= moment < start + 1 - 1e-6]
        assert len(window) <= 10
        assert all(window.count(name) <= 4 for name in "abc")


def test_thread_that_is_stopped_while_it_waits_gives_its_place_back() -> None:
    limit = RateLimit(10, 10, clock=Clock())
    waits(limit, "a")
    with contextlib.suppress(KeyboardInterrupt), limit.turn("a") as stopped:
        behind = limit.turn("a")
        assert [round(turn.wait(), 6) for turn in (stopped, behind)] == [0.1, 0.2]
        raise KeyboardInterrupt
    assert round(behind.wait(), 6) == 0.1


@pytest.mark.parametrize(
    "reason, own, other",
    [
        ("endpoint-rate", 0.7, 1.0),
        ("global-rate", 0.7, 0.7),
        (None, 0.7, 1.0),
        ("a-new-one", 0.7, 1.0),
        ("resource-specific", 1.0, 1.0),
    ],
)
def test_refusal_slows_down_what_it_names(reason: str | None, own: float, other: float) -> None:
    for endpoint, share in (("a", own), ("b", other)):
        clock = Clock()
        play = Play(RateLimit(10, 10, clock=clock), clock).run({"a": 10}, 10)
        play.stripe = lambda played, _now: "fine" if played.refused else reason
        play.run({"a": 10}, 0.5)
        assert len(play.refused) == 1
        play.sent.clear()
        rate = per_second(play.run({endpoint: 10}, 4))[endpoint]
        assert rate == pytest.approx(10 * (share + 1) / 2, rel=0.1), endpoint


def test_refusals_of_one_moment_count_once() -> None:
    clock = Clock()
    play = Play(RateLimit(1000, 1000, clock=clock), clock).run({"a": 20}, 0.4)
    assert len(play.sent) == 20
    turns = [play.limit.turn("a") for _ in range(20)]
    for turn in turns:
        while (wait := turn.wait()) > 0:
            clock.now += wait
    clock.now += 0.5
    assert [turn.refused("endpoint-rate") for turn in turns] == [True] + [False] * 19


def test_lasting_refusal_leaves_a_request_a_second_and_full_speed_comes_back() -> None:
    clock = Clock()
    play = Play(RateLimit(98, 24.5, clock=clock), clock, stripe=lambda _play, _now: "endpoint-rate")
    play.run({"a": 16}, 60)
    assert 0.5 < sum(moment > 140 for moment, _, _ in play.sent) / 20 < 4
    play.stripe = lambda _play, _now: "fine"
    play.run({"a": 16}, 30)
    play.sent.clear()
    assert per_second(play.run({"a": 16}, 20))["a"] == pytest.approx(24.5, rel=0.02)


@pytest.mark.parametrize("reason", ["endpoint-rate", "global-rate", None])
@pytest.mark.parametrize("theirs", [10, 18])
def test_lower_limit_of_stripes_is_found_with_few_refusals(reason: str | None, theirs: int) -> None:
    clock = Clock()
    stripe = limiting(Bucket(theirs, reason))
    play = Play(RateLimit(98, 24.5, clock=clock), clock, stripe=stripe)
    play.run({"a": 16}, 60)
    assert len(play.refused) < 0.12 * len(play.sent)
    assert len(play.sent) - len(play.refused) > 0.8 * theirs * 60


@pytest.mark.parametrize("reason", ["endpoint-concurrency", "global-concurrency"])
def test_lower_number_at_once_is_found_and_forgotten(reason: str) -> None:
    clock = Clock()
    play = Play(RateLimit(98, 98, clock=clock), clock)
    play.stripe = lambda played, _now: reason if played.running >= 8 else "fine"
    play.run({"a": 24}, 60)
    assert len(play.refused) < 0.12 * len(play.sent)
    assert (len(play.sent) - len(play.refused)) / 60 > 0.6 * 8 / play.latency
    play.stripe = lambda _play, _now: "fine"
    play.run({"a": 24}, 30)
    play.most = 0
    assert play.run({"a": 24}, 10).most == 24


def test_refused_one_by_one_still_one_request_goes_at_a_time() -> None:
    clock = Clock()
    play = Play(RateLimit(98, 98, clock=clock), clock, stripe=lambda _p, _n: "global-concurrency")
    play.run({"a": 12, "b": 12}, 60)
    play.sent.clear()
    play.run({"a": 12, "b": 12}, 10)
    assert set(per_second(play)) == {"a", "b"}
    moments = [moment for moment, _, _ in play.sent]
    assert all(later - sooner >= 0.1 for sooner, later in pairwise(moments))


def test_limit_is_saturated_while_it_is_what_requests_wait_for() -> None:
    clock = Clock()
    limit = RateLimit(98, 24.5, clock=clock)
    assert not limit.saturated("a")
    assert not Play(limit, clock).run({"a": 8, "b": 20}, 5).limit.saturated("a")
    assert limit.saturated("b")
    assert Play(limit, clock).run({"a": 14}, 5).limit.saturated("a")
    clock.now += 1
    assert not limit.saturated("a")


def test_limit_is_saturated_while_requests_wait_for_others_to_come_back() -> None:
    clock = Clock()
    play = Play(RateLimit(98, 98, clock=clock), clock, latency=2.0)
    play.stripe = lambda played, _now: "endpoint-concurrency" if played.running >= 8 else "fine"
    assert play.run({"a": 12}, 5).limit.saturated("a")


def test_real_threads_get_their_own_slots_and_all_come_back() -> None:
    clock = Clock()
    limit = RateLimit(10_000, 10_000, clock=clock)
    moving = threading.Lock()
    taken: list[float] = []

    def take() -> None:
        for _ in range(50):
            with limit.turn("a") as turn:
                while (wait := turn.wait()) > 0:
                    with moving:
                        clock.now += wait
                taken.append(clock.now)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(taken) == 400
    assert limit.whole.in_flight.count == 0
