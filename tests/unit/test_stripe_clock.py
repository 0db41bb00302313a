"""No single answer moves Stripe's clock, and one that is really there is believed."""

import pytest

from shared.errors import StripeUnreadable
from shared.stripe.clock import StripeClock
from shared.truth import Interval

NOW = 1_795_000_000
FAR = 4_070_908_800  # 2099-01-01
DAY = 86_400


def clock(host: int = NOW) -> StripeClock:
    return StripeClock(lambda: host)


def believes(one: StripeClock, reading: int) -> bool:
    answered = Interval(reading, reading + 2)
    try:
        return one.read(answered, "/v1/customers") == answered
    except StripeUnreadable:
        return False


@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize("bad", [FAR, NOW + DAY - 9, NOW + 2 * DAY, NOW - 10**9])
def test_one_bad_answer_among_good_ones_never_changes_the_time(position: int, bad: int) -> None:
    good = [NOW + second for second in range(5)]
    one = clock()
    for reading in [*good[:position], bad, *good[position:]]:
        believes(one, reading)
    assert one.now in {NOW + 3, NOW + 4}


@pytest.mark.parametrize("position", range(5))
def test_answer_dated_far_ahead_is_refused(position: int) -> None:
    one = clock()
    for second in range(position):
        assert believes(one, NOW + second)
    with pytest.raises(
        StripeUnreadable, match="dated 2099-01-01 00:00:00 UTC, more than a day ahead"
    ):
        one.read(Interval(FAR, FAR + 2), "/v1/customers")
    assert believes(one, NOW + position)


def test_jump_of_stripes_clock_is_believed_at_the_second_answer() -> None:
    one = clock()
    assert believes(one, NOW)
    assert not believes(one, NOW + 40 * DAY)
    assert believes(one, NOW + 40 * DAY + 1)
    assert believes(one, NOW + 40 * DAY + 2)
    assert one.now == NOW + 40 * DAY + 1


def test_clock_that_is_years_behind_or_ahead_of_this_machine_is_followed() -> None:
    behind = clock(NOW + 5 * 365 * DAY)
    assert all(believes(behind, NOW + second) for second in range(3))
    assert behind.now == NOW + 1
    ahead = clock(NOW - 5 * 365 * DAY)
    assert [believes(ahead, NOW + second) for second in range(3)] == [False, True, True]
    assert ahead.now == NOW + 1


def test_time_is_not_known_before_the_second_answer() -> None:
    one = clock()
    assert one.now is None
    believes(one, NOW)
    assert one.now is None
    believes(one, NOW)
    assert one.now == NOW
