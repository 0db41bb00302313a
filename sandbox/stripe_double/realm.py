"""One account in one mode: its objects, its events, its prices."""

import math
import threading
from collections.abc import Callable

from sandbox.stripe_double.clock import Clock
from sandbox.stripe_double.events import Event, EventLog
from sandbox.stripe_double.ids import IdScheme
from sandbox.stripe_double.outbox import Outbox
from sandbox.stripe_double.prices import make_price, price_list
from sandbox.stripe_double.seeds import CustomerSeeds, SeedPlan, SubscriptionSeeds
from sandbox.stripe_double.shelf import Shelf
from sandbox.stripe_double.states import Customer, JsonObject, Price, State, Subscription
from sandbox.stripe_double.stencils import Stencils
from sandbox.stripe_double.switches import Switches

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
        self.subscription_ids = IdScheme("sub_1", name, 23)
        self.customer_ids = IdScheme("cus_", name, 14)
        self.item_ids = IdScheme("si_", name, 14)
        self.other_ids = IdScheme("1", name, 23)
        self.subscriptions: Shelf[Subscription] = Shelf(self.subscription_ids)
        self.customers: Shelf[Customer] = Shelf(self.customer_ids)
        self.events = EventLog(IdScheme("evt_1", name, 23), IdScheme("evt_65", name, 32))
        self.outbox = Outbox()
        self.stencils = Stencils()
        self.prices = price_list(name, livemode=livemode)
        self._subscriptions_of: dict[str, list[int]] = {}
        self._seeded: list[CustomerSeeds] = []
        self._items_made: dict[int, int] = {}
        self._others_made = 0

    def second(self) -> int:
        """The whole second of the clock that Stripe would stamp now."""
        return math.floor(self.clock.now())

    def price(self, name: str) -> Price:
        """A price by its name or id."""
        found = self.prices.get(name)
        if found is None:
            found = next((price for price in self.prices.values() if price.id == name), None)
        if found is None:
            raise LookupError(f"no price {name!r}; there are {', '.join(self.prices)}")
        return found

    def add_price(self, name: str, product: str, details: JsonObject) -> Price:
        made = make_price(self.other_id("price_"), name, product, details, livemode=self.livemode)
        self.prices[name] = made
        return made

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


class RealmPart:
    """One subject of the control over a realm, which `find` gives anew: resets replace it."""

    def __init__(self, find: Callable[[], Realm]) -> None:
        self._find = find

    @property
    def _realm(self) -> Realm:
        return self._find()
