"""Making a subscription, and changing its fields and items."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import structs

from sandbox.stripe_double.changes.customers import Customers
from sandbox.stripe_double.changes.fields import overlay, split_fields
from sandbox.stripe_double.changes.shop import Shop
from sandbox.stripe_double.objects.seeds import ITEM_STRIDE, period_around
from sandbox.stripe_double.objects.states import TERMINAL_STATUSES, Item, Price, Subscription
from sandbox.stripe_double.realm.part import RealmPart
from sandbox.stripe_double.realm.realm import Realm

_DAY = 86_400


class Subscriptions(RealmPart):
    """`events` and unknown fields as in `ObjectChanges`."""

    def __init__(self, find: Callable[[], Realm]) -> None:
        super().__init__(find)
        self._customers = Customers(find)
        self._shop = Shop(find)

    def create(
        self,
        /,
        *,
        id: str | None = None,  # noqa: A002 -- Stripe's own name
        customer: str | None = None,
        price: str = "basic",
        quantity: int | None = 1,
        items: Sequence[Mapping[str, Any]] | None = None,
        trial_days: int | None = None,
        events: int = 1,
        **fields: Any,
    ) -> str:
        """Returns the new id. One item of `price` unless `items` says more; makes a customer."""
        realm = self._realm
        with realm.lock:
            number = realm.subscriptions.next_number
            name = id or realm.subscriptions.name(number)
            wanted = items if items is not None else [{"price": price, "quantity": quantity}]
            known, extra = split_fields(Subscription, fields)
            now = realm.second()
            created = known.setdefault("created", now)
            known.setdefault("start_date", created)
            known.setdefault("billing_cycle_anchor", created)
            known.setdefault("latest_invoice", realm.other_id("in_"))
            known.setdefault("status", "active" if trial_days is None else "trialing")
            if trial_days is not None:
                known["trial_start"] = now
                known["trial_end"] = now + trial_days * _DAY
            if customer is None:
                customer = self._customers.create(test_clock=known.get("test_clock"), events=events)
            owner = realm.customers.find(customer)
            if owner is not None and owner.customer_account is not None:
                known.setdefault("customer_account", owner.customer_account)
                known.setdefault("account_only", owner.account_only)
            made = tuple(self._new_item(number, created, item) for item in wanted)
            known.setdefault("currency", made[0].price.currency if made else "eur")
            state = Subscription(
                id=name,
                customer=customer,
                items=made,
                livemode=realm.livemode,
                extra=extra,
                **known,
            )
            realm.add_subscription(state)
            realm.emit("customer.subscription.created", state, times=events)
            return name

    def update(self, subscription: str, /, *, events: int = 1, **fields: Any) -> str:
        """Any fields. ValueError when the status of an ended one would change, as in Stripe."""
        with self._realm.lock:
            before = self.get(subscription)
            known, extra = split_fields(Subscription, fields)
            known["extra"] = overlay(before.extra, fields, extra)
            return self.become(before, structs.replace(before, **known), events)

    def add_item(
        self, subscription: str, *, price: str = "pro", quantity: int | None = 1, events: int = 1
    ) -> str:
        """Returns the new item's id."""
        with self._realm.lock:
            before = self.get(subscription)
            number = self._realm.subscriptions.number(subscription) or 0
            wanted = {"price": price, "quantity": quantity}
            item = self._new_item(number, self._realm.second(), wanted, len(before.items))
            self.become(before, structs.replace(before, items=(*before.items, item)), events)
            return item.id

    def remove_item(self, subscription: str, item: str, *, events: int = 1) -> str:
        with self._realm.lock:
            before = self.get(subscription)
            number = self._realm.subscriptions.number(subscription) or 0
            self._realm.remember_items(number, len(before.items))
            left = tuple(one for one in before.items if one.id != item)
            return self.become(before, structs.replace(before, items=left), events)

    def change_item(
        self, /, subscription: str, item: str, *, events: int = 1, **fields: Any
    ) -> str:
        """Fields: price (name or id), quantity, metadata, current_period_start and _end, ..."""
        with self._realm.lock:
            before = self.get(subscription)
            known, extra = split_fields(Item, fields)
            if "price" in known:
                known["price"] = self._realm.price(known["price"])
            items = tuple(
                structs.replace(one, **known, extra=overlay(one.extra, fields, extra))
                if one.id == item
                else one
                for one in before.items
            )
            return self.become(before, structs.replace(before, items=items), events)

    def get(self, name: str) -> Subscription:
        """Call it with the realm's lock."""
        found = self._realm.subscriptions.find(name)
        if found is None:
            raise LookupError(f"no subscription {name!r}")
        return found

    def become(
        self, before: Subscription, state: Subscription, events: int, *, asked: bool = True
    ) -> str:
        """Call it with the realm's lock. `asked`: by a request, and not by Stripe itself."""
        if before.status in TERMINAL_STATUSES and state.status != before.status:
            raise ValueError(f"{before.id} is {before.status}, which is final")
        if state != before:
            self._realm.keep(state)
            self._realm.emit(
                "customer.subscription.updated", state, before=before, times=events, asked=asked
            )
        return state.id

    def _item_price(self, name: str, price_data: Mapping[str, Any] | None) -> Price:
        """One on offer, or a new one that no list shows."""
        if price_data is not None:
            name = self._shop.create_price(active=False, inline=True, **price_data)
        return self._realm.price(name)

    def _new_item(
        self, number: int, created: int, wanted: Mapping[str, Any], present: int = 0
    ) -> Item:
        given = dict(wanted)
        price = self._item_price(given.pop("price", "basic"), given.pop("price_data", None))
        quantity = given.pop("quantity", 1)
        start, end = period_around(price, created, self._realm.second())
        known, extra = split_fields(Item, given)
        known.setdefault("id", self._realm.item_id(number, ITEM_STRIDE, present))
        known = {
            "created": created,
            "current_period_start": start,
            "current_period_end": end,
        } | known
        return Item(
            price=price,
            quantity=None if price.usage_type == "metered" else quantity,
            extra=extra,
            **known,
        )
