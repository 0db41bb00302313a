"""A list of Stripe's split into its objects, whatever stands in one of them.

A lone surrogate in one object keeps the strict decoder from the whole list; the standard library
takes it. So one poisoned object never hides the others, or stops a run.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class RawList(msgspec.Struct):
    """A list's objects, each as JSON still to be decoded."""

    data: list[msgspec.Raw]
    has_more: bool


class _LooseList(msgspec.Struct):
    data: list[Any]
    has_more: bool


_decoder = msgspec.json.Decoder(RawList)
_loose_decoder = msgspec.json.Decoder(_LooseList)


def split(body: bytes | bytearray) -> RawList:
    """Return the objects of a list. Raises msgspec.DecodeError where it is none."""
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        page = _loosely(body, _loose_decoder)
        return RawList([msgspec.Raw(json.dumps(one).encode()) for one in page.data], page.has_more)


def head(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Return a few fields of one object, even of one that cannot be read as a whole.

    Raises msgspec.DecodeError where these fields themselves cannot be read.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _loosely(bytes(raw), decoder)


def _loosely(body: bytes | bytearray, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return msgspec.convert(json.loads(body), decoder.type)
    except (ValueError, RecursionError) as error:
        raise msgspec.DecodeError(f"not JSON ({type(error).__name__})") from None
