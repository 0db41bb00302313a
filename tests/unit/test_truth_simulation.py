"""The rule of truth against 100,000 random histories, and against rules that are a little wrong.

The figures for the mutations say how soon each is noticed with these seeds; where one is not
noticed any more, the model has lost its eyes.
"""

import random
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from shared import truth
from shared.truth import Interval, Verdict
from tests.unit.truth_model import Chances, Ending, History, Rule

DELIVERED = Chances()
LOSSY = Chances(loss=0.25, pages=0.6)
CLOSE = Chances(calm=0.0, pages=0.0)
CALM = Chances(calm=0.8, loss=0.25, pages=1.0)


def endings(rule: Rule, chances: Chances, seed: int) -> Iterator[Ending]:
    chance = random.Random(seed)
    while True:
        yield History(chance, rule, chances).play()


def is_bad(ending: Ending) -> bool:
    return ending.is_wrong or ending.went_back


@pytest.mark.parametrize("seed, chances", [(1, DELIVERED), (2, LOSSY), (3, CLOSE), (4, CALM)])
def test_any_order_and_any_interleaving_ends_in_stripes_state(seed: int, chances: Chances) -> None:
    """Traps 1, 2, 3 and 10: one second, slow questions, lagging pages, in 25,000 histories each."""
    bad = [ending for ending in islice(endings(Rule(), chances, seed), 25_000) if is_bad(ending)]
    assert bad == []


def overlap_is_newer(*args: Interval | None, **facts: bool) -> Verdict:
    verdict = truth.decide(args[0], args[1], **facts)  # type: ignore[arg-type]
    return Verdict.REPLACE if verdict is Verdict.ASK else verdict


def overlap_is_older(*args: Interval | None, **facts: bool) -> Verdict:
    verdict = truth.decide(args[0], args[1], **facts)  # type: ignore[arg-type]
    return Verdict.STALE if verdict is Verdict.ASK else verdict


def stale_is_applied(*args: Interval | None, **facts: bool) -> Verdict:
    verdict = truth.decide(args[0], args[1], **facts)  # type: ignore[arg-type]
    return Verdict.REPLACE if verdict is Verdict.STALE else verdict


def as_it_came(_: Interval | None, incoming: Interval) -> Interval:
    return incoming


def page_without_lag(asked: Interval) -> Interval:
    return asked


def every_event_dated_back(created: int, *, is_creation: bool) -> Interval:  # noqa: ARG001
    return Interval(created - 1, created)


MUTATIONS: dict[str, tuple[Rule, Chances, int]] = {
    "confirmations do not move the revision": (
        Rule(confirmation_moves_revision=False),
        CLOSE,
        2_000,
    ),
    "writes are not guarded by the revision": (Rule(is_guarded=False), DELIVERED, 500),
    "an overlap counts as newer": (Rule(decide=overlap_is_newer), DELIVERED, 500),
    "an overlap counts as older": (Rule(decide=overlap_is_older), DELIVERED, 500),
    "a stale event is applied": (Rule(decide=stale_is_applied), DELIVERED, 500),
    "a page counts as read when it was asked for": (Rule(of_page=page_without_lag), CALM, 2_000),
    "a confirmation takes the event's interval": (Rule(after_event=as_it_came), CLOSE, 20_000),
    "every event is dated back": (Rule(of_event=every_event_dated_back), CLOSE, 20_000),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_rule_that_is_a_little_wrong_ends_wrong(mutation: str) -> None:
    rule, chances, histories = MUTATIONS[mutation]
    assert any(map(is_bad, islice(endings(rule, chances, seed=7), histories)))


def creation_not_dated_back(created: int, *, is_creation: bool) -> Interval:  # noqa: ARG001
    return truth.of_event(created, is_creation=False)


def questions(of_event: Callable[..., Interval]) -> int:
    rule = Rule(of_event=of_event)
    return sum(ending.asked for ending in islice(endings(rule, CLOSE, seed=7), 3_000))


def test_creation_dated_back_saves_questions() -> None:
    """Without it the rule still ends right, only by asking more often."""
    assert questions(truth.of_event) < 0.9 * questions(creation_not_dated_back)
