"""The watch over a run: how far it is, and whether it may go on."""

from __future__ import annotations

from reconcile.deadline import TimeLeft
from reconcile.journal.journal import Journal
from reconcile.progress import COMPARING, Display
from shared.stripe.api import StripeApi


class Watch:
    """Is asked before each step of a run; threads share it.

    `how_far` says what is done by now, for whoever reads why the run ended: "12 of 40 windows".
    """

    def __init__(
        self, time_left: TimeLeft, journal: Journal, stripe: StripeApi, display: Display
    ) -> None:
        self.how_far = "no window"
        self._time = time_left
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
        self._time.require(self.how_far)
        self._journal.require_lease()

    def step(self) -> None:
        """Show how far the run is, then do what `require` does. For the run's own thread."""
        self.show()
        self.require()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal or the deadline comes."""
        self._time.wait(seconds)

    def show(self) -> None:
        """Show how far the run is. For the run's own thread."""
        progress, requests = self._journal.progress, self._stripe.requests
        progress.stripe_requests = requests
        for name, planned in progress.planned.items():
            self._display.plan(name, planned)
            self._display.moved(name, progress.compared(name), progress.drift, requests)
        self._display.phase(progress.phase or COMPARING)
