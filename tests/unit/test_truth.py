"""The rule of truth, branch by branch, at its exact boundaries."""

from typing import Any

import pytest

from shared import truth
from shared.truth import LIST_LAG, Interval, Verdict, after_answer, after_event, decide, speaks_for

HELD = Interval(100, 110)
LEFT = Interval(95, 100)
INTO_THE_BEGINNING = Interval(95, 101)
INSIDE = Interval(104, 105)
AROUND = Interval(90, 120)
INTO_THE_END = Interval(109, 110)
RIGHT = Interval(110, 111)
OVERLAPPING = (INTO_THE_BEGINNING, INSIDE, AROUND, INTO_THE_END)


def rule(
    incoming: Interval,
    *,
    held: Interval | None = HELD,
    equal: bool = False,
    held_is_terminal: bool = False,
    incoming_is_terminal: bool = False,
    compared: int | None = None,
) -> Verdict:
    return decide(
        held,
        incoming,
        equal=equal,
        held_is_terminal=held_is_terminal,
        incoming_is_terminal=incoming_is_terminal,
        compared=compared,
    )


def test_event_is_true_within_its_second() -> None:
    assert truth.of_event(1_790_000_000, is_creation=False) == (1_790_000_000, 1_790_000_001)


def test_creation_ends_where_its_second_begins() -> None:
    assert truth.of_event(1_790_000_000, is_creation=True) == (1_789_999_999, 1_790_000_000)


def test_update_in_the_second_of_the_creation_replaces_it_without_a_question() -> None:
    """Trap 1: two events of one second; a strict guard on times drops the later one for good."""
    created = truth.of_event(1_790_000_000, is_creation=True)
    updated = truth.of_event(1_790_000_000, is_creation=False)
    assert rule(updated, held=created) is Verdict.REPLACE
    assert rule(created, held=updated) is Verdict.STALE


def test_page_reaches_back_as_far_as_a_list_may_lag() -> None:
    assert truth.of_page(Interval(10_000, 10_002)) == (10_000 - LIST_LAG, 10_002)


def test_page_speaks_for_a_row_that_ended_ten_minutes_before_it_was_asked() -> None:
    page = truth.of_page(Interval(10_000, 10_002))
    assert speaks_for(page, Interval(9_300, 9_400))
    assert not speaks_for(page, Interval(9_300, 9_401))


@pytest.mark.parametrize(
    "held, expected",
    [
        (Interval(8_000, 8_001), True),
        (Interval(9_399, 9_400), True),
        (Interval(9_399, 9_401), False),
        (Interval(9_400, 10_002), False),
        (Interval(10_001, 10_003), False),
        (Interval(10_002, 10_003), False),
    ],
)
def test_page_speaks_for_no_row_that_may_be_as_young(held: Interval, *, expected: bool) -> None:
    assert speaks_for(truth.of_page(Interval(10_000, 10_002)), held) is expected


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("is_terminal", [False, True])
def test_event_without_a_row_is_applied(*, equal: bool, is_terminal: bool) -> None:
    verdict = rule(INSIDE, held=None, equal=equal, incoming_is_terminal=is_terminal)
    assert verdict is Verdict.REPLACE


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("held_is_terminal", [False, True])
@pytest.mark.parametrize("incoming_is_terminal", [False, True])
def test_event_strictly_left_is_stale_whatever_it_says(
    *, equal: bool, held_is_terminal: bool, incoming_is_terminal: bool
) -> None:
    verdict = rule(
        LEFT,
        equal=equal,
        held_is_terminal=held_is_terminal,
        incoming_is_terminal=incoming_is_terminal,
    )
    assert verdict is Verdict.STALE


@pytest.mark.parametrize("held_is_terminal", [False, True])
@pytest.mark.parametrize("incoming_is_terminal", [False, True])
def test_event_strictly_right_replaces_but_reopens_nothing_without_a_question(
    *, held_is_terminal: bool, incoming_is_terminal: bool
) -> None:
    verdict = rule(
        RIGHT, held_is_terminal=held_is_terminal, incoming_is_terminal=incoming_is_terminal
    )
    reopens = held_is_terminal and not incoming_is_terminal
    assert verdict is (Verdict.ASK if reopens else Verdict.REPLACE)


@pytest.mark.parametrize("incoming", [*OVERLAPPING, RIGHT])
@pytest.mark.parametrize("is_terminal", [False, True])
def test_equal_event_confirms_unless_it_is_older(incoming: Interval, *, is_terminal: bool) -> None:
    verdict = rule(
        incoming, equal=True, held_is_terminal=is_terminal, incoming_is_terminal=is_terminal
    )
    assert verdict is Verdict.CONFIRM


@pytest.mark.parametrize("incoming", OVERLAPPING)
@pytest.mark.parametrize("is_terminal", [False, True])
def test_overlapping_event_of_the_same_finality_is_asked_for(
    incoming: Interval, *, is_terminal: bool
) -> None:
    verdict = rule(incoming, held_is_terminal=is_terminal, incoming_is_terminal=is_terminal)
    assert verdict is Verdict.ASK


@pytest.mark.parametrize("incoming", OVERLAPPING)
def test_terminal_state_beats_an_overlapping_other_without_a_question(incoming: Interval) -> None:
    assert rule(incoming, incoming_is_terminal=True) is Verdict.REPLACE
    assert rule(incoming, held_is_terminal=True) is Verdict.STALE


def test_row_takes_the_interval_of_an_event_strictly_right() -> None:
    assert after_event(None, INSIDE) == INSIDE
    assert after_event(HELD, RIGHT) == RIGHT


@pytest.mark.parametrize(
    "incoming, expected",
    [
        (INTO_THE_BEGINNING, Interval(95, 110)),
        (INSIDE, HELD),
        (AROUND, AROUND),
        (Interval(109, 111), Interval(100, 111)),
    ],
)
def test_row_covers_both_intervals_after_an_overlapping_event(
    incoming: Interval, expected: Interval
) -> None:
    assert after_event(HELD, incoming) == expected


@pytest.mark.parametrize(
    "held, answer, expected",
    [
        (None, Interval(200, 203), Interval(200, 203)),
        (HELD, Interval(200, 203), Interval(200, 203)),
        (HELD, Interval(99, 110), Interval(99, 110)),
        (HELD, Interval(99, 109), Interval(99, 110)),
        (HELD, Interval(104, 111), Interval(104, 111)),
    ],
)
def test_row_begins_with_the_answer_and_never_ends_earlier(
    held: Interval | None, answer: Interval, expected: Interval
) -> None:
    assert after_answer(held, answer) == expected


@pytest.mark.parametrize("compared, asks", [(None, False), (110, False), (111, True), (999, True)])
@pytest.mark.parametrize("held", [None, HELD, LEFT])
def test_event_that_ended_before_a_comparison_began_is_asked_for(
    compared: int | None, held: Interval | None, *, asks: bool
) -> None:
    """Rule 5: the row may have been found equal to what came after the event."""
    verdict = rule(RIGHT, held=held, compared=compared)
    assert verdict is (Verdict.ASK if asks else Verdict.REPLACE)


@pytest.mark.parametrize("incoming", [LEFT, *OVERLAPPING, RIGHT])
@pytest.mark.parametrize("held_is_terminal", [False, True])
@pytest.mark.parametrize("incoming_is_terminal", [False, True])
@pytest.mark.parametrize("equal", [False, True])
def test_event_of_before_a_comparison_never_replaces_and_is_else_decided_as_ever(
    incoming: Interval, *, held_is_terminal: bool, incoming_is_terminal: bool, equal: bool
) -> None:
    facts: Any = {
        "equal": equal,
        "held_is_terminal": held_is_terminal,
        "incoming_is_terminal": incoming_is_terminal,
    }
    before = rule(incoming, **facts)
    verdict = rule(incoming, **facts, compared=1_000)
    assert verdict is (Verdict.ASK if before is Verdict.REPLACE else before)


@pytest.mark.parametrize(
    "held, compared, nothing_new",
    [
        (None, 10_000, False),
        (Interval(111, 112), None, True),
        (RIGHT, None, False),
        (HELD, None, False),
        (HELD, 110 + LIST_LAG, False),
        (HELD, 111 + LIST_LAG, True),
    ],
)
def test_missed_event_tells_nothing_new_where_its_row_is_known_to_be_later(
    held: Interval | None, compared: int | None, *, nothing_new: bool
) -> None:
    """A list that was asked for at `compared` may lag by ten minutes."""
    assert truth.tells_nothing_new(held, RIGHT, compared) is nothing_new
