"""What is left of an object's windows, handed out so that no stream idles while another has work.

A window is walked from its newest second down. Whoever has none left takes the lower half of what
another has not reached yet: so a first run, which cannot know where Stripe's objects lie, finds
their distribution itself, and a long window never delays the end of a run. Pure but for a lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from reconcile.windows import Window

STRIPE_BEGAN = 1_293_840_000
"""2011-01-01: before then lies nothing worth an even share."""

_PAGE = 100
_WORTH = 110
"""Objects that must be left for a window to be divided: less is a page for its owner. The two that
a little more would be are asked for at once instead of one after the other."""


class Span:
    """A window that is being walked; its lower bound rises when the rest is given to another."""

    def __init__(self, frontier: Frontier, window: Window, expected: float) -> None:
        self.expected = expected
        self.lt = window.lt
        self.gte = window.gte
        self.reached = window.lt
        self.objects = 0
        self._frontier = frontier

    def walked(self, floor: int, objects: int) -> int:
        """Say that everything from `floor` on is listed, by so many objects more.

        Returns the lower bound as it is now.
        """
        return self._frontier.walked(self, floor, objects)


class Frontier:
    """The windows of one object that are not done, oldest first; threads share it.

    `planned` counts the windows known so far, `ended` those of them that were handed back.
    """

    def __init__(self, windows: Iterable[Window], *, expected: float = 0.0) -> None:
        """`expected`: about how many objects lie in each window, 0 where nobody knows."""
        self._expected = expected
        self._lock = threading.Lock()
        self._pending = deque(windows)
        self._walking: list[Span] = []
        self.planned = len(self._pending)
        self.ended = 0

    def take(self) -> Span | None:
        """Return the next window, or half of one that is being walked; None where neither is."""
        with self._lock:
            if self._pending:
                span = Span(self, self._pending.popleft(), self._expected)
            elif (half := self._divided()) is not None:
                span = half
            else:
                return None
            self._walking.append(span)
            return span

    def walked(self, span: Span, floor: int, objects: int) -> int:
        """Note how far down a span is listed, and return its lower bound as it is now."""
        with self._lock:
            span.reached = floor
            span.objects += objects
            return span.gte

    def done(self, span: Span, covered: Window) -> None:
        """Take back a span of which `covered` is done, the upper part or all of it."""
        with self._lock:
            self._walking.remove(span)
            self.ended += 1
            if covered.gte > span.gte:
                self.planned += 1
                self._pending.appendleft(Window(span.gte, covered.gte))

    def _divided(self) -> Span | None:
        """Cut the span with the most left to walk, by the density of what is walked."""
        best, most = None, float(_WORTH)
        for span in self._walking:
            left = self._left(span)
            if left > most:
                best, most = span, left
        if best is None:
            return None
        lowest = max(best.gte, min(STRIPE_BEGAN, best.reached))
        middle = (lowest + best.reached) // 2
        if not best.gte < middle < best.reached:
            return None
        best.expected = (most if best.reached < best.lt else best.expected) / 2
        lower = Span(self, Window(best.gte, middle), best.expected)
        best.gte = middle
        self.planned += 1
        return lower

    def _left(self, span: Span) -> float:
        """Return about how many objects a span still holds.

        Before its first page what the plan says, less two pages for its owner.
        """
        walked = span.lt - span.reached
        if not walked:
            return span.expected - 2 * _PAGE
        return span.objects * (span.reached - span.gte) / walked
