"""Windows cover the axis of creation exactly: nothing twice, nothing left out."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reconcile.windows.window import Window, joined, without

seconds = st.integers(0, 60)
windows = st.tuples(seconds, seconds).map(lambda pair: Window(min(pair), max(pair)))
ranges = st.lists(windows.map(lambda window: (window.gte, window.lt)), max_size=6)


def covered(parts: list[Window] | list[tuple[int, int]]) -> list[int]:
    """Every second of every part, repeated where parts overlap."""
    return sorted(second for gte, lt in parts for second in range(gte, lt))


@given(windows, ranges)
def test_rest_of_a_window_is_what_is_not_done(window: Window, done: list[tuple[int, int]]) -> None:
    rest = without(window, done)
    assert covered(rest) == sorted(set(range(*window)) - set(covered(done)))


@given(st.lists(windows.filter(lambda window: window.gte < window.lt), max_size=8))
def test_joined_ranges_are_few_and_cover_the_same(done: list[Window]) -> None:
    merged: list[tuple[int, int]] = []
    for window in done:
        merged = joined(merged, window)
    assert covered(merged) == sorted(set(covered(done)))
    assert all(one[1] < other[0] for one, other in pairwise(merged))
