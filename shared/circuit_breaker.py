"""A circuit breaker: who may try while what they all need does not answer.

What refuses says so at once. What hangs costs each caller all the time that it has, and its thread
with it. So once enough calls in a row have had no answer, few may try and the others are told at
once; the first answer lets everybody in again.
"""

import threading
import time
from collections.abc import Callable
from typing import Final, Self

EVERY_SECONDS: Final = 1.0
"""How often one more may try: a single call that hangs (a locked row) shuts nobody out for long."""

HANGING_SECONDS: Final = 1.0
"""A call that had less time than this tells nothing by having had no answer."""


class CircuitBreaker:
    """One database or one API, as its callers find it. Threads share it."""

    def __init__(
        self, enough: int, most: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`enough` calls without an answer, none answered in between, and it is taken to hang.

        `most` may then try at once, one more each second.
        """
        self._enough = enough
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._unanswered = 0
        self._trying = 0
        self._next = 0.0

    @classmethod
    def for_threads(cls, threads: int) -> Self:
        """Return one for so many callers at once: all of them had no answer, half may try."""
        return cls(max(threads, 2), max(threads // 2, 1))

    def enter(self) -> bool:
        """Whether the caller may try now; who may must say what became of it, and leave."""
        with self._lock:
            if self._unanswered >= self._enough:
                now = self._clock()
                if self._trying >= self._most or now < self._next:
                    return False
                self._next = now + EVERY_SECONDS
            self._trying += 1
            return True

    def leave(self, *, answered: bool | None) -> None:
        """Say whether there was an answer; None where the call tells nothing."""
        with self._lock:
            self._trying -= 1
            if answered:
                self._unanswered = 0
            elif answered is not None:
                self._unanswered += 1
