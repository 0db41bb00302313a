"""Windows walked side by side: enough of them to hide Stripe's latency, no more.

Stripe's limit, not the number of threads, is to be what a run waits for. So another window is begun
as long as requests go out as soon as they are wished: at half a second a page about a dozen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from reconcile.comparison.findings import Inspected
from reconcile.windows.frontier import Frontier, Span
from shared.errors import DeadlineReached, Interrupted, StripeError
from shared.objects.declaration import MirroredObject

MOST = 16
"""Streams of one object at most: they keep its limit busy up to 0.6 s a page. Each holds about
2.5 MB, so they are the memory of a run, whatever the number of objects."""

_FIRST = 4
_PULSE, _FIRST_PULSE = 0.1, 0.03
"""Seconds after which the run is looked after while no window ends, and at first: so that another
window is begun for each slot of the limit until the first answers come."""

_RAMP = 3.0
"""For how many seconds it is so."""

Work = tuple[MirroredObject, Frontier, Span]


class Streams:
    """Walks frontiers. Findings are handed over one at a time, in the caller's own thread."""

    def __init__(
        self,
        keep: Callable[[Inspected], None],
        *,
        look_after: Callable[[], None],
        is_saturated: Callable[[MirroredObject], bool],
        when_drained: Callable[[], object],
    ) -> None:
        """`look_after` is called several times a second and may stop the run by an error.

        `is_saturated`: whether requests for this object wait for the rate limit. `when_drained` is
        called when nothing is left to begin, maybe more than once.
        """
        self._keep = keep
        self._look_after = look_after
        self._is_saturated = is_saturated
        self._when_drained = when_drained
        self._stopping = threading.Event()
        self._running: dict[Future[Inspected], Work] = {}
        self._wished: dict[str, int] = {}

    def is_stopping(self) -> bool:
        """Whether windows in hand are to end with their next page."""
        return self._stopping.is_set()

    def walk(
        self,
        frontiers: dict[MirroredObject, Frontier],
        inspect: Callable[[MirroredObject, Span], Inspected],
    ) -> None:
        """Walk everything; `inspect` is called in a thread for each window.

        What stops it is raised when the windows in hand are kept as far as they came; where the
        database or the lease is what failed, nothing more is kept.
        """
        self._wished = {mirrored.name: _FIRST for mirrored in frontiers}
        with ThreadPoolExecutor(MOST * len(frontiers), thread_name_prefix="window") as pool:
            try:
                self._fill(pool, frontiers, inspect)
                ramp_ends = time.monotonic() + _RAMP
                while self._running:
                    self._take_in(_FIRST_PULSE if time.monotonic() < ramp_ends else _PULSE)
                    self._look_after()
                    self._fill(pool, frontiers, inspect)
            except (DeadlineReached, Interrupted, StripeError):
                self._stopping.set()
                self._keep_what_ends()
                raise
            finally:
                self._stopping.set()

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        frontiers: dict[MirroredObject, Frontier],
        inspect: Callable[[MirroredObject, Span], Inspected],
    ) -> None:
        is_drained = True
        for mirrored, frontier in frontiers.items():
            wished = self._wished[mirrored.name]
            mine = sum(work[0] is mirrored for work in self._running.values())
            if mine >= wished and wished < MOST and not self._is_saturated(mirrored):
                self._wished[mirrored.name] = wished = wished + 1
            while mine < wished and (span := frontier.take()) is not None:
                future = pool.submit(inspect, mirrored, span)
                self._running[future] = (mirrored, frontier, span)
                mine += 1
            is_drained &= mine < wished
        if is_drained:
            self._when_drained()

    def _take_in(self, seconds: float | None) -> None:
        """Keep what has ended, or ends within so long."""
        ended, _ = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in ended:
            _, frontier, span = self._running.pop(future)
            found = future.result()
            frontier.done(span, found.window)
            self._keep(found)

    def _keep_what_ends(self) -> None:
        """Keep what the windows in hand come to, whatever becomes of the others."""
        while self._running:
            try:
                self._take_in(None)
            except (DeadlineReached, Interrupted, StripeError):
                continue
