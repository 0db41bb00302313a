"""Windows are handed out, divided and handed back so that every second is walked exactly once."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reconcile.frontier import STRIPE_BEGAN, Frontier, Span
from reconcile.windows import Window

MANY = 100


def take(frontier: Frontier) -> Span:
    span = frontier.take()
    assert span is not None
    return span


def test_windows_are_handed_out_oldest_first() -> None:
    frontier = Frontier([Window(0, 10), Window(10, 20)])
    assert [(span.gte, span.lt) for span in (take(frontier), take(frontier))] == [(0, 10), (10, 20)]
    assert frontier.take() is None


def test_what_was_not_covered_is_handed_out_again() -> None:
    frontier = Frontier([Window(0, 100)])
    frontier.done(take(frontier), Window(60, 100))
    again = take(frontier)
    assert (again.gte, again.lt) == (0, 60)


def test_nothing_is_divided_before_its_first_page() -> None:
    frontier = Frontier([Window(0, 10**6)])
    take(frontier)
    assert frontier.take() is None


def test_planned_window_is_divided_before_its_first_page_and_only_once() -> None:
    frontier = Frontier([Window(STRIPE_BEGAN, STRIPE_BEGAN + 1000)], expected=495)
    take(frontier)
    thief = take(frontier)
    assert (thief.gte, thief.lt) == (STRIPE_BEGAN, STRIPE_BEGAN + 500)
    assert frontier.take() is None


def test_who_idles_takes_the_lower_half_of_what_is_left() -> None:
    frontier = Frontier([Window(STRIPE_BEGAN, STRIPE_BEGAN + 1000)])
    owner = take(frontier)
    assert owner.walked(STRIPE_BEGAN + 800, MANY) == STRIPE_BEGAN
    thief = take(frontier)
    assert (thief.gte, thief.lt) == (STRIPE_BEGAN, STRIPE_BEGAN + 400)
    # The owner learns of it with its next page, even where that page reached further down.
    assert owner.walked(STRIPE_BEGAN + 300, MANY) == STRIPE_BEGAN + 400


def test_less_than_two_pages_are_not_worth_dividing() -> None:
    frontier = Frontier([Window(0, 1000)])
    take(frontier).walked(500, MANY)
    assert frontier.take() is None


def test_the_empty_years_before_stripe_are_not_halved_for_long() -> None:
    end = STRIPE_BEGAN + 1000
    frontier = Frontier([Window(0, end)])
    take(frontier).walked(end - 100, MANY)
    thief = take(frontier)
    assert thief.gte == 0
    assert STRIPE_BEGAN < thief.lt < end - 100


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9), st.booleans()), max_size=150),
)
def test_every_second_is_walked_exactly_once(
    cuts: list[int], moves: list[tuple[int, int, bool]]
) -> None:
    """Whoever takes, walks, ends early or divides, in whatever order."""
    edges = [0, *sorted(cuts)]
    frontier = Frontier(Window(gte, lt) for gte, lt in pairwise(edges))
    walking: list[tuple[Span, int]] = []
    covered: list[int] = []

    def end(number: int) -> None:
        span, floor = walking.pop(number)
        frontier.done(span, Window(floor, span.lt))
        covered.extend(range(floor, span.lt))

    for which, step, goes_on in moves:
        if (not walking or which > len(walking)) and (span := frontier.take()) is not None:
            walking.append((span, span.lt))
        if not walking:
            continue
        number = which % len(walking)
        span, floor = walking[number]
        asked = max(floor - max(1, (span.lt - span.gte) * step // 10), 0)
        floor = max(asked, span.walked(max(asked, span.gte), MANY))
        walking[number] = (span, floor)
        if floor <= span.gte or not goes_on:
            end(number)
    while True:
        while walking:
            span, _ = walking[0]
            walking[0] = (span, span.walked(span.gte, MANY))
            end(0)
        if (rest := frontier.take()) is None:
            break
        walking.append((rest, rest.lt))
    assert sorted(covered) == list(range(edges[-1]))
