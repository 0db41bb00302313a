"""A Stripe event, from the signed bytes to the snapshot that it carries."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from shared import nesting, truth
from shared.errors import NotAnEvent, UnreadableObject
from shared.mirrored import Content, MirroredObject
from shared.objects import EVENT_TYPES, RELATED_TYPES, as_deleted

LAST_SECOND = 253402300799
"""9999-12-31T23:59:59Z, the last second that every part of the house can hold."""

_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
_Second = Annotated[int, msgspec.Meta(ge=1, le=LAST_SECOND)]


class Related(msgspec.Struct, frozen=True):
    """The object that a thin event tells of."""

    id: _Word
    type: str


class Event(msgspec.Struct, frozen=True):
    """A Stripe event; the object that it carries stays JSON until it is asked for.

    `created` is in epoch seconds. `account` stands only on events of connected accounts. `carried`
    is None where the object cannot even be found. `related`: a thin event, which carries nothing.
    """

    id: str
    type: str
    created: int
    livemode: bool
    account: str | None
    api_version: str | None
    carried: msgspec.Raw | None
    related: Related | None

    @property
    def mirrored(self) -> MirroredObject | None:
        """The declaration of the object it tells of, None for a type that is not mirrored."""
        if self.related is not None:
            return RELATED_TYPES.get(self.related.type)
        return EVENT_TYPES.get(self.type)

    @property
    def interval(self) -> truth.Interval:
        """The interval of Stripe's time in which its snapshot was true."""
        is_creation = self.type.endswith(".created") and self.related is None
        return truth.of_event(self.created, is_creation=is_creation)

    def content(self, mirrored: MirroredObject) -> Content:
        """Read the snapshot; of a thin event only the id, the rest has to be asked for.

        Raises UnreadableObject with the path of what cannot be read.
        """
        if self.related is not None:
            return Content(self.related.id, (), None)
        if self.carried is None:
            raise UnreadableObject("$.data.object", "not readable JSON")
        if not bytes(self.carried):
            raise UnreadableObject("$.data.object", "the event carries no object")
        content = mirrored.decode(self.carried)
        return as_deleted(content) if self.type == "customer.deleted" else content


class _Data(msgspec.Struct):
    object: msgspec.Raw = msgspec.Raw(b"")


class _Envelope(msgspec.Struct):
    """The JSON of an event (docs.stripe.com/api/events/object)."""

    id: _Word
    type: _Word
    created: _Second
    livemode: bool
    object: str = "event"
    account: str | None = None
    api_version: _Word | None = None
    data: _Data | None = None

    def event(self, carried: msgspec.Raw | None) -> Event:
        if self.object != "event":
            raise NotAnEvent("not a Stripe event: its `object` says something else")
        return Event(
            id=self.id,
            type=self.type,
            created=self.created,
            livemode=self.livemode,
            account=self.account,
            api_version=self.api_version,
            carried=carried,
            related=None,
        )


class _ThinEvent(msgspec.Struct):
    """A notification without a snapshot (docs.stripe.com/api/v2/core/events).

    `snapshot_event` names the event object that tells of the same change in full.
    """

    object: Literal["v2.core.event"]
    id: _Word
    type: _Word
    created: datetime
    livemode: bool
    context: str | None = None
    related_object: Related | None = None
    snapshot_event: _Word | None = None


_decoder = msgspec.json.Decoder(_Envelope)
_thin_decoder = msgspec.json.Decoder(_ThinEvent)


def decode_event(body: bytes) -> Event:
    """Read the envelope of an event.

    Raises NotAnEvent for what is not JSON or not a Stripe event. An event whose object alone is
    unreadable (lone surrogates, say) is an event: it can be kept and tried again. A thin event
    takes the id of its snapshot twin where it names one: the two are one event, done once.
    """
    if nesting.is_too_deep(body):
        return _leniently(nesting.cut(body)).event(None)
    try:
        envelope = _decoder.decode(body)
    except msgspec.ValidationError as error:
        thin = _thin(body)
        if thin is None:
            raise NotAnEvent(f"not a Stripe event: {_place(error)}") from None
        return thin
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _leniently(body).event(None)
    return envelope.event(envelope.data.object if envelope.data else msgspec.Raw(b""))


def _thin(body: bytes) -> Event | None:
    """Read a thin event, None for anything else."""
    try:
        thin = _thin_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if thin.created.tzinfo is None:
        return None
    return Event(
        id=thin.snapshot_event or thin.id,
        type=thin.type,
        created=int(thin.created.timestamp()),
        livemode=thin.livemode,
        account=thin.context,
        api_version=None,
        carried=None,
        related=thin.related_object,
    )


def _leniently(body: bytes) -> _Envelope:
    """Read the envelope of what the strict decoder refuses, lone surrogates above all."""
    try:
        whole: Any = json.loads(body)
        names = ("id", "type", "created", "livemode", "object", "account", "api_version")
        return msgspec.convert({name: whole[name] for name in names if name in whole}, _Envelope)
    except (ValueError, RecursionError, TypeError, msgspec.ValidationError):
        raise NotAnEvent("the body is not JSON") from None


def _place(error: msgspec.ValidationError) -> str:
    return str(error).partition(" - at ")[2].strip("`") or "a field is missing"
