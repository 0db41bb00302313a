"""Windows cover the axis of creation exactly: nothing twice, nothing left out."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reconcile.windows import Window, compared_at, joined, plan, without
from shared.repository.runs import Range

seconds = st.integers(0, 60)
windows = st.tuples(seconds, seconds).map(lambda pair: Window(min(pair), max(pair)))
ranges = st.lists(windows.map(lambda window: Range(*window)), max_size=6)


def covered(parts: list[Window] | list[Range]) -> list[int]:
    """Every second of every part, repeated where parts overlap."""
    return sorted(second for part in parts for second in range(part[0], part[1]))


@given(seconds, st.lists(st.integers(-10, 80), max_size=8), ranges)
def test_plan_covers_exactly_what_is_not_done(
    end: int, boundaries: list[int], done: list[Range]
) -> None:
    planned = plan(end, boundaries, done)
    assert covered(planned) == sorted(set(range(end)) - set(covered(done)))
    assert planned == sorted(planned)
    assert all(window.gte < window.lt for window in planned)


@given(seconds, st.lists(seconds, max_size=8))
def test_plan_cuts_at_every_boundary(end: int, boundaries: list[int]) -> None:
    planned = plan(end, boundaries, [])
    assert {window.gte for window in planned[1:]} == {cut for cut in boundaries if 0 < cut < end}


@given(windows, ranges)
def test_rest_of_a_window_is_what_is_not_done(window: Window, done: list[Range]) -> None:
    rest = without(window, done)
    assert covered(rest) == sorted(set(range(*window)) - set(covered(done)))


@given(st.lists(windows.filter(lambda window: window.gte < window.lt), max_size=8))
def test_joined_ranges_are_few_and_cover_the_same(done: list[Window]) -> None:
    merged: list[Range] = []
    for window in done:
        merged = joined(merged, window, 7)
    assert covered(merged) == sorted(set(covered(done)))
    assert all(one.stop < other.start for one, other in pairwise(merged))


@given(st.lists(st.tuples(windows, st.integers(1, 3)), max_size=8), seconds)
def test_second_counts_as_compared_when_the_latest_run_that_compared_it_began(
    done: list[tuple[Window, int]], second: int
) -> None:
    merged: list[Range] = []
    for window, began in done:
        merged = joined(merged, window, began)
    runs = [began for window, began in done if window.gte <= second < window.lt]
    assert compared_at(merged, second) == max(runs, default=None)
    assert compared_at(merged, None) is None


def test_empty_axis_has_no_window() -> None:
    assert plan(0, [5], []) == []
