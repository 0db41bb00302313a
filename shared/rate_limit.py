"""A limit on our own requests, kept below Stripe's so that none has to be refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class RateLimit:
    """At most `per_second` requests a second in all and `per_endpoint` to each endpoint.

    Requests are spaced evenly. Threads share it. Stripe's own limits: 100 in
    all in live mode, 25 in a sandbox, 25 an endpoint (docs.stripe.com/rate-limits).
    """

    def __init__(
        self,
        per_second: float,
        per_endpoint: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` in seconds; the first request goes at once."""
        self._clock = clock
        self._lock = threading.Lock()
        self._all = 1.0 / per_second
        self._each = 1.0 / per_endpoint
        self._next: dict[str, float] = {}

    def reserve(self, endpoint: str) -> float:
        """Take the next free slot for `endpoint` and return the seconds to wait for it."""
        with self._lock:
            now = self._clock()
            slot = max(now, self._next.get("", now), self._next.get(endpoint, now))
            self._next[""] = slot + self._all
            self._next[endpoint] = slot + self._each
            return slot - now

    @classmethod
    def for_mode(cls, *, livemode: bool) -> RateLimit:
        """Return the limit that keeps a little below Stripe's for this mode."""
        return cls(90.0 if livemode else 24.5, 24.5)
