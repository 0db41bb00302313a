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

LITTLE = 8.0
"""Seconds that a run takes at most to give its lease back when its time is over: Docker kills ten
seconds after SIGTERM, and the default deadline leaves thirty."""


class TimeLeft:
    """A run's time; `deadline` on time.monotonic(), None for none. `stop` is set by SIGTERM."""

    def __init__(self, stop: threading.Event, deadline: float | None) -> None:
        self._stop = stop
        self._deadline = deadline

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed, or no request to Stripe fits before it."""
        return self._deadline is not None and time.monotonic() >= self._deadline - _LAST

    @property
    def is_stopped(self) -> bool:
        """Whether a signal has come."""
        return self._stop.is_set()

    @property
    def end(self) -> float | None:
        """When the last word must be said (on time.monotonic()): a little after the deadline."""
        return None if self._deadline is None else self._deadline + LITTLE

    def require(self, how_far: str) -> None:
        """Raise Interrupted or DeadlineReached, saying how far the run came."""
        if self._stop.is_set():
            raise Interrupted(f"stopped by a signal after {how_far}")
        if self.is_over:
            raise DeadlineReached(f"the deadline came after {how_far}")

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal or the deadline comes."""
        if self._deadline is not None:
            seconds = min(seconds, self._deadline - _LAST - time.monotonic())
        self._stop.wait(max(seconds, 0.0))


def interruptible(stop: threading.Event) -> Callable[[float], None]:
    """Return a pause that raises Interrupted when `stop` is set.

    A pause of the rate limit is waited out: it is short.
    """

    def pause(seconds: float) -> None:
        if seconds < _SHORT:
            time.sleep(seconds)
        elif stop.wait(seconds):
            raise Interrupted("stopped by a signal while waiting for Stripe to answer")

    return pause


def unless_stopped(stop: threading.Event) -> Callable[[], None]:
    """Return what raises Interrupted when `stop` is set: to be called before each question."""

    def still() -> None:
        if stop.is_set():
            raise Interrupted("stopped by a signal before a question to Stripe")

    return still
