"""One account in one mode: its objects, and its events."""

import math
import threading
from typing import Any

from msgspec import structs

from sandbox.stripe_double.objects.catalogue import KINDS, kind_of
from sandbox.stripe_double.objects.ids import IdScheme
from sandbox.stripe_double.objects.offers import first_prices, first_products
from sandbox.stripe_double.objects.seeds import (
    CustomerSeeds,
    PriceSeeds,
    SeedPlan,
    SubscriptionSeeds,
)
from sandbox.stripe_double.objects.shelf import LATEST, Shelf
from sandbox.stripe_double.objects.states import Customer, Item, Price, Product, State, Subscription
from sandbox.stripe_double.objects.stencils import Stencils
from sandbox.stripe_double.protocol.encoding import JsonObject
from sandbox.stripe_double.realm.clock import Clock
from sandbox.stripe_double.realm.events import Event, EventLog
from sandbox.stripe_double.realm.outbox import Outbox
from sandbox.stripe_double.realm.switches import Switches

# docs.stripe.com/api/v2/core/accounts/events; the library's `events/_v2_core_account_*`.
_ACCOUNT_EVENTS = {
    "customer.created": "v2.core.account.created",
    "customer.updated": "v2.core.account[configuration.customer].updated",
    "customer.deleted": "v2.core.account.closed",
}


class Realm:
    """Objects of other realms are invisible from here. Whoever reads or changes holds `lock`."""

    def __init__(
        self,
        account: str,
        *,
        livemode: bool,
        clock: Clock,
        switches: Switches,
        lock: threading.RLock,
    ) -> None:
        self.account = account
        self.livemode = livemode
        self.clock = clock
        self.switches = switches
        self.lock = lock
        name = f"{account} {'live' if livemode else 'test'}"
        self.ids = {kind.name: IdScheme(kind.ids[0], name, kind.ids[1]) for kind in KINDS}
        self.inline_price_ids = IdScheme("price_1", f"{name} inline", 23)
        self.item_ids = IdScheme("si_", name, 14)
        self.other_ids = IdScheme("1", name, 23)
        self.shelves: dict[str, Shelf[Any]] = {
            kind.name: Shelf(self.ids[kind.name]) for kind in KINDS
        }
        # No list shows them, so that a walk need not pass over a million of them.
        self.inline_prices: Shelf[Price] = Shelf(self.inline_price_ids)
        self.events = EventLog(IdScheme("evt_1", name, 23), IdScheme("evt_65", name, 32))
        self.outbox = Outbox()
        self.stencils = Stencils()
        # The double's own names of products and prices.
        self.product_names: dict[str, str] = {}
        self.price_names: dict[str, str] = {}
        self._subscriptions_of: dict[str, list[int]] = {}
        self._seeded: list[CustomerSeeds] = []
        self._items_made: dict[int, int] = {}
        self._others_made = 0
        self._open_shop()

    def _open_shop(self) -> None:
        products = first_products(self.ids["product"], livemode=self.livemode)
        prices = first_prices(self.ids["price"], products, livemode=self.livemode)
        for states, names in ((products, self.product_names), (prices, self.price_names)):
            for name, state in states.items():
                self.shelves[kind_of(state).name].add(state, -LATEST)
                names[name] = state.id
        self._first_offers = frozenset([*self.product_names.values(), *self.price_names.values()])

    @property
    def hidden(self) -> frozenset[str]:
        """The ids of what no list shows while the shop is closed."""
        return self._first_offers if self.switches.shop == "closed" else frozenset()

    @property
    def subscriptions(self) -> Shelf[Subscription]:
        return self.shelves["subscription"]

    @property
    def customers(self) -> Shelf[Customer]:
        return self.shelves["customer"]

    @property
    def products(self) -> Shelf[Product]:
        return self.shelves["product"]

    @property
    def prices(self) -> Shelf[Price]:
        return self.shelves["price"]

    def shelf_of(self, kind: str, name: str) -> Shelf[Any]:
        """Where an object stands, or would stand."""
        if kind == "price" and self.inline_prices.number(name) is not None:
            return self.inline_prices
        return self.shelves[kind]

    def shelf_for(self, kind: str, *, inline: bool) -> Shelf[Any]:
        """Where a new object goes."""
        return self.inline_prices if inline else self.shelves[kind]

    def find(self, kind: str, name: str) -> Any:
        """The object as it is now, or None."""
        return self.shelf_of(kind, name).find(name)

    def keep(self, state: State) -> None:
        """An object has become this."""
        kind = kind_of(state).name
        shelf = self.shelf_of(kind, state.id)
        number = shelf.number(state.id)
        if number is None:
            raise LookupError(f"no {kind} {state.id!r}")
        shelf.change(number, state, self.clock.now())
        if kind == "price":
            self.stencils.forget()

    def second(self) -> int:
        """The whole second of the clock that Stripe would stamp now."""
        return math.floor(self.clock.now())

    def price(self, name: str) -> Price:
        """A price by its name or id."""
        found: Price | None = self.find("price", self.price_names.get(name, name))
        if found is None:
            raise LookupError(f"no price {name!r}; there are {', '.join(self.price_names)}")
        return found

    def other_id(self, prefix: str) -> str:
        """An id for something that the double does not keep: an invoice, a request."""
        self._others_made += 1
        return prefix + self.other_ids.make(self._others_made)

    def item_id(self, number: int, stride: int, items: int) -> str:
        """An id for one more item of a subscription that was seeded with `items`."""
        place = self._items_made.get(number, items)
        self._items_made[number] = place + 1
        return self.item_ids.make(number * stride + place)

    def remember_items(self, number: int, items: int) -> None:
        """Call before an item goes: its place, and so its id, is never given again."""
        self._items_made.setdefault(number, items)

    def seed(self, plan: SeedPlan) -> None:
        customers = CustomerSeeds(plan)
        self.customers.add_batch(customers)
        self.subscriptions.add_batch(SubscriptionSeeds(plan))
        if plan.inline_ids is not None:
            self.inline_prices.add_batch(PriceSeeds(plan))
        self._seeded.append(customers)

    def add_subscription(self, state: Subscription) -> None:
        number = self.subscriptions.add(state, self.clock.now())
        self._subscriptions_of.setdefault(state.customer, []).append(number)

    def subscriptions_of(self, customer: str) -> list[int]:
        """The numbers of a customer's subscriptions, in order of creation."""
        numbers = list(self._subscriptions_of.get(customer, ()))
        made = self.customers.number(customer)
        if made is not None:
            for seeds in self._seeded:
                numbers += seeds.subscription_numbers(made)
        return sorted(numbers, key=self.subscriptions.place)

    def emit(
        self,
        kind: str,
        state: State,
        *,
        before: State | None = None,
        times: int = 1,
        extra: JsonObject | None = None,
        asked: bool = True,
    ) -> list[str]:
        """So many Event objects for one change, all of this instant.

        `asked`: by a request to the API; what Stripe does by itself names none.
        """
        request = self.other_id("req_") if asked else None
        state, before = self._with_prices(state), before and self._with_prices(before)
        if isinstance(state, Customer) and state.account_only:
            account = str(state.customer_account)
            return [
                self._append(_ACCOUNT_EVENTS[kind], account, request, extra, thin_only=True)
                for _ in range(times)
            ]
        return [
            self._append(kind, state.id, request, extra, state=state, before=before)
            for _ in range(times)
        ]

    def _with_prices(self, state: State) -> State:
        """A subscription with its prices as they are now: an event does not change later."""
        if not isinstance(state, Subscription):
            return state
        items = tuple(self._with_price(item) for item in state.items)
        return state if items == state.items else structs.replace(state, items=items)

    def _with_price(self, item: Item) -> Item:
        price = self.find("price", item.price.id)
        return item if price is None or price is item.price else structs.replace(item, price=price)

    def emit_body(self, kind: str, body: JsonObject, extra: JsonObject | None = None) -> str:
        return self._append(kind, str(body.get("id")), None, extra, body=body)

    def _append(
        self,
        kind: str,
        object_id: str,
        request: str | None,
        extra: JsonObject | None,
        *,
        state: State | None = None,
        before: State | None = None,
        body: JsonObject | None = None,
        thin_only: bool = False,
    ) -> str:
        event = Event(
            id=self.events.next_id(),
            number=len(self.events),
            type=kind,
            created=self.second(),
            at=self.clock.now(),
            livemode=self.livemode,
            account_version=self.switches.account_version,
            object_id=object_id,
            request_id=request,
            state=state,
            before=before,
            body=body,
            extra=extra or {},
            thin_only=thin_only,
        )
        self.events.append(event)
        self.outbox.pending.append(event.id)
        return event.id
