"""A limit on our own requests, kept below Stripe's so that none has to be refused.

Stripe allows 100 requests a second in live mode and 25 in a sandbox, 25 to each endpoint, and a
number of requests at once that it does not tell; it raises them on request. A refusal (429) names
its limiter in `Stripe-Rate-Limited-Reason` (docs.stripe.com/rate-limits). Then the rate, or the
number at once, shrinks, and grows back with time. Times are seconds on the caller's clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import inf
from typing import Self

LIVE, SANDBOX, ENDPOINT = 100, 25, 25
"""Requests a second that Stripe allows: in all in live mode, in a sandbox, to one endpoint."""

_BELOW = 0.99
"""The share of Stripe's limits that is used."""

_POLL = 0.02
"""Seconds between two looks for a request to come back, when the number at once is the limit."""

_LATELY = 1.0
"""Seconds for which the number at once counts as the limit after a request had to wait for it."""

_SOON = 0.04
"""Seconds that it takes to bring a request to its slot."""

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


class RateLimit:
    """At most `per_second` requests a second in all and `per_endpoint` to each endpoint.

    Threads share it: each waits for its turn, in the order in which they came, and where all
    together are the limit the endpoints take turns. When Stripe refuses all the same, what it names
    is lowered, and comes back within seconds.
    """

    def __init__(
        self,
        per_second: float,
        per_endpoint: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` in seconds; the first request goes at once."""
        self.clock = clock
        self.lock = threading.Lock()
        self._per_endpoint = per_endpoint
        self.whole = _Limits(per_second)
        self.each: dict[str, _Limits] = {}

    @classmethod
    def for_mode(
        cls,
        *,
        livemode: bool,
        in_all: int | None = None,
        per_endpoint: int = ENDPOINT,
        clock: Callable[[], float] = time.monotonic,
    ) -> RateLimit:
        """Return the limit that keeps a little below Stripe's, in requests a second.

        `in_all` is Stripe's limit on all endpoints together (default: that of the mode).
        """
        whole = in_all or (LIVE if livemode else SANDBOX)
        return cls(whole * _BELOW, per_endpoint * _BELOW, clock=clock)

    def turn(self, endpoint: str) -> Turn:
        """Line up for one request to `endpoint`: `with limit.turn(...) as turn`."""
        with self.lock:
            own = self.each.setdefault(endpoint, _Limits(self._per_endpoint))
            turn = Turn(self, own, self.clock())
            own.waiting.append(turn)
            return turn

    def saturated(self, endpoint: str) -> bool:
        """Whether the limit is what requests to `endpoint` wait for: more at once gain nothing.

        True while nearly every slot of the endpoint's rate, or of the whole rate, was in use
        lately, or requests waited for others to come back; and while the endpoint's next slot has
        its request already.
        """
        with self.lock:
            now = self.clock()
            own = self.each.get(endpoint)
            if own is not None and (own.has_none_to_spare(now) or own.saturated(now)):
                return True
            return self.whole.saturated(now)


class Turn:
    """One request's place in the line, and then among those in flight, until its `with` ends."""

    def __init__(self, limit: RateLimit, own: _Limits, asked: float) -> None:
        self._limit = limit
        self._own = own
        self._both = (own, limit.whole)
        self._asked = asked
        self._sent: float | None = None

    def wait(self) -> float:
        """Return 0 when the request may be sent: then it counts as in flight.

        Else the seconds that it has to wait at least before it asks again.
        """
        with self._limit.lock:
            now = self._limit.clock()
            own, whole = self._both
            ahead = own.waiting.index(self)
            wait = max(own.wait(ahead, now), whole.wait(ahead + self._first(now), now))
            if wait > 0:
                return wait
            own.waiting.remove(self)
            slot = max(limits.rate.slot(self._asked, now) for limits in self._both)
            for limits in self._both:
                limits.rate.take(slot, now)
                limits.in_flight.count += 1
            self._sent = now
            return 0.0

    def refused(self, reason: str | None) -> bool:
        """Take note of a 429 and the limiter that it names.

        True when the limit was lowered for it; not for a single object's limiter, nor for what was
        under way when the limit was last lowered. A limiter that is not known counts as the
        endpoint's rate.
        """
        assert self._sent is not None
        if reason == "resource-specific":
            return False
        with self._limit.lock:
            now = self._limit.clock()
            limits = self._limit.whole if reason and reason.startswith("global-") else self._own
            if reason and reason.endswith("-concurrency"):
                return limits.in_flight.lower(self._sent, now)
            return limits.rate.slow_down(self._sent, now)

    def _first(self, now: float) -> int:
        """Count the other endpoints that could send now and have been waiting longer."""
        return sum(
            bool(other.waiting)
            and other.rate.next < self._own.rate.next
            and other.wait(0, now) <= 0
            for other in self._limit.each.values()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give the place back, or count the request as back."""
        with self._limit.lock:
            if self._sent is None:
                self._own.waiting.remove(self)
            else:
                for limits in self._both:
                    limits.in_flight.count -= 1


class _Limits:
    """Both limits of one endpoint, or of all together, and who waits for them, oldest first."""

    def __init__(self, per_second: float) -> None:
        self.rate = _Rate(per_second)
        self.in_flight = _InFlight()
        self.waiting: list[Turn] = []
        self.full_at = -inf

    def saturated(self, now: float) -> bool:
        return self.rate.used_up(now) or now - self.full_at < _LATELY

    def has_none_to_spare(self, now: float) -> bool:
        """Whether the next slot is spoken for, or so far off that it may still be."""
        return bool(self.waiting) or self.rate.next > now + _SOON

    def wait(self, ahead: int, now: float) -> float:
        """Return the seconds until a request behind `ahead` others may go, at the earliest."""
        most = self.in_flight.most(now)
        over = self.in_flight.count + ahead + 1 - most
        if over > 0:
            self.full_at = now
            return _POLL * max(over, 1.0)
        return self.rate.free_at(ahead, now) - now


class _Rate:
    """At most `full` requests a second, evenly spaced; idle time is not saved up."""

    def __init__(self, full: float) -> None:
        self._full = full
        self._refused = self._slowed = full
        self._slowed_at = -inf
        self._in_use = 0.0
        self.next = -inf
        """When the next slot is free."""

    def allowed(self, now: float) -> float:
        """Return the requests a second that are allowed now."""
        since = now - self._slowed_at
        if since < _BACK:
            return self._slowed + (self._refused - self._slowed) * since / _BACK
        return min(self._full, self._refused + self._full * (since - _BACK) / _FORGOTTEN)

    def free_at(self, ahead: int, now: float) -> float:
        """Return when there will be a slot behind so many others."""
        return max(self.next, now - _LATE) + ahead / self.allowed(now)

    def slot(self, asked: float, now: float) -> float:
        """Return the next slot for a request that has waited since `asked` and is to be sent now.

        It is the slot that counts, not the moment at which its thread woke up: else every delay
        would lower the rate.
        """
        return max(self.next, asked, now - _LATE)

    def take(self, slot: float, now: float) -> None:
        """Use a slot, this rate's own next one or, where another rate held it up, a later one."""
        gap = 1.0 / self.allowed(now)
        self._in_use += (gap / (gap + slot - self.next) - self._in_use) / 8
        self.next = slot + gap

    def used_up(self, now: float) -> bool:
        """Whether nearly every slot was in use lately."""
        return self._in_use >= _FULL and now < self.next + 3.0 / self.allowed(now)

    def slow_down(self, sent: float, now: float) -> bool:
        """Lower the rate for the refusal of a request sent at `sent`.

        False and no change where it was sent before the rate was last lowered: it was under way.
        """
        if sent <= self._slowed_at:
            return False
        # What was allowed but not in use was not what Stripe refused.
        self._refused = max(self.allowed(now) * max(self._in_use, 0.5), min(_SLOWEST, self._full))
        self._slowed = max(self._refused * _SLOWER, min(_SLOWEST, self._full))
        self._slowed_at = now
        return True


class _InFlight:
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
