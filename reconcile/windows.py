"""Windows over the axis of `created`: where to cut, what is left to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple


class Window(NamedTuple):
    """The objects whose `created` lies in `[gte, lt)`, in epoch seconds."""

    gte: int
    lt: int


def plan(end: int, boundaries: Iterable[int], done: Sequence[tuple[int, int]]) -> list[Window]:
    """Cut `[0, end)` at the boundaries and leave out what is done; oldest first."""
    cuts = sorted({cut for cut in boundaries if 0 < cut < end})
    edges = [0, *cuts, end]
    planned: list[Window] = []
    for gte, lt in pairwise(edges):
        planned.extend(left for left in without(Window(gte, lt), done) if left.gte < left.lt)
    return planned


def without(window: Window, done: Sequence[tuple[int, int]]) -> list[Window]:
    """Return what is left of a window outside the ranges that are done."""
    left = [window]
    for start, stop in done:
        left = [
            part
            for piece in left
            for part in (
                Window(piece.gte, min(piece.lt, max(start, piece.gte))),
                Window(max(piece.gte, min(stop, piece.lt)), piece.lt),
            )
            if part.gte < part.lt
        ]
    return left


def joined(done: Sequence[tuple[int, int]], window: Window) -> list[tuple[int, int]]:
    """Return the ranges that are done with one more window, neighbours run together."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted([*done, (window.gte, window.lt)]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged
