"""Windows over the axis of `created`, and what is left of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Window(NamedTuple):
    """The objects whose `created` lies in `[gte, lt)`, in epoch seconds."""

    gte: int
    lt: int

    def has(self, second: int) -> bool:
        """Whether a second lies in it."""
        return self.gte <= second < self.lt


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
