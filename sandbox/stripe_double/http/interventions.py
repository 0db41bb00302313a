"""What happens to single requests on their way: faults, holds and hooks."""

import random
import threading
from collections.abc import Callable
from typing import Literal, Self, TypeAlias

from msgspec import Struct

from sandbox.stripe_double.protocol.request import Request

When: TypeAlias = Literal["before_read", "after_read"]
FaultKind: TypeAlias = Literal[
    "status",
    "reset",
    "half_body",
    "html",
    "slow_body",
    "hang",
    "empty_list",
    "truncated_list",
    "date",
]


class Match(Struct, kw_only=True):
    """Which requests: by method, by the beginning of the path, by endpoint ("customers.list").

    The first `skip` of them pass, then `count` are met (None: all).
    """

    method: str | None = None
    path: str = "/v1/"
    endpoint: str | None = None
    count: int | None = 1
    skip: int = 0

    def meets(self, request: Request, endpoint: str) -> bool:
        """Counts the request; call it once for each."""
        if self.method not in {None, request.method} or self.endpoint not in {None, endpoint}:
            return False
        if not request.path.startswith(self.path) or self.count == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None:
            self.count -= 1
        return True


class Fault(Struct, frozen=True, kw_only=True):
    """What goes wrong. `seconds`: of the host; `keep`: objects left in a truncated list.

    `date`: what the answer's `Date` says, in epoch seconds.
    """

    kind: FaultKind
    probability: float = 1.0
    status: int = 500
    reason: str | None = None
    should_retry: bool | None = None
    retry_after: int | None = None
    seconds: float = 1.0
    keep: int = 0
    date: int = 0


class Hold:
    """Stops requests at a point until they are released; leaving its `with` block releases."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._reached = threading.Event()
        self._released = threading.Event()

    def wait_reached(self, timeout: float = 5.0) -> None:
        """Returns as soon as a request stands here; TimeoutError when none came."""
        if not self._reached.wait(timeout):
            raise TimeoutError(f"no request reached the hold within {timeout} s")

    @property
    def reached(self) -> bool:
        return self._reached.is_set()

    def release(self) -> None:
        self._released.set()

    def stand(self) -> None:
        """Called by the request that is held."""
        self._reached.set()
        while not self._released.wait(0.05):
            if self._stopping.is_set():
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


Hook: TypeAlias = Callable[[], object]


class Interventions:
    """All that is set, in the order in which it was set."""

    def __init__(self, stopping: threading.Event, seed: int) -> None:
        self._stopping = stopping
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._faults: list[tuple[Match, Fault]] = []
        self._stops: list[tuple[Match, When, Hold | Hook]] = []
        self._holds: list[Hold] = []

    def add_fault(self, match: Match, fault: Fault) -> None:
        with self._lock:
            self._faults.append((match, fault))

    def add_hold(self, match: Match, when: When) -> Hold:
        hold = Hold(self._stopping)
        with self._lock:
            self._holds.append(hold)
            self._stops.append((match, when, hold))
        return hold

    def add_hook(self, match: Match, when: When, hook: Hook) -> None:
        with self._lock:
            self._stops.append((match, when, hook))

    def clear_faults(self) -> None:
        with self._lock:
            self._faults.clear()

    def clear(self) -> None:
        """Nothing is set any more and nobody is held."""
        with self._lock:
            self._faults.clear()
            self._stops.clear()
            for hold in self._holds:
                hold.release()
            self._holds.clear()

    def fault(self, request: Request, endpoint: str) -> Fault | None:
        with self._lock:
            for match, fault in self._faults:
                unlucky = fault.probability >= 1 or self._random.random() < fault.probability
                if unlucky and match.meets(request, endpoint):
                    return fault
            return None

    def stops(self, request: Request, endpoint: str) -> dict[When, list[Hold | Hook]]:
        """Whatever waits for this request at its two points."""
        if not self._stops:
            return {}
        found: dict[When, list[Hold | Hook]] = {}
        with self._lock:
            for match, when, stop in self._stops:
                if match.meets(request, endpoint):
                    found.setdefault(when, []).append(stop)
        return found


def pass_stops(stops: list[Hold | Hook]) -> None:
    for stop in stops:
        if isinstance(stop, Hold):
            stop.stand()
        else:
            stop()
