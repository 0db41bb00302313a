"""Keep a process of many threads small: how glibc is to hold memory for them.

Elsewhere than under glibc nothing is changed.
"""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_ARENAS = 2
_LARGE_BYTES = 131_072


def share_arenas() -> None:
    """Have threads share two arenas of memory (glibc gives each its own, up to eight a core).

    What a window has freed is then at hand for the next, whichever thread walks it: a sixth less
    memory with sixteen windows at once.
    """
    _tell(_M_ARENA_MAX, _ARENAS)


def give_large_blocks_back() -> None:
    """Have what is larger than 128 KiB go back to the system when it is freed.

    glibc does so until the first is freed; from then on it keeps as much, for each thread anew:
    25 MiB after a few bodies of 2 MiB, and a third of a run's memory, whose pages and batches are
    that large. It costs a run 5 to 8 % of its CPU.
    """
    _tell(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _tell(parameter: int, value: int) -> None:
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(parameter, value)
