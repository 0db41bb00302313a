"""The events that wait for a thread: so many at work, the rest in order of arrival."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class WorkQueue(Generic[T]):
    """At most `most` threads work through the jobs of all; none waits for another."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy = 0
        self._jobs: deque[T] = deque()
        self._lock = threading.Lock()
        self.turns = 0
        """How often a thread came for its next job: who looks twice sees whether any moves on."""

    def put(self, job: T) -> bool:
        """Line up; whether the caller is to work, that is to take jobs until there are none."""
        with self._lock:
            self._jobs.append(job)
            is_free = self._busy < self._most
            self._busy += is_free
            return is_free

    def add(self, job: T) -> None:
        """Line up, for a caller who is at work already."""
        self._jobs.append(job)

    def take(self) -> T | None:
        """Take the oldest job; None ends the caller's work."""
        with self._lock:
            self.turns += 1
            if self._jobs:
                return self._jobs.popleft()
            self._busy -= 1
            return None

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread."""
        return len(self._jobs)

    @property
    def is_full(self) -> bool:
        """Whether nobody else may begin to work."""
        return self._busy >= self._most
