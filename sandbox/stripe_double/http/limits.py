"""Stripe's rate and concurrency limits, in the host's time."""

import threading
import time
from collections import Counter

from sandbox.stripe_double.realm.switches import Switches


class _Bucket:
    """Tokens that flow back at `rate` a second, at most one second's worth of them."""

    def __init__(self, rate: float, now: float) -> None:
        self._tokens = rate
        self._then = now

    def take(self, rate: float, now: float) -> bool:
        self._tokens = min(rate, self._tokens + (now - self._then) * rate)
        self._then = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Limits:
    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._running: Counter[tuple[str, str]] = Counter()

    def enter(self, realm: str, endpoint: str, *, livemode: bool) -> str | None:
        """Begin a request; the limiter's name when it must be refused, else call `leave` after."""
        with self._lock:
            reason = self._refusal(realm, endpoint, livemode=livemode)
            if reason is None:
                self._running[realm, ""] += 1
                self._running[realm, endpoint] += 1
            return reason

    def leave(self, realm: str, endpoint: str) -> None:
        with self._lock:
            self._running[realm, ""] -= 1
            self._running[realm, endpoint] -= 1

    def _refusal(self, realm: str, endpoint: str, *, livemode: bool) -> str | None:
        switches = self._switches
        overall = switches.global_concurrency
        if overall is not None and self._running[realm, ""] >= overall:
            return "global-concurrency"
        each = switches.endpoint_concurrency
        if each is not None and self._running[realm, endpoint] >= each:
            return "endpoint-concurrency"
        if not switches.rate_limits:
            return None
        rate = switches.live_rate if livemode else switches.sandbox_rate
        if not self._take(realm, "", rate):
            return "global-rate"
        if not self._take(realm, endpoint, switches.endpoint_rate):
            return "endpoint-rate"
        return None

    def _take(self, realm: str, endpoint: str, rate: float) -> bool:
        now = time.monotonic()
        bucket = self._buckets.get((realm, endpoint))
        if bucket is None:
            bucket = self._buckets[realm, endpoint] = _Bucket(rate, now)
        return bucket.take(rate, now)
