"""Objects of a page that are recognised by their bytes, and so need not be decoded.

Most of a night's work is to find out again what was found out the night before. A fingerprint says
that a row of the database (by a hash of its whole content) and a body of Stripe's (by its length
and a hash of its bytes) were compared field by field and found equal. Both sides are still read in
full every night: where either has another content, nothing is recognised, and fields are compared.

The hashes are of 64 bits. One changed object in 1.8e19 would pass for unchanged by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from json import JSONDecoder
from pathlib import Path
from typing import NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from shared.objects.column import LONGEST_ID

_SIGNED = 1 << 63
_ALL_BITS = (1 << 64) - 1

_json = JSONDecoder()

_ID = b'      "id": "'
_LONGEST_ID = 12 * LONGEST_ID + 1
"""Bytes of the longest id and its quote: twelve of a character that JSON escapes as a pair."""
_OPENED = b'"data": ['
_FIRST = b"\n    {\n"
_LAST = b"\n    }"
_NEXT = _LAST + b"," + _FIRST
_CLOSED = _LAST + b"\n  ]"
_LONGEST_HEAD = 512

_PACKAGES = ("objects", "repository", "stripe")
"""The packages of `shared` that read the two sides."""


class Known(msgspec.Struct, array_like=True, gc=False):
    """A row whose content was found equal to a body: how to recognise that body.

    `created` in epoch seconds; `status` None for objects without one; `length` in bytes.
    """

    id: str
    created: int
    revision: int
    status: str | None
    length: int
    hash: int


class Body(NamedTuple):
    """What tells an object's JSON from any other: its length in bytes and its hash."""

    length: int
    hash: int


class Recognised(NamedTuple):
    """A page without the objects that were recognised.

    `same` are these, in the page's order. `rest` is the page with the others alone, `bodies` tells
    theirs by id, `last_is_same` whether the page's last object was recognised.
    """

    same: list[Known]
    rest: bytes | bytearray
    bodies: dict[str, Body]
    last_is_same: bool


def seed(salt: int, *packages: str) -> int:
    """Return what both hashes begin with, a signed number of 64 bits.

    It changes with every line of what reads and compares the two sides: the packages named above,
    and those that the caller names by a file of theirs. Another version of the product may find
    another content equal, so it recognises nothing and compares everything once.
    """
    shared = Path(__file__).parents[1]
    folders = [*(shared / name for name in _PACKAGES), *(Path(file).parent for file in packages)]
    digest = sha256(b"%d" % salt + msgspec.__version__.encode())
    for folder in folders:
        for module in sorted(folder.glob("*.py")):
            digest.update(module.name.encode() + b"\0" + module.read_bytes())
    return int.from_bytes(digest.digest()[:8], "big") - _SIGNED


def recognise(body: bytes | bytearray, known: Mapping[str, Known], seed: int) -> Recognised | None:
    """Take out of a list page what is known to be equal to its row.

    None where the page is not laid out as Stripe lays it out (indented by two spaces, one object
    after the other, its id first): then it has to be decoded as it is. Between two objects stand
    bytes that stand nowhere within one, since JSON has no raw line break in a string.
    """
    opened = body.find(_OPENED, 0, _LONGEST_HEAD)
    at = opened + len(_OPENED)
    if opened < 0 or not body.startswith(_FIRST, at):
        return None
    unsigned = seed & _ALL_BITS
    view = memoryview(body)
    start = at + len(_FIRST)
    same: list[Known] = []
    rest: list[memoryview] = []
    bodies: dict[str, Body] = {}
    while True:
        begin = start + len(_ID)
        # An id that is none of Stripe's stays unknown, whatever is made of its bytes here.
        name = body[begin : body.find(b'"', begin, begin + _LONGEST_ID)].decode("utf-8", "replace")
        if "\\" in name:
            name = _unescaped(body, begin) or name
        one = known.get(name)
        if (
            one is not None
            and _hash(view[start : (end := start + one.length)], unsigned) == one.hash
            and (is_last := _is_last(body, end)) is not None
        ):
            same.append(one)
            is_same = True
        else:
            end, is_last = _end(body, start)
            if end < 0 or not body.startswith(_ID, start):
                return None
            piece = view[start:end]
            bodies[name] = Body(end - start, _hash(piece, unsigned))
            rest.append(piece)
            is_same = False
        if is_last:
            break
        start = end + len(_NEXT)
    if not same:
        return Recognised(same, body, bodies, is_same)
    objects = _FIRST + _NEXT.join(rest) + _LAST if rest else b""
    left = b"".join((view[:at], objects, view[end + len(_LAST) :]))
    return Recognised(same, left, bodies, is_same)


def _unescaped(body: bytes | bytearray, begin: int) -> str | None:
    """Return the text of a JSON string that begins behind its quote, None where it is none."""
    text = body[begin - 1 : begin + _LONGEST_ID].decode(errors="replace")
    try:
        return str(_json.raw_decode(text)[0])
    except ValueError:
        return None


def _hash(piece: memoryview, seed: int) -> int:
    """Return a hash as PostgreSQL can hold it: a signed number."""
    return xxh3_64_intdigest(piece, seed) - _SIGNED


def _is_last(body: bytes | bytearray, end: int) -> bool | None:
    """Return whether an object that ends here is the page's last; None where none ends here."""
    if body.startswith(_NEXT, end):
        return False
    return True if body.startswith(_CLOSED, end) else None


def _end(body: bytes | bytearray, start: int) -> tuple[int, bool]:
    """Return where the object that begins here ends, and whether it is the last; -1 for nowhere."""
    end = body.find(_NEXT, start)
    return (end, False) if end >= 0 else (body.find(_CLOSED, start), True)
