"""What an independent judge may know: every state that an object ever had, in Stripe's order."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, structs

from sandbox.stripe_double.http.event_routes import listed_event
from sandbox.stripe_double.objects.catalogue import KINDS, kind_named, kind_of, render
from sandbox.stripe_double.objects.kind import Find, Style
from sandbox.stripe_double.objects.shelf import Shelf
from sandbox.stripe_double.objects.states import NEWEST_VERSION, State
from sandbox.stripe_double.protocol.encoding import JsonObject, plain
from sandbox.stripe_double.realm.part import RealmPart

_WHOLE = Style(version=NEWEST_VERSION, embedded=None, expand=frozenset({"tiers"}))


class Seen(Struct, frozen=True, kw_only=True):
    """An object as it was from the clock's time `at` on (-inf: since before the double began)."""

    at: float
    object: JsonObject


class Truth(RealmPart):
    """Objects in the newest shape, with all items and tiers, and other objects as ids."""

    def truth(self, name: str) -> JsonObject | None:
        """The object as it is; a deleted one as `{"id", "object", "deleted": true}`."""
        shelf = self._shelf(name)
        if shelf is None:
            return None
        with self._realm.lock:
            state = shelf.find(name)
            return None if state is None else _show(state, self._realm.find)

    def truths(self, kind: str) -> Iterator[JsonObject]:
        """All objects of a kind as they are, oldest first."""
        for name in self.ids(kind):
            found = self.truth(name)
            if found is not None:
                yield found

    def history(self, name: str) -> list[Seen]:
        """Every state the object ever had, oldest first; several may be of one instant."""
        shelf = self._shelf(name)
        if shelf is None:
            return []
        with self._realm.lock:
            past = shelf.history(shelf.number(name) or 0)
        return [Seen(at=one.at, object=_show(one.state)) for one in past]

    def ids(self, kind: str) -> list[str]:
        """All ids of a kind, by Stripe's name of it; inline prices come after the others."""
        realm = self._realm
        with realm.lock:
            names = realm.shelves[kind_named(kind).name].names()
            found = [name for name in names if name not in realm.hidden]
            return found + list(realm.inline_prices.names()) if kind == "price" else found

    def _shelf(self, name: str) -> Shelf[Any] | None:
        realm = self._realm
        with realm.lock:
            shelves = (realm.shelf_of(kind.name, name) for kind in KINDS)
            return next((shelf for shelf in shelves if shelf.number(name) is not None), None)

    def events(self) -> list[JsonObject]:
        """All events, oldest first, also those that Stripe's list no longer shows.

        Those of Stripe's second API are not among them.
        """
        realm = self._realm
        with realm.lock:
            shown = [event for event in realm.events.all() if not event.thin_only]
            return [plain(listed_event(event, realm)) for event in shown]

    def event_types(self) -> list[tuple[str, str]]:
        """Id and type of all events, oldest first."""
        with self._realm.lock:
            return [(event.id, event.type) for event in self._realm.events.all()]


def _show(state: State, find: Find | None = None) -> JsonObject:
    if state.deleted:
        return kind_of(state).stub(state.id)
    found: JsonObject = plain(render(state, structs.replace(_WHOLE, find=find)))
    return found
