"""The axis is handed out, divided and handed back so that every second is walked exactly once."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reconcile.windows.frontier import STRIPE_BEGAN, Frontier, Span
from reconcile.windows.window import Window

MANY = 100


def take(frontier: Frontier) -> Span:
    span = frontier.take()
    assert span is not None
    return span


def test_axis_without_a_plan_is_one_span() -> None:
    frontier = Frontier([Window(0, 10), Window(10, 20)])
    span = take(frontier)
    assert (span.gte, span.lt) == (0, 20)
    assert frontier.take() is None


def test_what_is_done_lies_between_two_stretches() -> None:
    frontier = Frontier([Window(0, 10), Window(20, 30)])
    assert [(span.gte, span.lt) for span in (take(frontier), take(frontier))] == [(20, 30), (0, 10)]
    assert frontier.take() is None


def test_what_was_not_covered_is_handed_out_again() -> None:
    frontier = Frontier([Window(0, 100)])
    frontier.done(take(frontier), Window(60, 100))
    again = take(frontier)
    assert (again.gte, again.lt) == (0, 60)


def test_span_is_five_pages_of_the_database_and_the_next_goes_on_where_it_ended() -> None:
    frontier = Frontier([Window(0, 1000)], range(100, 1000, 100))
    span = take(frontier)
    assert (span.gte, span.lt) == (500, 1000)
    assert span.may_leave(60), "too few for a page, and more lies below"
    assert not span.may_leave(98)
    frontier.done(span, Window(530, 1000))
    again = take(frontier)
    assert (again.gte, again.lt) == (100, 530), "with what was left"
    frontier.done(again, Window(100, 530))
    last = take(frontier)
    assert (last.gte, last.lt) == (0, 100)
    assert not last.may_leave(60), "nothing lies below"


def test_stretch_of_the_database_is_shared_where_its_rows_lie() -> None:
    frontier = Frontier([Window(0, 10**6)], range(100, 1300, 100))
    owner = take(frontier)
    thief = take(frontier)
    assert (thief.gte, thief.lt) == (100, 600)
    assert owner.gte == 800, "its own span is left as it is"
    assert frontier.take() is None, "two for 13 pages: each more may cost a page"


def test_large_stretch_of_the_database_is_walked_by_many_at_once() -> None:
    frontier = Frontier([Window(0, 10**6)], range(100, 100_000, 100))
    spans = [take(frontier) for _ in range(16)]
    assert max(span.lt - span.gte for span in spans[1:]) == 500
    tops = sorted(span.lt for span in spans)
    assert max(other - one for one, other in pairwise([0, *tops[:-1], 100_000])) <= 100_000 / 8


def test_nothing_is_divided_before_its_first_page() -> None:
    frontier = Frontier([Window(0, 10**6)])
    take(frontier)
    assert frontier.take() is None


def test_idle_stream_looks_far_below_what_is_walked() -> None:
    end = STRIPE_BEGAN + 10**8
    frontier = Frontier([Window(0, end)])
    owner = take(frontier)
    assert owner.walked(end - 1000, MANY) == 0
    assert frontier.take() is None, "one page is no evidence yet"
    assert owner.walked(end - 2000, MANY) == 0
    thief = take(frontier)
    assert thief.gte == 0
    assert thief.lt == end - 2000 - 8 * 4000 - 1, "eight times what is known"
    # The owner learns of it with its next page, even where that page reached further down.
    assert owner.walked(end - 60_000, MANY) == thief.lt


def test_look_in_vain_is_not_repeated_at_once() -> None:
    end = STRIPE_BEGAN + 10**8
    frontier = Frontier([Window(0, end)])
    owner = take(frontier)
    owner.walked(end - 1000, MANY)
    owner.walked(end - 2000, MANY)
    thief = take(frontier)
    thief.walked(0, 0)
    frontier.done(thief, Window(0, thief.lt))
    owner.walked(end - 3000, MANY)
    assert frontier.take() is None


def test_less_than_two_pages_are_not_worth_dividing() -> None:
    frontier = Frontier([Window(0, STRIPE_BEGAN + 1000)])
    take(frontier).walked(STRIPE_BEGAN + 500, MANY)
    assert frontier.take() is None


def test_the_empty_years_before_stripe_are_not_halved_for_long() -> None:
    end = STRIPE_BEGAN + 1000
    frontier = Frontier([Window(0, end)])
    owner = take(frontier)
    owner.walked(end - 100, MANY)
    owner.walked(end - 200, MANY)
    thief = take(frontier)
    assert thief.gte == 0
    assert STRIPE_BEGAN < thief.lt < end - 100


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 5000), max_size=40, unique=True).map(sorted),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9), st.booleans()), max_size=150),
)
def test_every_second_is_walked_exactly_once(
    ends: list[int], cuts: list[int], moves: list[tuple[int, int, bool]]
) -> None:
    """Whoever takes, walks, ends early or divides, in whatever order."""
    edges = [0, *sorted(ends)]
    # Every other part is done already.
    left = [Window(gte, lt) for gte, lt in pairwise(edges)][::2]
    frontier = Frontier(left, cuts)
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
    assert sorted(covered) == sorted(second for part in left for second in range(*part))
