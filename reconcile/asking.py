"""Questions to Stripe about many objects: several at a time, and yet the run can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")

_ASKERS = 8
_PULSE = 0.1


def answers(
    ask: Callable[[A], T], subjects: Sequence[A], alive: Callable[[], None]
) -> Iterator[tuple[A, Future[T]]]:
    """Yield what `ask` returns of each, or raises, as it comes.

    `alive` is called all the while and may stop it: then only what is under way is waited for.
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
                alive()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
