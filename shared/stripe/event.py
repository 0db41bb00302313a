"""A Stripe event, from the signed bytes to the snapshot that it carries."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from shared import truth
from shared.errors import NotAnEvent, UnreadableObject
from shared.objects import nesting
from shared.objects.catalogue import BY_NAME, EVENT_TYPES
from shared.objects.column import LAST_SECOND
from shared.objects.declaration import Content, MirroredObject, decode

# Not `$`, which a line feed may follow.
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[!-~]+\Z")]
_Second = Annotated[int, msgspec.Meta(ge=1, le=LAST_SECOND)]


class Related(msgspec.Struct, frozen=True):
    """The object that a thin event tells of."""

    id: str
    type: str


class _Named(msgspec.Struct):
    """What is left to be read of an object that cannot be read."""

    id: str


class Event(msgspec.Struct, frozen=True):
    """A Stripe event; the object that it carries stays JSON until it is asked for.

    `created` is in epoch seconds. `account` and `context` name the account where Stripe names one
    (`account.py`). `carried` is None where the object's JSON is none that can be held;
    `named` is then its id, if that was found. `related`: a thin event, which carries nothing.
    `address`: where Stripe keeps the event itself for 30 days.
    """

    id: str
    type: str
    created: int
    livemode: bool
    account: str | None
    context: str | None
    api_version: str | None
    carried: msgspec.Raw | None
    related: Related | None
    named: str | None = None
    address: str = "/v1/events"

    @property
    def mirrored(self) -> MirroredObject | None:
        """The declaration of the object it tells of, None for a type that is not mirrored."""
        if self.related is not None:
            return BY_NAME.get(self.related.type)
        return EVENT_TYPES.get(self.type)

    @property
    def interval(self) -> truth.Interval:
        """The interval of Stripe's time in which its snapshot was true."""
        is_creation = self.type.endswith(".created") and self.related is None
        return truth.of_event(self.created, is_creation=is_creation)

    def tells_of_deletion(self, mirrored: MirroredObject) -> bool:
        """Return whether its object is deleted; a thin event's type says it with its version."""
        return self.type.removeprefix("v1.") == mirrored.deleted_by

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
        return mirrored.decode(self.carried, deleted=self.tells_of_deletion(mirrored))

    def subject(self) -> Content:
        """Return of which object it tells and nothing more, as if it were a thin event.

        For a snapshot that cannot be read, or not be believed: the rest is to be asked for. Raises
        UnreadableObject where not even the id can be read, or it is none of such an object.
        """
        if self.related is not None:
            return Content(self.related.id, (), None)
        name = self.named
        if self.carried is not None:
            name = decode(_named_decoder, self.carried).id
        if name is None or self.mirrored is None or not self.mirrored.decoded.may_be_id(name):
            raise UnreadableObject("$.data.object.id", "not readable")
        return Content(name, (), None)


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
    context: str | None = None
    api_version: _Word | None = None
    data: _Data | None = None

    def event(self, carried: msgspec.Raw | None, named: str | None = None) -> Event:
        if self.object != "event":
            raise NotAnEvent("not a Stripe event: its `object` says something else")
        return Event(
            id=self.id,
            type=self.type,
            created=self.created,
            livemode=self.livemode,
            account=self.account,
            context=self.context,
            api_version=self.api_version,
            carried=carried,
            related=None,
            named=named,
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
    account: str | None = None
    context: str | None = None
    related_object: Related | None = None
    snapshot_event: _Word | None = None


_decoder = msgspec.json.Decoder(_Envelope)
_thin_decoder = msgspec.json.Decoder(_ThinEvent)
_named_decoder = msgspec.json.Decoder(_Named)


def decode_event(body: bytes) -> Event:
    """Read the envelope of an event.

    Raises NotAnEvent for what is not JSON in UTF-8 (RFC 8259: without a byte order mark, numbers
    finite) or not a Stripe event. An event whose object alone is unreadable (lone surrogates, say)
    is an event: it can be kept and tried again. A thin event takes the id of its snapshot twin
    where it names one: the two are one event, done once.
    """
    if nesting.is_too_deep(body):
        return _leniently(nesting.cut(body))
    try:
        envelope = _decoder.decode(body)
    except msgspec.ValidationError as error:
        thin = _thin(body)
        if thin is None:
            raise NotAnEvent(f"not a Stripe event: {_place(error)}") from None
        return thin
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _leniently(body)
    return envelope.event(envelope.data.object if envelope.data else msgspec.Raw(b""))


def _thin(body: bytes) -> Event | None:
    """Read a thin event, None for anything else."""
    try:
        thin = _thin_decoder.decode(body)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _leniently(body)
    return _of_thin(thin)


def _of_thin(thin: _ThinEvent) -> Event | None:
    related = thin.related_object
    mirrored = BY_NAME.get(related.type) if related else None
    if related and mirrored and not mirrored.decoded.may_be_id(related.id):
        return None
    if thin.created.tzinfo is None:
        return None
    return Event(
        id=thin.snapshot_event or thin.id,
        type=thin.type,
        created=int(thin.created.timestamp()),
        livemode=thin.livemode,
        account=thin.account,
        context=thin.context,
        api_version=None,
        carried=None,
        related=related,
        address="/v1/events" if thin.snapshot_event else "/v2/core/events",
    )


def _leniently(body: bytes) -> Event:
    """Read the envelope of JSON that the strict decoder refuses for a lone surrogate in it."""
    try:
        whole: Any = json.loads(body.decode(), parse_constant=_refuse)
        carried = whole.pop("data", None)
        if whole.get("object") == "v2.core.event":
            if (thin := _of_thin(msgspec.convert(whole, _ThinEvent))) is not None:
                return thin
            raise ValueError(whole)
        return msgspec.convert(whole, _Envelope).event(None, _name_of(carried))
    except (ValueError, RecursionError, TypeError, AttributeError, msgspec.ValidationError):
        raise NotAnEvent("the body is not JSON of an event") from None


def _name_of(carried: Any) -> str | None:
    """Return the id of the object that an event carries, None where it has none to ask for."""
    try:
        return msgspec.convert(carried["object"], _Named).id
    except (KeyError, TypeError, msgspec.ValidationError):
        return None


def _refuse(constant: str) -> None:
    """Refuse NaN and the infinities, which Python reads and JSON has not."""
    raise ValueError(constant)


def _place(error: msgspec.ValidationError) -> str:
    return str(error).partition(" - at ")[2].strip("`") or "a field is missing"
