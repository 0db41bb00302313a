"""What is left of an object's axis of creation, handed out so that few requests find nothing.

The axis is walked by streams, each from the newest second of its stretch down. A stretch goes down
in spans of about five pages, and a span may end at any page: what is left stays with the stretch,
so only a stretch's last page is less than full. An idle stream takes the lower part of another's
stretch, and that is the one thing that costs requests: at most a page where the two meet. So it is
done only where enough full pages are known to be left:

- between two rows of the database, which tell where its pages lie;
- where the database knows nothing, between what is walked and the first page of the stretch below;
- below all that is walked nobody knows anything, and one look far down tells: where its first page
  is not full, nothing lies below it, and where it is, much lies in between.

And all together is held within a share of the pages that are known. Pure but for a lock.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

from reconcile.windows.window import Window, joined

STRIPE_BEGAN = 1_293_840_000
"""2011-01-01: before then lies nothing worth an even share."""

ROWS = 99
"""Rows between two cuts: a page, which repeats the last second of the page before."""

SPAN_PAGES = 5
"""Pages of the database that are read, compared and kept in one piece."""

_SHARE = 0.06
_FREE = 1
"""How many divisions are allowed: so many, and a share of the pages that are known."""

_WORTH = 110
"""Objects that must be left for a division: less is a page for its owner. The two that a little
more would be are asked for at once instead of one after the other."""

_FAR = 8
"""How far the first look goes below all that is known: three of them reach a thousand times it."""

_NEARER = 4
"""By how much less far the next one goes after a look in vain."""


class Stretch:
    """A part of the axis that one stream at a time walks, from `top` down to `gte`.

    `is_open`: nothing is known below what is walked. `below`: the stretch that was cut off.
    `ahead`: what one of several lists has shown below what all have, kept by whoever walks them.
    """

    def __init__(self, gte: int, lt: int, cuts: Sequence[int], *, is_open: bool) -> None:
        self.gte = gte
        self.lt = self.top = lt
        self.cuts = list(cuts)
        self.is_open = is_open
        self.far: float = _FAR
        """How far below all that is known the next look goes, in multiples of that."""
        self.passed = 0
        """How many of the cuts are walked past."""
        self.below: Stretch | None = None
        self.span: Span | None = None
        self.ahead: Any = None
        self.objects = 0
        self.first: float | None = None
        """Objects a second down to the end of the first page, None before it."""
        self.density = 0.0
        """The same of the last page."""
        self._paged = 0, lt

    def walked(self, floor: int, objects: int) -> None:
        """Note that one more page is listed, down to `floor`."""
        before = _below(self)
        self.top = floor
        self.passed += before - _below(self)
        self.objects += objects
        listed, top = self._paged
        if floor < top:
            self.density = (self.objects - listed) / (top - floor)
            self._paged = self.objects, floor
        else:
            self.density = float(self.objects - listed)
        if self.first is None:
            self.first = self.density

    def back_to(self, top: int) -> None:
        """Note that all above `top` is done, and what was walked below it is to be walked again."""
        self.passed -= bisect_left(self.cuts, top) - _below(self)
        self.objects -= int(self.density * (top - self.top))
        self.top = top
        self._paged = self.objects, top


class Span:
    """The upper part of a stretch that is being walked; its lower bound rises when it is cut."""

    def __init__(self, frontier: Frontier, stretch: Stretch, gte: int) -> None:
        self.lt = stretch.top
        self.gte = gte
        self.stretch = stretch
        self._frontier = frontier

    def walked(self, floor: int, objects: int) -> int:
        """Say that everything from `floor` on is listed, by so many objects more.

        Returns the lower bound as it is now.
        """
        return self._frontier.walked(self, floor, objects)

    def may_leave(self, rows: int) -> bool:
        """Whether so many rows, too few for a page, are better listed with what lies below."""
        return rows < ROWS - 4 and self.gte > self.stretch.gte

    @property
    def is_stopped(self) -> bool:
        """Whether it is to end with its next page, wherever that is."""
        return self._frontier.is_stopped


class Frontier:
    """The windows of one object that are not done; threads share it."""

    def __init__(
        self, windows: Iterable[Window], cuts: Sequence[int] = (), *, lists: int = 1
    ) -> None:
        """`cuts`: the `created` of every 99th row, ascending, as far as the database knows.

        `lists`: how many lists are walked together, so that a division may cost a page of each.
        """
        self._share = _SHARE / lists
        self._lock = threading.Lock()
        self.ended = 0
        """How many spans were handed back."""
        self._divisions = self._pages = 0
        self._is_planned = bool(cuts)
        self.is_stopped = False
        together: list[tuple[int, int]] = []
        for window in windows:
            together = joined(together, window)
        self._stretches: list[Stretch] = []
        for gte, lt in reversed(together):
            inside = cuts[bisect_left(cuts, gte + 1) : bisect_left(cuts, lt)]
            self._stretches.append(Stretch(gte, lt, inside, is_open=True))

    @property
    def planned(self) -> int:
        """How many spans there are, as far as is known by now."""
        left = sum(1 + _below(one) // SPAN_PAGES for one in self._stretches)
        return self.ended + left

    def take(self) -> Span | None:
        """Return the next span of a stretch that nobody walks, or of a part of another's.

        None where there is neither.
        """
        with self._lock:
            free = next((one for one in self._stretches if one.span is None), None)
            stretch = free or self._divided()
            if stretch is None:
                return None
            number = bisect_left(stretch.cuts, stretch.top) - SPAN_PAGES
            gte = stretch.cuts[number] if number >= 0 else stretch.gte
            stretch.span = Span(self, stretch, gte)
            return stretch.span

    def stop(self) -> None:
        """Let every span that is walked end with its next page."""
        self.is_stopped = True

    def walked(self, span: Span, floor: int, objects: int) -> int:
        """Note how far down a span is listed, and return its lower bound as it is now."""
        with self._lock:
            stretch = span.stretch
            is_first = stretch.first is None
            stretch.walked(max(floor, span.gte), objects)
            self._pages += 1
            if is_first and stretch.top <= stretch.gte:
                self._forget(stretch)
            return span.gte

    def _forget(self, stretch: Stretch) -> None:
        """Take a stretch whose first page was not full for none: it says nothing of others."""
        for upper in self._stretches:
            if upper.below is stretch:
                upper.below, upper.is_open = stretch.below, stretch.is_open
                upper.far = stretch.far / _NEARER

    def done(self, span: Span, covered: Window) -> None:
        """Take back a span of which `covered` is done, the upper part or all of it."""
        with self._lock:
            self.ended += 1
            stretch = span.stretch
            stretch.span = None
            stretch.back_to(covered.gte)
            if stretch.top <= stretch.gte:
                self._stretches.remove(stretch)

    def _divided(self) -> Stretch | None:
        """Cut off the lower part of the stretch with the most left, if there is one to cut."""
        left = {one: self._left(one) for one in self._stretches}
        known = self._pages * 100 + sum(left.values())
        if self._divisions + 1 > _FREE + known / 100 * self._share:
            return None
        for stretch in sorted(left, key=lambda one: (not _is_unknown(one), -left[one])):
            cut = self._cut(stretch, known) if left[stretch] >= _WORTH else 0
            if stretch.gte < cut < stretch.top:
                return self._cut_off(stretch, cut)
        return None

    def _cut_off(self, stretch: Stretch, cut: int) -> Stretch:
        assert stretch.span is not None
        known = [one for one in stretch.cuts if one < cut]
        lower = Stretch(stretch.gte, cut, known, is_open=stretch.is_open)
        lower.below, lower.far = stretch.below, stretch.far
        stretch.below = lower
        stretch.is_open = False
        stretch.gte = cut
        stretch.span.gte = max(stretch.span.gte, cut)
        stretch.cuts = [one for one in stretch.cuts if one > cut]
        self._divisions += 1
        self._stretches.append(lower)
        return lower

    def _left(self, stretch: Stretch) -> float:
        """Return how many objects are left as far as there is evidence, without the page in hand.

        Below all that is walked: as many as are walked at most, fewer after a look in vain. Between
        two stretches: what the thinner of them makes likely, and where the lower one begins with a
        gap, or lies among rows of the database, as many as the upper one has shown itself.
        """
        if planned := _below(stretch):
            return float(planned * _WORTH)
        if not self._is_surprised(stretch):
            return 0.0
        lowest = max(stretch.gte, min(STRIPE_BEGAN, stretch.top))
        likely = (stretch.top - lowest) * stretch.density
        if stretch.is_open:
            return min(likely, self._pages * 100 * min(stretch.far, 1.0))
        below = stretch.density if stretch.below is None else stretch.below.first
        if below is None:
            return 0.0
        if self._is_planned or below <= stretch.density / 2:
            return min(likely, stretch.objects)
        return likely * min(1.0, below / stretch.density)

    def _is_surprised(self, stretch: Stretch) -> bool:
        """Whether more was found than the database knows."""
        pages = stretch.passed + self._is_planned
        return stretch.objects - ROWS * pages >= ROWS

    def _cut(self, stretch: Stretch, known: float) -> int:
        """Return where the stretch is best cut."""
        if planned := _below(stretch):
            return stretch.cuts[(planned + 1) // 2 - 1]
        lowest = max(stretch.gte, min(STRIPE_BEGAN, stretch.top))
        middle = (lowest + stretch.top) // 2
        if not stretch.is_open:
            return middle
        return max(middle, stretch.top - int(stretch.far * known / stretch.density) - 1)


def _is_unknown(stretch: Stretch) -> bool:
    """Whether nobody knows what lies below."""
    return stretch.is_open and not _below(stretch)


def _below(stretch: Stretch) -> int:
    """Return how many pages of the database lie below the page that is in hand."""
    return bisect_left(stretch.cuts, stretch.top)
