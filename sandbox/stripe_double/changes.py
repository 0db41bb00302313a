"""What can happen to customers and subscriptions, and the events that Stripe makes of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from sandbox.stripe_double.realm import RealmPart
from sandbox.stripe_double.seeds import ITEM_STRIDE, SeedPlan, period_around
from sandbox.stripe_double.states import Customer, Item, JsonObject, Subscription

_DAY = 86_400
_SEED_PRICES = ("basic", "basic_yearly", "pro", "pro_yearly", "team", "yen")


class Changes(RealmPart):
    """Each change is one instant of the clock.

    `events` says how many Event objects Stripe makes of a change: 1, or 0 (it failed to), or 2.
    Fields that the double does not know by name, and `extra`, lie over the rendered body as given.
    A change that leaves everything as it was makes no event.
    """

    # Customers

    def create_customer(
        self,
        *,
        id: str | None = None,  # noqa: A002 -- Stripe's own name
        events: int = 1,
        **fields: Any,
    ) -> str:
        """Returns the new id. Fields: email, name, metadata, test_clock, created, phone, ..."""
        realm = self._realm
        with realm.lock:
            number = realm.customers.next_number
            given = {"email": f"customer{number}@example.com", "name": f"Customer {number}"}
            known, extra = _split(Customer, {**given, **fields})
            known.setdefault("created", realm.second())
            known.setdefault("invoice_prefix", f"INV{number:05d}")
            state = Customer(
                id=id or realm.customers.name(number), livemode=realm.livemode, extra=extra, **known
            )
            realm.customers.add(state, realm.clock.now())
            realm.emit("customer.created", state, times=events)
            return state.id

    def update_customer(self, customer: str, *, events: int = 1, **fields: Any) -> str:
        realm = self._realm
        with realm.lock:
            before = self._customer(customer)
            known, extra = _split(Customer, fields)
            state = structs.replace(before, **known, extra=_overlay(before.extra, fields, extra))
            if state != before:
                self._keep_customer(state)
                realm.emit("customer.updated", state, before=before, times=events)
            return customer

    def delete_customer(self, customer: str, *, events: int = 1) -> str:
        """Cancels the customer's subscriptions first, as Stripe does."""
        realm = self._realm
        with realm.lock:
            state = self._customer(customer)
            for number in realm.subscriptions_of(customer):
                subscription = realm.subscriptions.state(number)
                if subscription is not None and subscription.ended_at is None:
                    self.cancel(subscription.id, events=events)
            # The event shows the customer as it was, without `deleted`.
            realm.emit("customer.deleted", state, times=events)
            self._keep_customer(structs.replace(state, deleted=True))
            return customer

    # Subscriptions

    def create_subscription(
        self,
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
            known, extra = _split(Subscription, fields)
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
                customer = self.create_customer(test_clock=known.get("test_clock"), events=events)
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

    def update_subscription(self, subscription: str, *, events: int = 1, **fields: Any) -> str:
        with self._realm.lock:
            before = self._subscription(subscription)
            known, extra = _split(Subscription, fields)
            known["extra"] = _overlay(before.extra, fields, extra)
            return self._become(before, structs.replace(before, **known), events)

    def add_item(
        self, subscription: str, *, price: str = "pro", quantity: int | None = 1, events: int = 1
    ) -> str:
        """Returns the new item's id."""
        with self._realm.lock:
            before = self._subscription(subscription)
            number = self._realm.subscriptions.number(subscription) or 0
            wanted = {"price": price, "quantity": quantity}
            item = self._new_item(number, self._realm.second(), wanted, len(before.items))
            self._become(before, structs.replace(before, items=(*before.items, item)), events)
            return item.id

    def remove_item(self, subscription: str, item: str, *, events: int = 1) -> str:
        with self._realm.lock:
            before = self._subscription(subscription)
            left = tuple(one for one in before.items if one.id != item)
            return self._become(before, structs.replace(before, items=left), events)

    def change_item(self, subscription: str, item: str, *, events: int = 1, **fields: Any) -> str:
        """Fields: price (name or id), quantity, metadata, current_period_start and _end, ..."""
        with self._realm.lock:
            before = self._subscription(subscription)
            known, extra = _split(Item, fields)
            if "price" in known:
                known["price"] = self._realm.price(known["price"])
            items = tuple(
                structs.replace(one, **known, extra=_overlay(one.extra, fields, extra))
                if one.id == item
                else one
                for one in before.items
            )
            return self._become(before, structs.replace(before, items=items), events)

    def activate(self, subscription: str, *, events: int = 1) -> str:
        """First payment made, trial over, or debt settled."""
        return self.update_subscription(subscription, status="active", events=events)

    def pause(self, subscription: str, *, events: int = 1) -> str:
        """The status `paused`, as after a trial without a payment method."""
        return self._move(subscription, "paused", "paused", events, paused_at=self._realm.second())

    def resume(self, subscription: str, *, events: int = 1) -> str:
        return self._move(subscription, "active", "resumed", events, paused_at=None)

    def pause_collection(
        self,
        subscription: str,
        *,
        behavior: str = "void",
        resumes_at: int | None = None,
        events: int = 1,
    ) -> str:
        pause = {"behavior": behavior, "resumes_at": resumes_at}
        return self.update_subscription(subscription, pause_collection=pause, events=events)

    def cancel(self, subscription: str, *, at_period_end: bool = False, events: int = 1) -> str:
        realm = self._realm
        with realm.lock:
            now = realm.second()
            reason = "cancellation_requested"
            if at_period_end:
                before = self._subscription(subscription)
                return self.update_subscription(
                    subscription,
                    cancel_at_period_end=True,
                    cancel_at=max((item.current_period_end for item in before.items), default=now),
                    canceled_at=now,
                    cancellation_reason=reason,
                    events=events,
                )
            before = self._subscription(subscription)
            state = structs.replace(
                before,
                status="canceled",
                canceled_at=before.canceled_at or now,
                ended_at=now,
                cancel_at_period_end=False,
                cancellation_reason=reason,
            )
            self._keep(state)
            realm.emit("customer.subscription.deleted", state, times=events)
            return subscription

    def expire(self, subscription: str, *, events: int = 1) -> str:
        """An incomplete one whose first payment never came."""
        return self.update_subscription(
            subscription,
            status="incomplete_expired",
            ended_at=self._realm.second(),
            events=events,
        )

    def renew(self, subscription: str, *, events: int = 1) -> str:
        """Every item goes into the period that follows its present one."""
        realm = self._realm
        with realm.lock:
            before = self._subscription(subscription)
            items = tuple(_renewed(item) for item in before.items)
            state = structs.replace(before, items=items, latest_invoice=realm.other_id("in_"))
            return self._become(before, state, events)

    # Any event at all

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

    # Many at once

    def seed(
        self,
        count: int,
        *,
        start: int | None = None,
        end: int | None = None,
        items: int = 1,
        seed: int = 0,
        prices: Sequence[str] = _SEED_PRICES,
    ) -> None:
        """So many subscriptions, each with a customer, without events.

        Created evenly over [start, end), by default the two years that end an hour ago.
        """
        realm = self._realm
        with realm.lock:
            now = realm.second()
            until = now - 3_600 if end is None else end
            realm.seed(
                SeedPlan(
                    first_subscription=realm.subscriptions.next_number,
                    first_customer=realm.customers.next_number,
                    count=count,
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

    # Within

    def _customer(self, name: str) -> Customer:
        found = self._realm.customers.find(name)
        if found is None:
            raise LookupError(f"no customer {name!r}")
        return found

    def _subscription(self, name: str) -> Subscription:
        found = self._realm.subscriptions.find(name)
        if found is None:
            raise LookupError(f"no subscription {name!r}")
        return found

    def _keep_customer(self, state: Customer) -> None:
        number = self._realm.customers.number(state.id)
        if number is not None:
            self._realm.customers.change(number, state, self._realm.clock.now())

    def _keep(self, state: Subscription) -> None:
        number = self._realm.subscriptions.number(state.id)
        if number is not None:
            self._realm.subscriptions.change(number, state, self._realm.clock.now())

    def _become(self, before: Subscription, state: Subscription, events: int) -> str:
        if state != before:
            self._keep(state)
            self._realm.emit("customer.subscription.updated", state, before=before, times=events)
        return state.id

    def _move(
        self, subscription: str, status: str, kind: str, events: int, *, paused_at: int | None
    ) -> str:
        """Into or out of `paused`, which Stripe tells by two events."""
        with self._realm.lock:
            before = self._subscription(subscription)
            state = structs.replace(before, status=status, paused_at=paused_at)
            self._become(before, state, events)
            self._realm.emit(f"customer.subscription.{kind}", state, times=events)
            return subscription

    def _new_item(
        self, number: int, created: int, wanted: Mapping[str, Any], present: int = 0
    ) -> Item:
        given = dict(wanted)
        price = self._realm.price(given.pop("price", "basic"))
        quantity = given.pop("quantity", 1)
        start, end = period_around(price, created, self._realm.second())
        known, extra = _split(Item, given)
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


def _renewed(item: Item) -> Item:
    start = item.current_period_end
    _, end = period_around(item.price, start, start)
    return structs.replace(item, current_period_start=start, current_period_end=end)


def _split(
    kind: type[Subscription | Customer | Item], fields: Mapping[str, Any]
) -> tuple[dict[str, Any], JsonObject]:
    """Fields that the state has by name, and the rest, which lies over the body."""
    names = set(kind.__struct_fields__) - {"extra"}
    known = {name: value for name, value in fields.items() if name in names}
    if "discounts" in known:
        known["discounts"] = tuple(known["discounts"])
    extra = {name: value for name, value in fields.items() if name not in names | {"extra"}}
    return known, {**fields.get("extra", {}), **extra}


def _overlay(before: JsonObject, fields: Mapping[str, Any], extra: JsonObject) -> JsonObject:
    """`extra` replaces what lay over the body; single unknown fields are added to it."""
    return extra if "extra" in fields else {**before, **extra}
