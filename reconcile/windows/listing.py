"""A window's pages from Stripe, newest first, each step complete down to a floor.

A `starting_after` cursor inside a `created` range has been seen to return an empty page and so to
skip silently. So a window is walked by narrowing `created[lt]` to just after the last second seen;
`created[lte]` that second would skip, too, where the server keeps fractions of it. Only where that
would list too much again the cursor is used, and then without a range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reconcile.windows.frontier import Span, Stretch
from reconcile.windows.window import Window
from shared.errors import StripeUnreadable
from shared.objects.declaration import MirroredObject
from shared.stripe.api import MOST_REPEATED, StripeApi
from shared.stripe.page import Memory, Page, Unreadable
from shared.stripe.recognition import Body, Known
from shared.truth import Interval


class Part(NamedTuple):
    """Objects of one page, and the interval in which they were true.

    `objects` are decoded but not settled, `same` are recognised. `bodies` tells theirs by id.
    """

    objects: list[Any]
    same: list[Known]
    unreadable: list[Unreadable]
    bodies: Mapping[str, Body]
    as_of: Interval

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.objects or self.same or self.unreadable)

    def between(self, gte: int, lt: int) -> Part:
        """Return those whose `created` lies in `[gte, lt)`."""
        return self._replace(
            objects=[one for one in self.objects if gte <= one.created < lt],
            same=[one for one in self.same if gte <= one.created < lt],
            unreadable=[one for one in self.unreadable if gte <= one.created < lt],
        )


class Step(NamedTuple):
    """One page further down: all objects whose `created` lies in `[floor, ceiling)`.

    `asked` is when the page was asked for, on Stripe's clock.
    """

    parts: list[Part]
    floor: int
    ceiling: int
    asked: int

    @property
    def window(self) -> Window:
        """Return what it covers."""
        return Window(self.floor, self.ceiling)

    def above(self, floor: int) -> Step:
        """Return the part of the step from `floor` on."""
        parts = [part.between(floor, self.ceiling) for part in self.parts]
        return self._replace(parts=parts, floor=floor)


def walk(
    stripe: StripeApi, mirrored: MirroredObject, span: Span, memory: Memory | None
) -> Iterator[Step]:
    """List a span from its newest object down to its lower bound, which may rise meanwhile.

    Where several lists are complete together, each is walked on its own, the one that is least far
    down first, and a step is what all of them have shown. An object that went from one list to
    another meanwhile is taken from the page that was asked for last. What one list has shown below
    that is kept for the stretch's next span: a list of few objects costs no request for each span.

    `memory`: what need not be decoded. Raises StripeUnavailable, StripeRefused, StripeUnreadable
    (also for a list that breaks off).
    """
    if len(mirrored.lists) == 1:
        yield from _walk(stripe, mirrored, span, memory)
        return
    stretch = span.stretch
    ahead = stretch.ahead
    if not isinstance(ahead, _Ahead) or ahead.ceiling != span.lt:
        # None before the first span; where a window ended within a step all is listed again.
        ahead = _Ahead(span.lt, [span.lt] * len(mirrored.lists), [], None)
    ceiling, floors, asked = ahead.ceiling, [*ahead.floors], ahead.asked
    shown = [_recognised(part, memory) for part in ahead.parts]
    lists = [
        _walk(stripe, mirrored, _Below(stretch, floor), memory, number)
        for number, floor in enumerate(floors)
    ]
    while True:
        listed = 0
        for number in [one for one, floor in enumerate(floors) if floor == max(floors)]:
            step = next(lists[number])
            floors[number] = step.floor
            asked = step.asked if asked is None else min(asked, step.asked)
            shown = [_without(part, step.parts) for part in shown] + step.parts
            listed += sum(len(part.objects) + len(part.same) for part in step.parts)
        gte = span.walked(max(floors), listed)
        floor = max(*floors, gte)
        parts = [part.between(floor, ceiling) for part in shown]
        left = (part.between(stretch.gte, floor) for part in shown)
        shown = [part for part in left if not part.is_empty]
        stretch.ahead = _Ahead(floor, [min(one, floor) for one in floors], shown, asked)
        yield Step(parts, floor, ceiling, asked or 0)
        if floor <= gte:
            return
        ceiling = floor


class _Ahead(NamedTuple):
    """Where each of several lists stands below `ceiling`: what it has shown down to its floor.

    `asked`: when the earliest of their pages was asked for. Rows that are read after such a page
    are held against it as against any other: it replaces none that is younger than a list may lag.
    """

    ceiling: int
    floors: list[int]
    parts: list[Part]
    asked: int | None


class _Below:
    """All that is left of a stretch from `lt` on down: one of several lists is walked there."""

    def __init__(self, stretch: Stretch, lt: int) -> None:
        self.lt = lt
        self._stretch = stretch

    @property
    def gte(self) -> int:
        """The lower bound as it is now."""
        return self._stretch.gte

    def walked(self, _floor: int, _objects: int) -> int:
        """Return the lower bound: how far down all lists are is told elsewhere."""
        return self.gte


def _recognised(part: Part, memory: Memory | None) -> Part:
    """Return a part that came before the rows of its span, by what these know now."""
    known = {} if memory is None else memory.known
    same = {
        one.id: known[one.id]
        for one in part.objects
        if one.id in known
        and part.bodies.get(one.id) == Body(known[one.id].length, known[one.id].hash)
    }
    return part._replace(
        objects=[one for one in part.objects if one.id not in same],
        same=[*part.same, *same.values()],
    )


def _without(part: Part, later: list[Part]) -> Part:
    """Return a part without what a later page of another list shows."""
    again = {one.id for other in later for one in (*other.objects, *other.same, *other.unreadable)}
    return part._replace(
        objects=[one for one in part.objects if one.id not in again],
        same=[one for one in part.same if one.id not in again],
        unreadable=[one for one in part.unreadable if one.id not in again],
    )


def _walk(
    stripe: StripeApi,
    mirrored: MirroredObject,
    span: Span | _Below,
    memory: Memory | None,
    number: int = 0,
) -> Iterator[Step]:
    """Walk one list; the span is told how far down, and says where its lower bound is now."""
    parameters: dict[str, str | int] = {"created[gte]": span.gte, "created[lt]": span.lt}
    gte, ceiling = span.gte, span.lt
    reached: int | None = None
    kept: list[Part] = []
    is_stuck = False
    while True:
        try:
            found = stripe.page(mirrored, parameters, memory, number)
        except StripeUnreadable:
            if "starting_after" not in parameters or is_stuck:
                raise
            # The cursor's object may have been deleted since: its second is listed once more.
            parameters = {"created[gte]": gte, "created[lt]": ceiling}
            kept = []
            continue
        page = found.page
        floor = _floor(page, span, mirrored)
        gte = span.walked(floor, len(page.objects) + len(page.same))
        floor = max(floor, gte)
        pages = [*kept, Part(page.objects, page.same, page.unreadable, page.bodies, found.as_of)]
        parts = [one.between(floor, ceiling) for one in pages]
        yield Step(parts, floor, ceiling, found.answered.lower)
        if floor <= gte:
            return
        assert page.oldest is not None
        is_stuck = reached is not None and page.oldest >= reached
        if is_stuck or _in_last_second(page) > MOST_REPEATED:
            # Nothing of that second is listed again; and where it holds more than a page, only the
            # cursor goes on.
            assert page.last_id is not None
            parameters = {"starting_after": page.last_id}
            kept = [one.between(gte, floor) for one in pages]
        else:
            parameters = {"created[gte]": gte, "created[lt]": page.oldest + 1}
            kept = []
        reached = page.oldest
        ceiling = floor


def _in_last_second(page: Page) -> int:
    """Return how many objects of its last second a page has."""
    listed = (*page.objects, *page.same, *page.unreadable)
    return sum(one.created == page.oldest for one in listed)


def _floor(page: Page, span: Span | _Below, mirrored: MirroredObject) -> int:
    """Return from which second on everything is listed; of the last one seen there may be more."""
    if not page.has_more:
        return span.gte
    if page.oldest is None:
        raise StripeUnreadable(f"GET {mirrored.path}: an empty page that claims to have more")
    return max(min(page.oldest + 1, span.lt), span.gte)
