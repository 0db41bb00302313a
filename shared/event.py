"""A Stripe event, from the signed bytes to the snapshot that it carries."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec

from shared import truth
from shared.errors import NotAnEvent, UnreadableObject
from shared.mirrored import Content, MirroredObject
from shared.objects import EVENT_TYPES, as_deleted

LAST_SECOND = 253402300799
"""9999-12-31T23:59:59Z, the last second that every part of the house can hold."""

_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
_Second = Annotated[int, msgspec.Meta(ge=1, le=LAST_SECOND)]


class _Data(msgspec.Struct):
    object: msgspec.Raw = msgspec.Raw(b"")


class Event(msgspec.Struct, frozen=True):
    """The envelope of a Stripe event; what it carries stays JSON until it is asked for.

    `created` is in epoch seconds. `account` stands only on events of connected accounts.
    """

    id: _Word
    type: _Word
    created: _Second
    livemode: bool
    object: _Word = "event"
    account: str | None = None
    api_version: _Word | None = None
    data: _Data = msgspec.field(default_factory=_Data)
    unreadable: bool = False

    @property
    def mirrored(self) -> MirroredObject | None:
        """The declaration of the object it carries, None for a type that is not mirrored."""
        return EVENT_TYPES.get(self.type)

    @property
    def interval(self) -> truth.Interval:
        """The interval of Stripe's time in which its snapshot was true."""
        return truth.of_event(self.created, is_creation=self.type.endswith(".created"))

    def content(self, mirrored: MirroredObject) -> Content:
        """Read the snapshot. Raises UnreadableObject with the path of what cannot be read."""
        if self.unreadable or not bytes(self.data.object):
            reason = "not readable JSON" if self.unreadable else "the event carries no object"
            raise UnreadableObject("$.data.object", reason)
        content = mirrored.decode(self.data.object)
        return as_deleted(content) if self.type == "customer.deleted" else content


_decoder = msgspec.json.Decoder(Event)


def decode_event(body: bytes) -> Event:
    """Read the envelope of an event.

    Raises NotAnEvent for what is not JSON or not a Stripe event. An event whose object alone is
    unreadable (lone surrogates, say) is an event: it can be kept and tried again.
    """
    try:
        event = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise NotAnEvent(f"not a Stripe event: {_place(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = _with_unreadable_object(body)
    if event.object != "event":
        raise NotAnEvent(f"not a Stripe event: its object is {event.object!r:.40}")
    return event


def _with_unreadable_object(body: bytes) -> Event:
    """Read what the strict decoder refuses: the standard library's takes lone surrogates."""
    try:
        envelope: Any = json.loads(body)
        known = {name: envelope[name] for name in _decoder_fields & envelope.keys()}
        return msgspec.convert({**known, "unreadable": True}, Event)
    except (ValueError, RecursionError, AttributeError, TypeError, msgspec.ValidationError):
        raise NotAnEvent("the body is not JSON") from None


_decoder_fields = {"id", "type", "created", "livemode", "object", "account", "api_version"}


def _place(error: msgspec.ValidationError) -> str:
    return str(error).partition(" - at ")[2].strip("`") or "a field is missing"
