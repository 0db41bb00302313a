"""Ids of Stripe's look that can be computed from a number and read back.

A million seeded objects need no table of ids this way.
"""

import hashlib

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_PAIR_VALUES = {pair: value for value, pair in enumerate(_PAIRS)}
_WIDTH = 8
_SPACE = 62**_WIDTH
# Shares no factor with 62, so that multiplying by it only shuffles the numbers.
_STRIDE = 131_071_234_567_891
_BACK = pow(_STRIDE, -1, _SPACE)
_SHIFT = 97_531_086_420_000


class IdScheme:
    """Turns the numbers of one kind of object into ids and back."""

    def __init__(self, prefix: str, realm: str, length: int) -> None:
        digest = int(hashlib.sha256(f"{realm} {prefix}".encode()).hexdigest(), 16)
        tail = "".join(_DIGITS[digest // 62**place % 62] for place in range(length))
        self._prefix = prefix
        self._tail = tail[: length - _WIDTH]
        self._length = len(prefix) + length

    def make(self, number: int) -> str:
        value = (number * _STRIDE + _SHIFT) % _SPACE
        high, low = divmod(value, 62**4)
        first, second = divmod(high, 62**2)
        third, fourth = divmod(low, 62**2)
        middle = _PAIRS[first] + _PAIRS[second] + _PAIRS[third] + _PAIRS[fourth]
        return f"{self._prefix}{middle}{self._tail}"

    def number(self, name: str) -> int | None:
        """The number behind an id of this scheme, None for any other text."""
        if (
            len(name) != self._length
            or not name.startswith(self._prefix)
            or not name.endswith(self._tail)
        ):
            return None
        middle = name[len(self._prefix) : len(self._prefix) + _WIDTH]
        value = 0
        for place in range(0, _WIDTH, 2):
            pair = _PAIR_VALUES.get(middle[place : place + 2])
            if pair is None:
                return None
            value = value * 62**2 + pair
        number: int = (value - _SHIFT) * _BACK % _SPACE
        return number
