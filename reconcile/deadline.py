"""Whether a run may go on: its deadline, the signal that stops it, its lease."""

from __future__ import annotations

import threading
import time

from reconcile.journal.journal import Journal
from reconcile.progress import COMPARING, Display
from shared.errors import DeadlineReached, Interrupted
from shared.stripe.api import StripeApi

_LAST = 0.5
"""Seconds before the deadline in which nothing new is begun."""

LAST_WORD_SECONDS = 8.0
"""Seconds that a run takes at most to give its lease back when its time is over: Docker kills ten
seconds after SIGTERM, and the default deadline leaves thirty."""


class Deadline:
    """A run's time: it ends at `end` on time.monotonic(), None for never, or when `stop` is set."""

    def __init__(self, stop: threading.Event, end: float | None) -> None:
        self._stop = stop
        self._end = end

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed, or no request to Stripe fits before it."""
        return self._end is not None and time.monotonic() >= self._end - _LAST

    @property
    def is_stopped(self) -> bool:
        """Whether a signal has come."""
        return self._stop.is_set()

    @property
    def last_word(self) -> float | None:
        """When the last word must be said (on time.monotonic()): a little after the deadline."""
        return None if self._end is None else self._end + LAST_WORD_SECONDS

    def require(self, how_far: str) -> None:
        """Raise Interrupted or DeadlineReached, saying how far the run came."""
        if self._stop.is_set():
            raise Interrupted(f"stopped by a signal after {how_far}")
        if self.is_over:
            raise DeadlineReached(f"the deadline came after {how_far}")

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal or the deadline comes."""
        if self._end is not None:
            seconds = min(seconds, self._end - _LAST - time.monotonic())
        self._stop.wait(max(seconds, 0.0))


class Watch:
    """Is asked before each step of a run; threads share it.

    `how_far` says what is done by now, for whoever reads why the run ended: "12 of 40 windows".
    """

    def __init__(
        self, deadline: Deadline, journal: Journal, stripe: StripeApi, display: Display
    ) -> None:
        self.how_far = "no window"
        self._deadline = deadline
        self._journal = journal
        self._stripe = stripe
        self._display = display

    def enter(self, phase: str) -> None:
        """Say what the run is at from here on; the next write of the run keeps it."""
        self._journal.progress.phase = phase
        if phase != COMPARING:
            self.how_far = f"every window, but within the phase {phase!r}"
        self.show()

    def require(self) -> None:
        """Raise Interrupted, DeadlineReached or LeaseLost where the run may not go on."""
        self._deadline.require(self.how_far)
        self._journal.require_lease()

    def step(self) -> None:
        """Show how far the run is, then do what `require` does. For the run's own thread."""
        self.show()
        self.require()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal or the deadline comes."""
        self._deadline.wait(seconds)

    def show(self) -> None:
        """Show how far the run is. For the run's own thread."""
        progress, requests = self._journal.progress, self._stripe.requests
        progress.stripe_requests = requests
        for name, planned in progress.planned.items():
            self._display.plan(name, planned)
            self._display.moved(name, progress.compared(name), progress.drift, requests)
        self._display.phase(progress.phase or COMPARING)
