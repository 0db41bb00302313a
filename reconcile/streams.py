"""What a run does side by side: windows that are walked, and questions about single objects.

Stripe's limit, not the number of threads, is to be what a run waits for. So another window is begun
as long as requests go out as soon as they are wished: at half a second a page about a dozen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from reconcile.comparison.findings import Findings
from reconcile.deadline import Watch
from reconcile.windows.frontier import Frontier, Span
from shared.errors import DeadlineReached, Interrupted, NotPermitted, StripeError
from shared.objects.declaration import MirroredObject
from shared.stripe.api import StripeApi
from shared.wording import share

MOST = 32
"""Streams of a run at most, however many objects there are: each holds about 2.5 MB, so they are
the memory of a run."""

MOST_OF_ONE = 16
"""Streams of one object at most: they keep its endpoint's limit busy up to 0.6 s a page."""

_FIRST = 4
_PULSE, _FIRST_PULSE = 0.1, 0.03
"""Seconds after which the run is looked after while no window ends, and at first: so that another
window is begun for each slot of the limit until the first answers come."""

_RAMP = 3.0
"""For how many seconds it is so."""

_ASKERS = 8
"""Questions about single objects at a time."""

Frontiers = Mapping[MirroredObject, Frontier]
Inspect = Callable[[MirroredObject, Span], Findings]
A = TypeVar("A")
T = TypeVar("T")


class Streams:
    """Windows walked side by side: enough of them to hide Stripe's latency, no more."""

    def __init__(self, frontiers: Frontiers, stripe: StripeApi, watch: Watch) -> None:
        """`watch` may stop the walk."""
        self.is_drained = False
        """Whether nothing is left to begin."""
        self._frontiers = frontiers
        self._stripe = stripe
        self._watch = watch
        self._running: dict[Future[Findings], tuple[MirroredObject, Span]] = {}
        self._wished = dict.fromkeys(frontiers, _FIRST)
        self.forbidden: dict[str, NotPermitted] = {}
        """Objects that were left, by name: they decide no access, and the key may not read them."""

    def walk(self, inspect: Inspect) -> Iterator[Findings]:
        """Call `inspect` in a thread for each window, and yield what it finds as it comes.

        What stops the walk, on the watch or at Stripe, is raised after the windows in hand have
        been yielded as far as they came. Closed before that, it yields nothing more.
        """
        with ThreadPoolExecutor(MOST, thread_name_prefix="window") as pool:
            try:
                yield from self._walk(pool, inspect)
            except (DeadlineReached, Interrupted, StripeError):
                self._stop()
                yield from self._what_ends()
                raise
            finally:
                self._stop()

    def _walk(self, pool: ThreadPoolExecutor, inspect: Inspect) -> Iterator[Findings]:
        ramp_ends = time.monotonic() + _RAMP
        self._begin(pool, inspect)
        while self._running:
            self._watch.how_far = self._how_far()
            self._watch.step()
            yield from self._ended(_FIRST_PULSE if time.monotonic() < ramp_ends else _PULSE)
            self._begin(pool, inspect)
        self._watch.how_far = self._how_far()

    def _begin(self, pool: ThreadPoolExecutor, inspect: Inspect) -> None:
        """Begin as many windows as are wished of each object, and wish for more if that helps.

        Whoever has fewest comes first; what an object has no use for goes to the others.
        """
        mine = Counter(mirrored for mirrored, _ in self._running.values())
        for mirrored, wished in self._wished.items():
            if mine[mirrored] >= wished and wished < MOST_OF_ONE:
                self._wished[mirrored] += not self._stripe.saturated(mirrored)
        wishing = [one for one in self._frontiers if mine[one] < self._wished[one]]
        self.is_drained = len(wishing) == len(self._frontiers)
        while wishing and len(self._running) < MOST:
            mirrored = min(wishing, key=mine.__getitem__)
            if (span := self._frontiers[mirrored].take()) is None:
                wishing.remove(mirrored)
                continue
            self._running[pool.submit(inspect, mirrored, span)] = mirrored, span
            mine[mirrored] += 1
            if mine[mirrored] >= self._wished[mirrored]:
                wishing.remove(mirrored)
                self.is_drained = False
        self.is_drained &= not wishing

    def _ended(self, seconds: float | None) -> Iterator[Findings]:
        """Yield what has ended, or ends within so long."""
        ended, _ = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in ended:
            mirrored, span = self._running.pop(future)
            try:
                found = future.result()
            except NotPermitted as error:
                if mirrored.access is not None:
                    raise
                self.forbidden[mirrored.name] = error
                self._frontiers[mirrored].stop()
                continue
            self._frontiers[mirrored].done(span, found.window)
            yield found

    def _what_ends(self) -> Iterator[Findings]:
        """Yield what the windows in hand come to, whatever becomes of the others."""
        while self._running:
            try:
                yield from self._ended(None)
            except (DeadlineReached, Interrupted, StripeError):
                continue

    def _stop(self) -> None:
        """Let the windows in hand end with their next page."""
        for frontier in self._frontiers.values():
            frontier.stop()

    def _how_far(self) -> str:
        ended = sum(frontier.ended for frontier in self._frontiers.values())
        planned = sum(frontier.planned for frontier in self._frontiers.values())
        return share(ended, planned, "window")


def answers(
    ask: Callable[[A], T], subjects: Sequence[A], watch: Watch
) -> Iterator[tuple[A, Future[T]]]:
    """Yield what `ask` returns of each, or raises, as it comes; several are asked at a time.

    `watch` may stop it: then only what is under way is waited for.
    """
    if not subjects:
        return
    with ThreadPoolExecutor(_ASKERS, thread_name_prefix="ask") as pool:
        asked = {pool.submit(ask, one): one for one in subjects}
        left = set(asked)
        try:
            while left:
                ended, left = wait(left, _PULSE, FIRST_COMPLETED)
                yield from ((asked[future], future) for future in ended)
                watch.step()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
