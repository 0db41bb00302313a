"""How long a run may go on: its deadline, and the signal that stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.errors import DeadlineReached, Interrupted

_LAST = 0.5
"""Seconds before the deadline in which nothing new is begun."""

_SHORT = 1.0
"""Seconds up to which a pause is the rate limit's, not a retry's."""


class TimeLeft:
    """A run's time; `deadline` on time.monotonic(), None for none. `stop` is set by SIGTERM."""

    def __init__(self, stop: threading.Event, deadline: float | None) -> None:
        self._stop = stop
        self._deadline = deadline

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed, or no request to Stripe fits before it."""
        return self._deadline is not None and time.monotonic() >= self._deadline - _LAST

    def require(self, how_far: str) -> None:
        """Raise Interrupted or DeadlineReached, saying how far the run came."""
        if self._stop.is_set():
            raise Interrupted(f"stopped by a signal after {how_far}")
        if self.is_over:
            raise DeadlineReached(f"the deadline came after {how_far}")

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal comes."""
        self._stop.wait(seconds)


def interruptible(stop: threading.Event) -> Callable[[float], None]:
    """Return a pause that raises Interrupted when `stop` is set.

    A pause of the rate limit is waited out: the window in hand is to be finished.
    """

    def pause(seconds: float) -> None:
        if seconds < _SHORT:
            time.sleep(seconds)
        elif stop.wait(seconds):
            raise Interrupted("stopped by a signal while waiting for Stripe to answer")

    return pause
