"""A page of a list of Stripe's, read as a whole or, where that fails, object by object."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from shared import stripe_list
from shared.errors import UnreadableObject
from shared.mirrored import NUL, MirroredObject, decode


class Unreadable(NamedTuple):
    """An object of a list that cannot be read, and why; `created` in epoch seconds."""

    id: str
    created: int
    error: UnreadableObject


class Page(NamedTuple):
    """A page in Stripe's order (newest first).

    `objects` are decoded, not settled. `oldest` is the `created` of its last object, None for an
    empty page.
    """

    objects: list[Any]
    has_more: bool
    oldest: int | None
    unreadable: list[Unreadable]


class _Stub(msgspec.Struct):
    """What must be readable of every listed object: without it a list cannot be walked."""

    id: str
    created: int


def decode_page(mirrored: MirroredObject, body: bytes) -> Page:
    """Read a list page. Raises UnreadableObject where it is no list page at all."""
    if NUL in body:
        return _decode_singly(mirrored, body)
    try:
        page = decode(mirrored.page_decoder, body)
    except UnreadableObject:
        return _decode_singly(mirrored, body)
    if any(one.created is None for one in page.data):
        raise UnreadableObject("$.data[...].created", "Expected `int`, got `null`")
    oldest = page.data[-1].created if page.data else None
    return Page(page.data, page.has_more, oldest, [])


def _decode_singly(mirrored: MirroredObject, body: bytes) -> Page:
    """Read the page's objects one by one, so that one bad object does not hide the others."""
    try:
        page = stripe_list.split(body)
        stubs = [stripe_list.head(raw, _Stub) for raw in page.data]
    except msgspec.DecodeError as error:
        raise UnreadableObject("$", str(error)) from None
    objects: list[Any] = []
    unreadable: list[Unreadable] = []
    for raw, stub in zip(page.data, stubs, strict=True):
        try:
            mirrored.decode(raw)
        except UnreadableObject as error:
            unreadable.append(Unreadable(stub.id, stub.created, error))
        else:
            objects.append(decode(mirrored.decoder, raw))
    return Page(objects, page.has_more, stubs[-1].created if stubs else None, unreadable)
