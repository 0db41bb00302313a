"""What hangs lets few in, and everybody again with its first answer."""

import pytest

from shared.circuit_breaker import EVERY_SECONDS, CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(3, 2, clock=clock)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        assert breaker.enter()
        breaker.leave(answered=False)


def test_one_less_than_enough_shuts_nobody_out(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert all(breaker.enter() for _ in range(50))


def test_enough_without_an_answer_let_one_in_a_second_and_few_at_once(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, 3)
    assert [breaker.enter() for _ in range(3)] == [True, False, False]
    clock.now += EVERY_SECONDS
    assert [breaker.enter() for _ in range(3)] == [True, False, False]
    clock.now += EVERY_SECONDS
    assert not breaker.enter()
    breaker.leave(answered=False)
    assert breaker.enter()


def test_first_answer_lets_everybody_in_again(breaker: CircuitBreaker) -> None:
    fail(breaker, 3)
    assert breaker.enter()
    assert not breaker.enter()
    breaker.leave(answered=True)
    assert all(breaker.enter() for _ in range(50))


def test_answer_between_them_begins_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert breaker.enter()
    breaker.leave(answered=True)
    fail(breaker, 2)
    assert all(breaker.enter() for _ in range(50))


def test_call_that_tells_nothing_changes_nothing(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert breaker.enter()
    breaker.leave(answered=None)
    fail(breaker, 1)
    assert [breaker.enter(), breaker.enter()] == [True, False]
    breaker.leave(answered=None)
    assert not breaker.enter()
