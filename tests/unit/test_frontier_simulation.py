"""Streams walk simulated accounts: all of it, with few requests, as fast as Stripe allows."""

import random
from collections.abc import Callable

import pytest

from tests.unit.frontier_model import GAP, Night

END = 1_790_000_000
HOUR, DAY, YEAR = 3_600, 86_400, 365 * 86_400

SPARE = 3
"""Requests beyond a tenth more than the pages: two objects of these, and six for all else."""

Ages = Callable[[random.Random], float]


def _apart(rng: random.Random) -> float:
    return rng.random() * DAY + rng.choice((0, 4 * YEAR))


def _in_bursts(rng: random.Random) -> float:
    """Bursts of ten minutes, each in a month of its own."""
    month = rng.randrange(60)
    begin = random.Random(month).random() * 30 * DAY
    return month * 30 * DAY + begin + rng.random() * 600


AGES: dict[str, Ages] = {
    "uniform over years": lambda rng: rng.random() * 6 * YEAR,
    "within two hours": lambda rng: rng.random() * 2 * HOUR,
    "one hour of three years ago": lambda rng: 3 * YEAR + rng.random() * HOUR,
    "one second": lambda _: 5_000,
    "log-uniform": lambda rng: 10 ** (rng.random() * 8.3),
    "log-uniform from the beginning on": lambda rng: 10 * YEAR - 10 ** (rng.random() * 8.3),
    "a burst and a thin tail": lambda rng: (
        rng.random() * (HOUR if rng.random() < 0.9 else 8 * YEAR)
    ),
    "an import and what came since": lambda rng: (
        5 * YEAR + rng.random() * HOUR if rng.random() < 0.9 else rng.random() * 5 * YEAR
    ),
    "two days years apart": _apart,
    "sixty bursts": _in_bursts,
    "growing": lambda rng: min(rng.expovariate(1 / YEAR), 12 * YEAR),
    "dwindling": lambda rng: 8 * YEAR - min(rng.expovariate(1 / YEAR), 8 * YEAR),
}

ROWS: dict[str, Callable[[random.Random, list[int]], list[int]]] = {
    "first run": lambda _, __: [],
    "in sync": lambda _, objects: objects,
    "one of a hundred is missing": lambda rng, objects: [
        one for one in objects if rng.random() < 0.99
    ],
    "half is missing": lambda rng, objects: [one for one in objects if rng.random() < 0.5],
    "nine of ten are missing": lambda rng, objects: [one for one in objects if rng.random() < 0.1],
    "a quarter is new": lambda _, objects: objects[: len(objects) * 3 // 4],
    "a quarter more than there are": lambda rng, objects: sorted(
        objects + rng.choices(objects, k=len(objects) // 4) if objects else []
    ),
}


def night(ages: str, rows: str, size: int, seed: int = 0) -> Night:
    rng = random.Random(f"{ages} {rows} {size} {seed}")
    objects = sorted(END - 1 - int(AGES[ages](rng)) for _ in range(size))
    return Night(objects, ROWS[rows](rng, objects), END)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("ages", AGES)
def test_account_of_any_shape_takes_a_tenth_more_requests_than_pages_and_three(
    ages: str, rows: str
) -> None:
    for size in (0, 1, 99, 100, 101, 300, 498, 1_000, 1_500, 3_000, 8_000, 20_000):
        simulated = night(ages, rows, size)
        simulated.walk()
        assert simulated.is_covered()
        assert simulated.counted == size, "every object once"
        assert simulated.requests <= simulated.pages * 1.1 + SPARE, size


@pytest.mark.parametrize(
    "rows, most", [("in sync", 1.06), ("one of a hundred is missing", 1.08), ("first run", 1.14)]
)
@pytest.mark.parametrize("ages", ["uniform over years", "within two hours", "growing"])
def test_large_account_is_walked_as_fast_as_stripe_allows(
    ages: str, rows: str, most: float
) -> None:
    """At half a second a page it takes a dozen streams, all the time."""
    simulated = night(ages, rows, 100_000)
    assert simulated.walk() <= most * simulated.pages * GAP
    assert simulated.requests <= simulated.pages * 1.1


@pytest.mark.parametrize("ages", sorted(AGES.keys() - {"one second"}))
def test_no_shape_of_an_account_leaves_its_walk_to_one_stream(ages: str) -> None:
    """In one second alone nothing can be cut: only the cursor goes on there."""
    simulated = night(ages, "first run", 100_000)
    assert simulated.walk() <= 3 * simulated.pages * GAP
