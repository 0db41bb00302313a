"""The double's own time."""

import threading
import time


class Clock:
    """Stripe's clock: real-valued epoch seconds that never go back.

    Either it stands until it is moved, or it also follows the host's monotonic clock (`ticking`).
    """

    def __init__(self, start: float | None, *, ticking: bool) -> None:
        self._lock = threading.Lock()
        self._ticking = ticking
        self._base = time.time() if start is None else start
        self._since = time.monotonic()

    def now(self) -> float:
        if not self._ticking:
            return self._base
        with self._lock:
            return self._base + time.monotonic() - self._since

    def advance(self, seconds: float) -> float:
        if seconds < 0:
            raise ValueError(f"time does not go back ({seconds} s)")
        with self._lock:
            self._base += seconds
        return self.now()

    def move_to(self, moment: float) -> float:
        return self.advance(moment - self.now())
