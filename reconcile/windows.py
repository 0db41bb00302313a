"""Windows over the axis of `created`: where to cut, what is left to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from shared.repository.runs import Range


class Window(NamedTuple):
    """The objects whose `created` lies in `[gte, lt)`, in epoch seconds."""

    gte: int
    lt: int


def plan(end: int, boundaries: Iterable[int], done: Sequence[Range]) -> list[Window]:
    """Cut `[0, end)` at the boundaries and leave out what is done; oldest first."""
    cuts = sorted({cut for cut in boundaries if 0 < cut < end})
    edges = [0, *cuts, end]
    planned: list[Window] = []
    for gte, lt in pairwise(edges):
        planned.extend(left for left in without(Window(gte, lt), done) if left.gte < left.lt)
    return planned


def without(window: Window, done: Sequence[Range]) -> list[Window]:
    """Return what is left of a window outside the ranges that are done."""
    left = [window]
    for start, stop, _ in done:
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


def joined(done: Sequence[Range], window: Window, began: int) -> list[Range]:
    """Return the ranges that are done with one more window, compared by a run that began then.

    Neighbours of one run are run together.
    """
    merged: list[Range] = []
    for part in sorted([*done, Range(*window, began)]):
        last = merged[-1] if merged else None
        if last is not None and part.start <= last.stop and part.began == last.began:
            merged[-1] = last._replace(stop=max(last.stop, part.stop))
        else:
            merged.append(part)
    return merged


def compared_at(done: Sequence[Range], created: int | None) -> int | None:
    """Return when the run began that compared this second; None if it is in no range."""
    if created is None:
        return None
    return max((one.began for one in done if one.start <= created < one.stop), default=None)
