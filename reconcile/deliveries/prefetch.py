"""What comes slowly, fetched in a thread of its own before it is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """An iterator that is read ahead, by `most` elements and no more."""

    def __init__(self, source: Iterator[T], most: int) -> None:
        """Begin at once. `source` is used in the thread alone."""
        self._source = source
        self._room = threading.Semaphore(most)
        self._found: SimpleQueue[tuple[T] | Exception | None] = SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._read, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        """Yield what the source does, and raise what it raised in its place."""
        while (found := self._found.get()) is not None:
            if isinstance(found, Exception):
                raise found
            self._room.release()
            yield found[0]

    def close(self) -> None:
        """Read no further; returns when what is being read has come."""
        self._is_closed = True
        self._room.release()
        self._thread.join()

    def _read(self) -> None:
        last: Exception | None = None
        try:
            while self._room.acquire() and not self._is_closed:
                self._found.put((next(self._source),))
        except StopIteration:
            pass
        except Exception as error:  # noqa: BLE001 (whoever reads it has to hear of it)
            last = error
        self._found.put(last)
