"""What an independent judge may know: every state that an object ever had, in Stripe's order."""

from collections.abc import Iterator

from msgspec import Struct

from sandbox.stripe_double.bodies import render
from sandbox.stripe_double.customer_body import deleted_customer_body
from sandbox.stripe_double.encoding import plain
from sandbox.stripe_double.event_routes import listed_event
from sandbox.stripe_double.realm import RealmPart
from sandbox.stripe_double.states import NEWEST_VERSION, Customer, JsonObject, State
from sandbox.stripe_double.subscription_body import Style

_WHOLE = Style(version=NEWEST_VERSION, embedded=None)


class Seen(Struct, frozen=True, kw_only=True):
    """An object as it was from the clock's time `at` on (-inf: since before the double began)."""

    at: float
    object: JsonObject


class Truth(RealmPart):
    """Objects in the newest shape, with all items and the customer as an id."""

    def truth(self, name: str) -> JsonObject | None:
        """The object as it is; a deleted customer as `{"id", "object", "deleted": true}`."""
        with self._realm.lock:
            state = self._realm.subscriptions.find(name) or self._realm.customers.find(name)
        return None if state is None else _show(state)

    def truths(self, kind: str) -> Iterator[JsonObject]:
        """All objects of a kind as they are, oldest first."""
        for name in self.ids(kind):
            found = self.truth(name)
            if found is not None:
                yield found

    def history(self, name: str) -> list[Seen]:
        """Every state the object ever had, oldest first; several may be of one instant."""
        realm = self._realm
        with realm.lock:
            number = realm.subscriptions.number(name)
            if number is not None:
                moments = [(one.at, one.state) for one in realm.subscriptions.history(number)]
                return [Seen(at=at, object=_show(state)) for at, state in moments]
            number = realm.customers.number(name)
            if number is None:
                return []
            past = realm.customers.history(number)
        return [Seen(at=one.at, object=_show(one.state)) for one in past]

    def ids(self, kind: str) -> list[str]:
        with self._realm.lock:
            shelf = self._realm.subscriptions if kind == "subscription" else self._realm.customers
            return list(shelf.names())

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

    @property
    def prices(self) -> dict[str, str]:
        """The ids of the prices on offer by their names."""
        return {name: price.id for name, price in self._realm.prices.items()}


def _show(state: State) -> JsonObject:
    if isinstance(state, Customer) and state.deleted:
        return deleted_customer_body(state)
    found: JsonObject = plain(render(state, _WHOLE))
    return found
