"""Streams that walk a frontier, simulated: Stripe's limit and latency, no thread and no sleep."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil

from reconcile.windows.frontier import ROWS, Frontier, Span
from reconcile.windows.window import Window
from shared.stripe.api import MOST_REPEATED

PAGE = 100
STREAMS = 16
MOST_PAGES = 20
MOST_FOUND = 400
GAP = 1 / 24.75
"""Seconds between two requests that the limit lets through."""


def cuts(rows: Sequence[int]) -> list[int]:
    """Where the database would cut: the `created` of every 99th row."""
    return sorted(set(rows[ROWS - 1 :: ROWS]))


@dataclass
class Walk:
    """A stream with its span: where it is, and the rows it read."""

    span: Span
    gte: int
    lt: int
    ceiling: int
    rows: list[int]
    reached: int | None = None
    cursor: int | None = None
    pages: int = 0
    found: int = 0


@dataclass
class Night:
    """One object's objects at Stripe and rows in the database, both by `created`, ascending."""

    objects: list[int]
    rows: list[int]
    end: int
    latency: float = 0.5
    requests: int = 0
    empty: int = 0
    covered: list[tuple[int, int]] = field(default_factory=list)
    counted: int = 0

    def __post_init__(self) -> None:
        self.frontier = Frontier([Window(0, self.end)], cuts(self.rows))

    def walk(self) -> float:
        """Walk it all; returns the seconds it takes."""
        now = slot = 0.0
        wished, mine = 4, 0
        events: list[tuple[float, int, Walk | None]] = [(0.0, 0, None)]
        number = 0
        while True:
            now, _, walk = heapq.heappop(events)
            if walk is None or self._page(walk):
                mine -= walk is not None
                if mine >= wished and wished < STREAMS and slot <= now + 0.04:
                    wished += 1
                while mine < wished and (span := self.frontier.take()) is not None:
                    gte, lt = span.gte, span.lt
                    first, last = bisect_left(self.rows, gte), bisect_left(self.rows, lt)
                    begun = Walk(span, gte, lt, lt, self.rows[first:last])
                    mine += 1
                    number += 1
                    slot = max(slot, now) + GAP
                    heapq.heappush(events, (slot - GAP + self.latency, number, begun))
                if mine == 0:
                    return now
                if walk is None:
                    number += 1
                    heapq.heappush(events, (now + (0.03 if now < 3 else 0.1), number, None))
            else:
                number += 1
                slot = max(slot, now) + GAP
                heapq.heappush(events, (slot - GAP + self.latency, number, walk))

    def _page(self, walk: Walk) -> bool:
        """List one page as reconcile/windows/listing.py does; True where the span ends with it."""
        self.requests += 1
        walk.pages += 1
        if walk.cursor is None:
            last = bisect_left(self.objects, walk.lt)
            lowest = bisect_left(self.objects, walk.gte)
        else:
            last, lowest = walk.cursor, 0
        first = max(last - PAGE, lowest)
        more = first > lowest
        page = self.objects[first:last]
        self.empty += not page
        floor = max(min(page[0] + 1, walk.span.lt), walk.span.gte) if more else walk.span.gte
        walk.gte = walk.span.walked(floor, len(page))
        floor = max(floor, walk.gte)
        there = bisect_left(self.objects, walk.ceiling) - bisect_left(self.objects, floor)
        self.counted += there
        had = bisect_left(self.rows, walk.ceiling) - bisect_left(self.rows, floor)
        walk.found += max(there - had, 0)
        moves = floor < walk.ceiling
        walk.ceiling = floor
        left = bisect_left(walk.rows, floor)
        is_full = walk.pages >= MOST_PAGES or walk.found >= MOST_FOUND or walk.span.may_leave(left)
        if floor <= walk.gte or (moves and is_full):
            self.covered.append((floor, walk.span.lt))
            self.frontier.done(walk.span, Window(floor, walk.span.lt))
            return True
        stuck = walk.reached is not None and page[0] >= walk.reached
        again = bisect_left(self.objects, page[0] + 1) - max(
            bisect_left(self.objects, page[0]), first
        )
        if stuck or again > MOST_REPEATED:
            walk.cursor = first
        else:
            walk.cursor, walk.lt = None, page[0] + 1
        walk.reached = page[0]
        return False

    @property
    def pages(self) -> int:
        return ceil(len(self.objects) / PAGE)

    def is_covered(self) -> bool:
        """Whether every second was covered once."""
        edges = sorted(self.covered)
        whole = edges[0][0] == 0 and edges[-1][1] == self.end
        return whole and all(one[1] == other[0] for one, other in pairwise(edges))
