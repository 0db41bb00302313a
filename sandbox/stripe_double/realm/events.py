"""Stripe's Event objects: what they keep, how they are rendered, the list of them."""

from bisect import bisect_left
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from sandbox.stripe_double.objects.catalogue import kind_of_event, render
from sandbox.stripe_double.objects.customer import CUSTOMER
from sandbox.stripe_double.objects.ids import IdScheme
from sandbox.stripe_double.objects.kind import Style
from sandbox.stripe_double.objects.states import State
from sandbox.stripe_double.protocol.encoding import JsonObject

KEPT_SECONDS = 30 * 86_400


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One Event object. `account_version`: the account's API version when it happened.

    Its object is a state, rendered for whoever reads, or a body given as it is. `thin_only`: it is
    of Stripe's second API, which tells what changed and shows nothing of it.
    """

    id: str
    number: int
    type: str
    created: int
    at: float
    livemode: bool
    account_version: str
    object_id: str
    request_id: str | None
    state: State | None = None
    before: State | None = None
    body: JsonObject | None = None
    extra: JsonObject = {}
    thin_only: bool = False


def event_body(
    event: Event, style: Style, *, pending: int, drop_items: bool, context: str | None = None
) -> JsonObject:
    """An event as its endpoint or the event list shows it; `pending`: endpoints still to answer."""
    data: JsonObject = {"object": event.body if event.state is None else render(event.state, style)}
    if drop_items and event.type.endswith((".paused", ".resumed")):
        del data["object"]["items"]
    if event.before is not None and event.state is not None:
        data["previous_attributes"] = _previous(
            render(event.before, style), render(event.state, style)
        )
    return {
        "id": event.id,
        "object": "event",
        "api_version": style.version,
        **({} if context is None else {"context": context}),
        "created": event.created,
        "data": data,
        "livemode": event.livemode,
        "pending_webhooks": pending,
        "request": {"id": event.request_id, "idempotency_key": None},
        "type": event.type,
        **event.extra,
    }


def _previous(before: JsonObject, after: JsonObject) -> JsonObject:
    changed: JsonObject = {}
    for field in before.keys() | after.keys():
        old, new = before.get(field), after.get(field)
        if old == new:
            continue
        if field == "items" and isinstance(old, dict):
            changed[field] = {"data": old["data"]}
        elif isinstance(old, dict) and isinstance(new, dict):
            changed[field] = _previous(old, new)
        else:
            changed[field] = old
    return dict(sorted(changed.items()))


def thin_body(event: Event, ids: IdScheme, *, context: str | None = None) -> JsonObject:
    """An event of Stripe's second API: the thin twin of a snapshot event, or one without a twin."""
    moment = datetime.fromtimestamp(event.at, tz=UTC).isoformat(timespec="milliseconds")
    asked = {"id": event.request_id, "idempotency_key": ""}
    body: JsonObject = {
        "id": ids.make(event.number),
        "object": "v2.core.event",
        "type": event.type if event.thin_only else f"v1.{event.type}",
        "livemode": event.livemode,
        "created": moment.replace("+00:00", "Z"),
        "context": context,
        "reason": None if event.request_id is None else {"type": "request", "request": asked},
        "related_object": _related(event),
    }
    return body if event.thin_only else {**body, "snapshot_event": event.id}


def _related(event: Event) -> JsonObject:
    kind = kind_of_event(event.type) or CUSTOMER
    name, path = kind.name, f"/v1/{kind.collection}"
    if event.thin_only:
        name, path = "v2.core.account", "/v2/core/accounts"
    url = f"{path}/{quote(event.object_id, safe='')}"
    return {"id": event.object_id, "type": name, "url": url}


class EventLog:
    """Every event ever, oldest first; Stripe shows those of the last 30 days."""

    def __init__(self, ids: IdScheme, thin_ids: IdScheme) -> None:
        self.thin_ids = thin_ids
        self._ids = ids
        self._events: list[Event] = []
        # Event ids that no endpoint has accepted; all others have been.
        self.unaccepted: set[str] = set()
        # From when on the list shows an event that it did not show at once.
        self.shown_from: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._events)

    def next_id(self) -> str:
        return self._ids.make(len(self._events))

    def append(self, event: Event) -> None:
        self._events.append(event)
        self.unaccepted.add(event.id)

    def all(self) -> list[Event]:
        return list(self._events)

    def find(self, name: str) -> Event | None:
        number = self._ids.number(name)
        if number is None or number >= len(self._events):
            return None
        return self._events[number]

    def span(self, lower: int, upper: int) -> tuple[int, int]:
        """The places [first, last) of events created in the seconds [lower, upper)."""
        return (
            bisect_left(self._events, lower, key=_created),
            bisect_left(self._events, upper, key=_created),
        )

    def at(self, place: int) -> Event:
        return self._events[place]


def _created(event: Event) -> int:
    return event.created
