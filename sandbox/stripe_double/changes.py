"""All changes: those of one object, events for their own sake, and many objects at once."""

from collections.abc import Sequence
from typing import Any

from sandbox.stripe_double.lifecycle import Lifecycle
from sandbox.stripe_double.seeds import SeedPlan
from sandbox.stripe_double.states import JsonObject

_DAY = 86_400
_SEED_PRICES = ("basic", "basic_yearly", "pro", "pro_yearly", "team", "yen")


class Changes(Lifecycle):
    def add_price(self, name: str, *, product: str | None = None, **details: Any) -> str:
        """One more price on offer; returns its id.

        Details: unit_amount, unit_amount_decimal, currency, interval, interval_count, usage_type,
        billing_scheme, meter. Without them: licensed, monthly, in euro, of no amount.
        """
        with self._realm.lock:
            return self._realm.add_price(name, product or f"prod_{name}", details).id

    def emit(self, kind: str, name: str, *, extra: JsonObject | None = None) -> str:
        """An event of any type for an object as it is now: `trial_will_end` and the like."""
        with self._realm.lock:
            found = self._realm.subscriptions.find(name) or self._realm.customers.find(name)
            if found is None:
                raise LookupError(f"no subscription or customer {name!r}")
            return self._realm.emit(kind, found, extra=extra)[0]

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
    ) -> None:
        """So many subscriptions and customers (as many, unless said otherwise), without events.

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
                    subscription_ids=realm.subscription_ids,
                    customer_ids=realm.customer_ids,
                    item_ids=realm.item_ids,
                )
            )
