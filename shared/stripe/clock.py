"""Stripe's clock, as the `Date` of its answers tells it; no single one of them is believed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from math import ceil, floor

from shared.errors import StripeUnreadable
from shared.truth import Interval
from shared.wording import moment

_DAY = 86_400


def interval_of(date: str | None, took: float, endpoint: str) -> Interval:
    """Return when an answer was true on Stripe's clock, rounded outwards to whole seconds.

    `Date` is cut to the second and may be set at any time while the answer is made (RFC 9110,
    6.6.1), so the seconds that the request `took` count on both sides. Raises StripeUnreadable.
    """
    try:
        seconds = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        raise StripeUnreadable(f"GET {endpoint}: the answer has no readable Date") from None
    return Interval(floor(seconds - took), ceil(seconds + 1 + took))


class StripeClock:
    """What answers said of Stripe's time; threads share it.

    One answer dated 2099, by a proxy or a server that is being repaired, would make every later
    event of its object stale and move every cursor beyond what there is.
    """

    def __init__(self, host: Callable[[], float] = time.time) -> None:
        """`host` tells the time of this machine, in epoch seconds."""
        self._host = host
        self._lock = threading.Lock()
        self._last: int | None = None
        self._largest: int | None = None
        self._second: int | None = None
        self._ahead: float | None = None

    @property
    def now(self) -> int | None:
        """Stripe's time, certainly past: the second largest reading, None before there are two."""
        with self._lock:
            return self._second

    @property
    def ahead(self) -> float | None:
        """By how many seconds this machine was ahead of the latest answer; None: no answer yet.

        Negative where it was behind.
        """
        with self._lock:
            return self._ahead

    def read(self, answered: Interval, endpoint: str) -> Interval:
        """Take note of when an answer was true, and return it.

        Raises StripeUnreadable where that is more than a day ahead of this machine and of all that
        was believed so far, unless the answer before said so too: then Stripe's clock is there.
        """
        reading = answered.lower
        with self._lock:
            self._ahead = self._host() - (answered.lower + answered.upper) / 2
            before, self._last = self._last, reading
            is_far = reading > max(self._host(), self._largest or 0) + _DAY
            if is_far and (before is None or abs(reading - before) > _DAY):
                raise StripeUnreadable(
                    f"GET {endpoint}: an answer dated {moment(reading)}, more than a day ahead of"
                    " this machine's clock and of every answer before"
                )
            if self._largest is None:
                self._largest = reading
            else:
                self._second = max(self._second or 0, min(self._largest, reading))
                self._largest = max(self._largest, reading)
        return answered
