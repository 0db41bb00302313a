"""A page of a list of Stripe's, read as a whole or, where that fails, object by object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from shared.errors import UnreadableObject
from shared.objects.declaration import MirroredObject, decode, may_have_nul
from shared.stripe import lists as stripe_list
from shared.stripe.recognition import Body, Known, recognise


class Unreadable(NamedTuple):
    """An object of a list that cannot be read, and why; `created` in epoch seconds."""

    id: str
    created: int
    error: UnreadableObject


class Page(msgspec.Struct):
    """A page in Stripe's order (newest first).

    `objects` are decoded, not settled; `same` are those that were recognised in their stead.
    `oldest` and `last_id` are of the page's last object, None for an empty page. `bodies` tells the
    objects' bodies by id, empty where nothing was to be recognised.
    """

    objects: list[Any]
    has_more: bool
    oldest: int | None = None
    last_id: str | None = None
    same: list[Known] = []
    unreadable: list[Unreadable] = []
    bodies: Mapping[str, Body] = {}


class Memory(NamedTuple):
    """What is known to be equal, by id, and what the hashes begin with."""

    known: Mapping[str, Known]
    seed: int


class _Stub(msgspec.Struct):
    """What must be readable of every listed object: without it a list cannot be walked."""

    id: str
    created: int


_stub_decoder = msgspec.json.Decoder(_Stub)


def decode_page(
    mirrored: MirroredObject, body: bytes | bytearray, memory: Memory | None = None
) -> Page:
    """Read a list page, without what `memory` recognises.

    Raises UnreadableObject where it is no list page at all.
    """
    found = recognise(body, memory.known, memory.seed) if memory is not None else None
    if found is None:
        return _decode(mirrored, body)
    try:
        page = _decode(mirrored, found.rest)
    except UnreadableObject:
        return _decode(mirrored, body)
    names = [one.id for one in (*page.objects, *page.unreadable)]
    if len(names) != len(found.bodies) or found.bodies.keys() != set(names):
        # An object that is listed twice, or two that look like one: whose body is whose?
        return _decode(mirrored, body)
    page.same, page.bodies = found.same, found.bodies
    if found.last_is_same:
        last = found.same[-1]
        page.oldest, page.last_id = last.created, last.id
    return page


def _decode(mirrored: MirroredObject, body: bytes | bytearray) -> Page:
    if may_have_nul(body):
        return _decode_singly(mirrored, body)
    try:
        page = decode(mirrored.page_decoder, body)
    except UnreadableObject:
        return _decode_singly(mirrored, body)
    if any(one.created is None for one in page.data):
        raise UnreadableObject("$.data[...].created", "Expected `int`, got `null`")
    if not page.data:
        return Page([], page.has_more)
    last = page.data[-1]
    return Page(page.data, page.has_more, last.created, last.id)


def _decode_singly(mirrored: MirroredObject, body: bytes | bytearray) -> Page:
    """Read the page's objects one by one, so that one bad object does not hide the others."""
    try:
        page = stripe_list.split(body)
        stubs = [stripe_list.head(raw, _stub_decoder) for raw in page.data]
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
    if not stubs:
        return Page([], page.has_more)
    last = stubs[-1]
    return Page(objects, page.has_more, last.created, last.id, unreadable=unreadable)
