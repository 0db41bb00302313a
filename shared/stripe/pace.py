"""How fast and how many at once: both shrink when Stripe refuses, and grow back with time. Pure.

Times are seconds on the caller's clock.
"""

from __future__ import annotations

from math import inf

_SLOWER = 0.7
_SLOWEST = 1.0
"""Requests a second that are left however often Stripe refuses."""

_BACK = 6.0
"""Seconds until the rate is again what it was when Stripe refused: each refusal costs so much."""

_FORGOTTEN = 20.0
"""Seconds from no rate to the full one after that: a long trouble is forgotten so soon."""

_ONE_MORE = 1.0
"""How many more in flight each second after a refusal."""

_LATE = 0.1
"""How far behind its slot a thread may wake up without the slot being lost."""

_FULL = 0.95
"""The share of the slots that must be in use to call the rate used up."""


class Pace:
    """At most `full` requests a second, evenly spaced; idle time is not saved up."""

    def __init__(self, full: float) -> None:
        self._full = full
        self._refused = self._slowed = full
        self._slowed_at = -inf
        self._in_use = 0.0
        self.next = -inf
        """When the next slot is free."""

    def rate(self, now: float) -> float:
        """Return the requests a second that are allowed now."""
        since = now - self._slowed_at
        if since < _BACK:
            return self._slowed + (self._refused - self._slowed) * since / _BACK
        return min(self._full, self._refused + self._full * (since - _BACK) / _FORGOTTEN)

    def free_at(self, ahead: int, now: float) -> float:
        """Return when there will be a slot behind so many others."""
        return max(self.next, now - _LATE) + ahead / self.rate(now)

    def slot(self, asked: float, now: float) -> float:
        """Return the next slot for a request that has waited since `asked` and is to be sent now.

        It is the slot that counts, not the moment at which its thread woke up: else every delay
        would lower the rate.
        """
        return max(self.next, asked, now - _LATE)

    def take(self, slot: float, now: float) -> None:
        """Use a slot, this pace's own next one or, where another pace held it up, a later one."""
        gap = 1.0 / self.rate(now)
        self._in_use += (gap / (gap + slot - self.next) - self._in_use) / 8
        self.next = slot + gap

    def used_up(self, now: float) -> bool:
        """Whether nearly every slot was in use lately."""
        return self._in_use >= _FULL and now < self.next + 3.0 / self.rate(now)

    def slow_down(self, sent: float, now: float) -> bool:
        """Lower the rate for the refusal of a request sent at `sent`.

        False and no change where it was sent before the rate was last lowered: it was under way.
        """
        if sent <= self._slowed_at:
            return False
        # What was allowed but not in use was not what Stripe refused.
        self._refused = max(self.rate(now) * max(self._in_use, 0.5), min(_SLOWEST, self._full))
        self._slowed = max(self._refused * _SLOWER, min(_SLOWEST, self._full))
        self._slowed_at = now
        return True


class InFlight:
    """How many requests are in flight, and how many may be: no limit before the first refusal."""

    def __init__(self) -> None:
        self.count = 0
        self._most = inf
        self._lowered_at = -inf

    def most(self, now: float) -> float:
        """Return how many may be in flight at once."""
        return self._most + (now - self._lowered_at) * _ONE_MORE

    def lower(self, sent: float, now: float) -> bool:
        """Halve what is in flight, down to one, for the refusal of a request sent at `sent`.

        False and no change where it was sent before that was last done.
        """
        if sent <= self._lowered_at:
            return False
        self._most = max(1.0, min(self.most(now), self.count) // 2)
        self._lowered_at = now
        return True
