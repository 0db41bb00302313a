"""All changes: those of one object, events for their own sake, and many objects at once."""

from collections.abc import Sequence
from typing import Any

from sandbox.stripe_double.lifecycle import Lifecycle
from sandbox.stripe_double.object_changes import ObjectChanges
from sandbox.stripe_double.objects.catalogue import KINDS, kind_named
from sandbox.stripe_double.seeds import SeedPlan
from sandbox.stripe_double.states import JsonObject

_DAY = 86_400
_SEED_PRICES = ("basic", "basic_yearly", "pro", "pro_yearly", "team", "yen")


class Changes(Lifecycle):
    def create(self, kind: str, /, **fields: Any) -> str:
        """Any object of the catalogue, with these fields and no others; returns its id."""
        return ObjectChanges(self._find, kind_named(kind)).create(**fields)

    def update(self, kind: str, name: str, /, **fields: Any) -> str:
        return ObjectChanges(self._find, kind_named(kind)).update(name, **fields)

    def emit(self, kind: str, name: str, *, extra: JsonObject | None = None) -> str:
        """An event of any type for an object as it is now: `trial_will_end` and the like."""
        with self._realm.lock:
            found = (self._realm.find(one.name, name) for one in KINDS)
            state = next((one for one in found if one is not None), None)
            if state is None:
                raise LookupError(f"no object {name!r}")
            return self._realm.emit(kind, state, extra=extra)[0]

    def emit_object(self, kind: str, body: JsonObject, *, extra: JsonObject | None = None) -> str:
        """An event of any type with any object; `extra` lies over the event itself."""
        with self._realm.lock:
            return self._realm.emit_body(kind, body, extra)

    def seed(
        self,
        count: int,
        *,
        customers: int | None = None,
        start: int | None = None,
        end: int | None = None,
        items: int = 1,
        seed: int = 0,
        prices: Sequence[str] = _SEED_PRICES,
        inline_prices: bool = False,
    ) -> None:
        """So many subscriptions and customers (as many, unless said otherwise), without events.

        `inline_prices`: each subscription has a price of its own, like one of `prices`.
        Created evenly over [start, end), by default the two years that end an hour ago.
        """
        realm = self._realm
        owners = count if customers is None else customers
        if not 0 < owners <= count:
            raise ValueError(f"{count} subscriptions have 1 to {count} customers, not {owners}")
        with realm.lock:
            now = realm.second()
            until = now - 3_600 if end is None else end
            realm.seed(
                SeedPlan(
                    first_subscription=realm.subscriptions.next_number,
                    first_customer=realm.customers.next_number,
                    count=count,
                    customers=owners,
                    start=until - 730 * _DAY if start is None else start,
                    end=until,
                    now=now,
                    items=items,
                    seed=seed,
                    livemode=realm.livemode,
                    prices=tuple(realm.price(name) for name in prices),
                    price_names=tuple(prices),
                    inline_ids=realm.inline_price_ids if inline_prices else None,
                    first_inline=realm.inline_prices.next_number,
                    subscription_ids=realm.ids["subscription"],
                    customer_ids=realm.ids["customer"],
                    item_ids=realm.item_ids,
                )
            )
