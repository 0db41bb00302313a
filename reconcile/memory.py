"""Keep the process small: a run is one of many things on a small box."""

from __future__ import annotations

import ctypes
import sys

_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Have threads share two arenas of memory (glibc gives each its own, up to eight a core).

    What a window has freed is then at hand for the next, whichever thread walks it: a sixth less
    memory with sixteen windows at once. Elsewhere than under glibc nothing is changed.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_ARENA_MAX, _ARENAS)
