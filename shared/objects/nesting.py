"""How deep JSON may be nested: a bound of our own, because each interpreter has another.

Python's decoder and msgspec's give up where the interpreter's stack does: at some 900 levels on
3.11, at thousands on 3.12 and newer. Stripe's own objects are nested 8 levels or so.
"""

import re
from typing import Final

MOST: Final = 128
"""Levels of arrays and objects within each other."""

TOO_DEEP: Final = f"JSON nested deeper than {MOST} levels"

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def is_too_deep(body: bytes | bytearray | memoryview) -> bool:
    """Return whether JSON is nested deeper than MOST levels. What is no JSON may be either."""
    # As a rule there are fewer brackets in all: two looks that cost a microsecond.
    whole = bytes(body)
    return whole.count(b"[") + whole.count(b"{") > MOST and cut(whole) != whole


def cut(body: bytes) -> bytes:
    """Return the JSON with what lies deeper than MOST levels replaced by null."""
    parts: list[bytes] = []
    level = kept = 0
    for token in _TOKEN.finditer(body):
        first = token[0][:1]
        if first in b"[{":
            level += 1
            if level == MOST + 1:
                parts.append(body[kept : token.start()])
        elif first in b"]}":
            if level == MOST + 1:
                parts.append(b"null")
                kept = token.end()
            level -= 1
    if level > MOST:
        return b"".join(parts)  # and never closed: no JSON, however it is read
    return b"".join([*parts, body[kept:]])
