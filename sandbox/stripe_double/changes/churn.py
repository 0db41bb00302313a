"""Random but lawful life: what customers and Stripe do to subscriptions all day."""

import random
from collections.abc import Callable
from typing import TypeAlias

from sandbox.stripe_double.changes.customers import Customers
from sandbox.stripe_double.changes.lifecycle import Lifecycle
from sandbox.stripe_double.changes.shop import Shop
from sandbox.stripe_double.changes.subscriptions import Subscriptions
from sandbox.stripe_double.objects.states import TERMINAL_STATUSES, Subscription
from sandbox.stripe_double.realm.part import RealmPart
from sandbox.stripe_double.realm.realm import Realm

_PRICES = ("basic", "basic_yearly", "pro", "pro_yearly", "metered", "tiered", "decimal")
_MAX_ITEMS = 15
_TRIES = 50

_Turn: TypeAlias = Callable[[Subscription, random.Random, int], None]


class Churn(RealmPart):
    def __init__(self, find: Callable[[], Realm]) -> None:
        super().__init__(find)
        self._subscriptions = Subscriptions(find)
        self._customers = Customers(find)
        self._lifecycle = Lifecycle(find)
        self._shop = Shop(find)

    def churn(
        self,
        changes: int,
        *,
        seed: int = 0,
        seconds: float = 1.0,
        create: float = 0.1,
        events: int | None = 1,
    ) -> int:
        """So many random changes; returns how many events they made.

        Between two of them the clock moves by nothing (half the time: a burst within a second) or
        by up to four times `seconds`. `create`: share that makes a subscription. `events`: as in
        `Changes`; None: mostly one, sometimes two, sometimes none.
        """
        chance = random.Random(seed)
        before = len(self._realm.events)
        for _ in range(changes):
            if chance.random() < 0.5:
                self._realm.clock.advance(chance.uniform(0, 4 * seconds))
            times = chance.choices((1, 2, 0), (94, 5, 1))[0] if events is None else events
            state = self._pick(chance) if chance.random() >= create else None
            if state is None:
                self._begin(chance, times)
            else:
                chance.choice(self._choices(state))(state, chance, times)
        return len(self._realm.events) - before

    def _pick(self, chance: random.Random) -> Subscription | None:
        """One that can still change, or None when so many tries met only ended ones."""
        shelf = self._realm.subscriptions
        with self._realm.lock:
            for _ in range(_TRIES if len(shelf) else 0):
                state = shelf.state(chance.randrange(len(shelf)))
                if state is not None and state.status not in TERMINAL_STATUSES:
                    return state
        return None

    def _begin(self, chance: random.Random, times: int) -> None:
        kind = chance.choice(("active", "incomplete", "trial"))
        self._subscriptions.create(
            status="trialing" if kind == "trial" else kind,
            trial_days=14 if kind == "trial" else None,
            price=chance.choice(_PRICES),
            quantity=chance.randint(1, 9),
            events=times,
        )

    def _choices(self, state: Subscription) -> list[_Turn]:
        """What may happen to a subscription in this state; the common things more than once."""
        always: list[_Turn] = [
            self._relabel,
            self._more_items,
            self._fewer_items,
            self._reprice,
            self._requantify,
        ]
        by_status: dict[str, list[_Turn]] = {
            "incomplete": [self._activate, self._activate, self._expire],
            "trialing": [self._activate, self._activate, self._pause, self._cancel],
            "active": [self._renew, self._fall_behind, self._cancel_later, self._cancel],
            "past_due": [self._activate, self._activate, self._give_up, self._cancel],
            "unpaid": [self._activate, self._cancel],
            "paused": [self._resume, self._resume, self._cancel],
        }
        rare: list[_Turn] = [self._rename_customer, self._stop_collecting, self._lose_customer]
        if self._realm.switches.shop == "open":
            rare += [self._relabel_product, self._relabel_price]
        some = always + by_status.get(state.status, [])
        return some * 3 + rare

    def _relabel(self, state: Subscription, chance: random.Random, times: int) -> None:
        metadata = {**state.metadata, "note": f"n{chance.randrange(1_000)}"}
        self._subscriptions.update(state.id, metadata=metadata, events=times)

    def _more_items(self, state: Subscription, chance: random.Random, times: int) -> None:
        if len(state.items) < _MAX_ITEMS:
            price = chance.choice(_PRICES)
            self._subscriptions.add_item(
                state.id, price=price, quantity=chance.randint(1, 9), events=times
            )

    def _fewer_items(self, state: Subscription, chance: random.Random, times: int) -> None:
        if len(state.items) > 1:
            self._subscriptions.remove_item(state.id, chance.choice(state.items).id, events=times)

    def _reprice(self, state: Subscription, chance: random.Random, times: int) -> None:
        item = chance.choice(state.items)
        price = self._realm.price(chance.choice(_PRICES))
        quantity = None if price.usage_type == "metered" else item.quantity or 1
        self._subscriptions.change_item(
            state.id, item.id, price=price.id, quantity=quantity, events=times
        )

    def _requantify(self, state: Subscription, chance: random.Random, times: int) -> None:
        item = chance.choice(state.items)
        if item.quantity is not None:
            self._subscriptions.change_item(
                state.id, item.id, quantity=chance.randint(1, 99), events=times
            )

    def _activate(self, state: Subscription, _: random.Random, times: int) -> None:
        self._lifecycle.activate(state.id, events=times)

    def _expire(self, state: Subscription, _: random.Random, times: int) -> None:
        self._lifecycle.expire(state.id, events=times)

    def _pause(self, state: Subscription, _: random.Random, times: int) -> None:
        self._lifecycle.pause(state.id, events=times)

    def _resume(self, state: Subscription, _: random.Random, times: int) -> None:
        self._lifecycle.resume(state.id, events=times)

    def _renew(self, state: Subscription, _: random.Random, times: int) -> None:
        self._lifecycle.renew(state.id, events=times)

    def _fall_behind(self, state: Subscription, _: random.Random, times: int) -> None:
        self._subscriptions.update(state.id, status="past_due", events=times)

    def _give_up(self, state: Subscription, _: random.Random, times: int) -> None:
        self._subscriptions.update(state.id, status="unpaid", events=times)

    def _cancel_later(self, state: Subscription, chance: random.Random, times: int) -> None:
        in_portal = chance.random() < 0.5
        self._lifecycle.cancel(state.id, at_period_end=True, in_portal=in_portal, events=times)

    def _cancel(self, state: Subscription, _: random.Random, times: int) -> None:
        self._lifecycle.cancel(state.id, events=times)

    def _stop_collecting(self, state: Subscription, _: random.Random, times: int) -> None:
        self._lifecycle.pause_collection(state.id, events=times)

    def _rename_customer(self, state: Subscription, chance: random.Random, times: int) -> None:
        name = f"Customer {chance.randrange(1_000)}"
        self._customers.update(state.customer, name=name, events=times)

    def _lose_customer(self, state: Subscription, _: random.Random, times: int) -> None:
        self._lifecycle.delete_customer(state.customer, events=times)

    def _relabel_product(self, _: Subscription, chance: random.Random, times: int) -> None:
        metadata = {"note": f"n{chance.randrange(1_000)}"}
        product = chance.choice([*self._realm.product_names])
        self._shop.update_product(product, metadata=metadata, events=times)

    def _relabel_price(self, _: Subscription, chance: random.Random, times: int) -> None:
        metadata = {"note": f"n{chance.randrange(1_000)}"}
        self._shop.update_price(chance.choice(_PRICES), metadata=metadata, events=times)
