"""What hangs lets few in, and everybody again with its first answer."""

import pytest

from shared.circuit import EVERY_SECONDS, Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(3, 2, clock=clock)


def fail(circuit: Circuit, times: int) -> None:
    for _ in range(times):
        assert circuit.enter()
        circuit.leave(answered=False)


def test_one_less_than_enough_shuts_nobody_out(circuit: Circuit) -> None:
    fail(circuit, 2)
    assert all(circuit.enter() for _ in range(50))


def test_enough_without_an_answer_let_one_in_a_second_and_few_at_once(
    circuit: Circuit, clock: Clock
) -> None:
    fail(circuit, 3)
    assert [circuit.enter() for _ in range(3)] == [True, False, False]
    clock.now += EVERY_SECONDS
    assert [circuit.enter() for _ in range(3)] == [True, False, False]
    clock.now += EVERY_SECONDS
    assert not circuit.enter()
    circuit.leave(answered=False)
    assert circuit.enter()


def test_first_answer_lets_everybody_in_again(circuit: Circuit) -> None:
    fail(circuit, 3)
    assert circuit.enter()
    assert not circuit.enter()
    circuit.leave(answered=True)
    assert all(circuit.enter() for _ in range(50))


def test_answer_between_them_begins_the_count_anew(circuit: Circuit) -> None:
    fail(circuit, 2)
    assert circuit.enter()
    circuit.leave(answered=True)
    fail(circuit, 2)
    assert all(circuit.enter() for _ in range(50))


def test_call_that_tells_nothing_changes_nothing(circuit: Circuit) -> None:
    fail(circuit, 2)
    assert circuit.enter()
    circuit.leave(answered=None)
    fail(circuit, 1)
    assert [circuit.enter(), circuit.enter()] == [True, False]
    circuit.leave(answered=None)
    assert not circuit.enter()
