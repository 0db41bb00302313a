"""Many objects at once, without events."""

from collections.abc import Sequence

from sandbox.stripe_double.objects.seeds import SeedPlan
from sandbox.stripe_double.realm.part import RealmPart

_DAY = 86_400
_SEED_PRICES = ("basic", "basic_yearly", "pro", "pro_yearly", "team", "yen")


class Seeding(RealmPart):
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
