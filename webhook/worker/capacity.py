"""How many connections there is room for, and how many bytes of requests that are not whole."""

import errno
import resource
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from webhook.worker.sender import Sender, in_order_of_ending

HELD_BYTES: Final = 16 * 2**20
"""Bytes of unfinished requests at least; four of the largest where that is more."""

GRACE_SECONDS: Final = 1.0
"""How long nobody is taken for idle while others are."""

_SPARE_FILES: Final = 32
"""File numbers left for the log, certificates and name look-ups."""

_OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_OF_THE_NETWORK: Final = frozenset(
    {
        *(errno.ENETDOWN, errno.EPROTO, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.EOPNOTSUPP, errno.ENETUNREACH, errno.EPERM),
    }
)
"""What a new connection may bring along, says accept(2); the next one is as good as any."""

_MOST_FILES: Final = 65_536


class Capacity:
    """The open connections of one worker. Threads share it."""

    def __init__(self, most: int, threads: int, max_body: int) -> None:
        """`most` connections, fewer where the process may not have so many files."""
        self.most = max(min(most, allowed_files() - _SPARE_FILES - 4 * threads), 4)
        self._most_bytes = max(HELD_BYTES, 4 * max_body)
        self._open: set[Sender] = set()
        self._lock = threading.Lock()
        self._bytes = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another one."""
        return len(self._open) >= self.most

    def enter(self, sender: Sender) -> None:
        """Count a connection."""
        self._open.add(sender)

    def leave(self, sender: Sender) -> None:
        """Count a connection no more, before it is closed."""
        self._open.discard(sender)
        self._hold(sender, 0)

    def holds(self, sender: Sender) -> bool:
        """Count the bytes that a connection holds by now; False where they are too many in all."""
        return self._hold(sender, len(sender.reader)) <= self._most_bytes

    def to_be_ended(self, waiting: Iterable[Sender]) -> list[Sender]:
        """Return one in a hundred of those who wait, at least one: who has been idle longest."""
        ordered = in_order_of_ending(waiting, time.monotonic(), GRACE_SECONDS)
        return ordered[: max(self.most // 100, 1)]

    @staticmethod
    def is_of_the_network(error: OSError) -> bool:
        """Whether only that one connection could not be let in."""
        return error.errno in _OF_THE_NETWORK

    @staticmethod
    def is_out_of_files(error: OSError) -> bool:
        """Whether a connection could not be let in for want of room in the process or system."""
        return error.errno in _OUT_OF_FILES

    def _hold(self, sender: Sender, size: int) -> int:
        with self._lock:
            self._bytes += size - sender.held
            sender.held = size
            return self._bytes


def allowed_files() -> int:
    """Return how many more files the process may open, once it has asked for all it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY:
        return _MOST_FILES
    return soft - sum(1 for _ in Path("/dev/fd").iterdir())
