"""A window's pages from Stripe, newest first, each step complete down to a floor.

A `starting_after` cursor inside a `created` range has been seen to return an empty page and so to
skip silently. So a window is walked by narrowing `created[lt]` to just after the last second seen;
`created[lte]` that second would skip, too, where the server keeps fractions of it. Only where that
would list too much again the cursor is used, and then without a range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reconcile.windows.frontier import Span
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

    `memory`: what need not be decoded. Raises StripeUnavailable, StripeRefused, StripeUnreadable
    (also for a list that breaks off).
    """
    parameters: dict[str, str | int] = {"created[gte]": span.gte, "created[lt]": span.lt}
    gte, ceiling = span.gte, span.lt
    reached: int | None = None
    kept: list[Part] = []
    is_stuck = False
    while True:
        try:
            found = stripe.page(mirrored, parameters, memory)
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


def _floor(page: Page, span: Span, mirrored: MirroredObject) -> int:
    """Return from which second on everything is listed; of the last one seen there may be more."""
    if not page.has_more:
        return span.gte
    if page.oldest is None:
        raise StripeUnreadable(f"GET {mirrored.path}: an empty page that claims to have more")
    return max(min(page.oldest + 1, span.lt), span.gte)
