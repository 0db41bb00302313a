"""One line of a terminal says how far a run is, whatever its width and its characters."""

from typing import Any

import pytest

from reconcile.progress import Facts, bar, duration, line


def facts(**given: Any) -> Facts:
    return Facts(
        **{
            "phase": "comparing",
            "done": 610_000,
            "planned": 1_000_000,
            "drift": 1_203,
            "requests": 6_100,
            "rate": 2450.4,
            "request_rate": 24.96,
            "seconds_left": 159.2,
            **given,
        }
    )


def test_wide_line_says_all_of_it() -> None:
    assert line(facts(), 140, is_unicode=True) == (
        "comparing   61 %  ▕██████████████▋         ▏  610,000 of 1,000,000  2,450/s"
        "  25.0 requests/s  2:39 left  drift 1,203"
    )
    assert line(facts(drift=0), 140, is_unicode=False) == (
        "comparing   61 %  [##############          ]  610,000 of 1,000,000  2,450/s"
        "  25.0 requests/s  2:39 left  no drift"
    )


@pytest.mark.parametrize("is_unicode", [True, False])
def test_line_never_exceeds_the_width_and_keeps_the_weightiest_part(is_unicode: bool) -> None:
    for width in range(1, 160):
        told = line(facts(), width, is_unicode=is_unicode)
        assert len(told) <= width
        assert told.startswith("comparing"[:width])
        assert is_unicode or told.isascii()
    assert line(facts(), 32, is_unicode=True) == "comparing   61 %  2:39 left"
    assert "drift 1,203" in line(facts(), 44, is_unicode=True)


def test_line_of_a_first_run_has_neither_share_nor_bar_nor_time() -> None:
    first = facts(planned=None, seconds_left=None)
    assert line(first, 100, is_unicode=True) == (
        "comparing  610,000  2,450/s  25.0 requests/s  drift 1,203"
    )


def test_line_before_anything_is_known_says_what_is_planned() -> None:
    begun = facts(done=0, rate=None, request_rate=None, seconds_left=None, drift=0)
    assert line(begun, 56, is_unicode=False) == (
        "comparing    0 %  [          ]  0 of 1,000,000  no drift"
    )


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999, 1.0])
def test_bar_is_as_wide_as_it_says(share: float) -> None:
    for width in (8, 9, 24):
        for is_unicode in (True, False):
            assert len(bar(share, width, is_unicode=is_unicode)) == width + 2
    assert bar(1.0, 8, is_unicode=True) == "▕████████▏"
    assert bar(0.0, 8, is_unicode=True) == "▕        ▏"


def test_share_of_more_than_was_planned_or_of_nothing_is_all_of_it() -> None:
    assert facts(planned=10, done=12).share == 1.0
    assert facts(planned=0, done=0).share == 1.0
    assert facts(planned=None).share is None


@pytest.mark.parametrize(
    "seconds, told", [(0.4, "0:00"), (7, "0:07"), (159.2, "2:39"), (3723, "1:02:03")]
)
def test_duration_is_told_as_a_clock_does(seconds: float, told: str) -> None:
    assert duration(seconds) == told
