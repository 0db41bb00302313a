"""What customers and Stripe do to subscriptions all day, in the double's own process."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from sandbox.chaos.plan import Plan
from sandbox.stripe_double.control.control import Control

# One that has ended is seldom touched again, and a population must last the whole run.
_CANCEL, _DELETE = 0.012, 0.004
_PRICES = ("basic", "basic_yearly", "pro", "pro_yearly", "team", "metered", "tiered", "decimal")
# Ten are embedded in an answer: some subscriptions are to have more.
_MOST_ITEMS = 13
_ENDED = frozenset({"canceled", "incomplete_expired"})

_Truth: TypeAlias = dict[str, Any]
_Turn: TypeAlias = Callable[[_Truth, int], object]


class Life:
    """Changes one subscription after another; Stripe's clock is left alone."""

    def __init__(self, control: Control, plan: Plan) -> None:
        self._control = control
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self._alive: list[str] = []
        self._unsold: list[str] = []
        self._to_create = 0
        self._turns: list[_Turn] = []
        self._weights: list[int] = []
        for weight, turn in (
            (10, self._relabel),
            (13, self._add_item),
            (10, self._remove_item),
            (12, self._reprice),
            (12, self._requantify),
            (18, self._move_on),
            (4, self._there_and_back),
            (8, self._renew),
            (3, self._cancel_later),
            (5, self._pause_collection),
            (4, self._discount),
            (5, self._rename),
            (2, self._remind),
            (2, self._rename_product),
            (2, self._publish_product),
            (3, self._relabel_price),
            (2, self._retire_price),
            (1, self._offer),
            (1, self._sell_inline),
        ):
            self._turns.append(turn)
            self._weights.append(weight)

    def begin(self) -> None:
        """Two fifths were there before the mirror; the others are created as time goes by."""
        before = self._plan.subscriptions * 2 // 5
        self._control.seed(before, items=2, seed=self._plan.seed)
        self._alive = self._control.ids("subscription")
        self._to_create = self._plan.subscriptions - before

    def change(self) -> None:
        """One change, or a burst of them to one subscription within one instant."""
        chance = self._chance
        if self._to_create and chance.random() < self._share_of_creations():
            self._create()
            return
        number = chance.randrange(len(self._alive))
        name = self._alive[number]
        for _ in range(chance.randint(3, 6) if chance.random() < self._plan.bursts else 1):
            truth = self._control.truth(name)
            if truth is None or truth["status"] in _ENDED:
                self._alive[number] = self._alive[-1]
                self._alive.pop()
                return
            # What Stripe would refuse is no change.
            with suppress(ValueError):
                self._turn(truth)(truth, self._times())

    def _share_of_creations(self) -> float:
        # All are there after two thirds of the run.
        return 1.5 * self._plan.subscriptions * 0.6 / self._plan.events

    def _turn(self, truth: _Truth) -> _Turn:
        drawn = self._chance.random()
        if drawn < _CANCEL:
            return self._cancel
        if drawn < _CANCEL + _DELETE:
            return self._delete_customer
        if truth["status"] == "incomplete" and drawn < 0.5:
            return self._move_on
        return self._chance.choices(self._turns, self._weights)[0]

    def _times(self) -> int:
        """How many Event objects Stripe makes of a change."""
        drawn = self._chance.random()
        if drawn < self._plan.two_events:
            return 2
        return 0 if drawn > 1 - self._plan.no_event else 1

    def _create(self) -> None:
        kind = self._chance.choice(("active", "incomplete", "trialing"))
        count = self._chance.choice((1, 1, 2, 3, 11))
        items = [
            {"price": self._chance.choice(_PRICES), "quantity": self._chance.randint(1, 9)}
            for _ in range(count)
        ]
        name = self._control.create_subscription(
            status=kind,
            trial_days=14 if kind == "trialing" else None,
            items=items,
            events=self._times(),
        )
        self._alive.append(name)
        self._to_create -= 1

    def _some_item(self, truth: _Truth) -> _Truth:
        found: _Truth = self._chance.choice(truth["items"]["data"])
        return found

    def _relabel(self, truth: _Truth, times: int) -> object:
        metadata = {**truth["metadata"], "note": f"n{self._chance.randrange(1_000)}"}
        return self._control.update_subscription(truth["id"], metadata=metadata, events=times)

    def _add_item(self, truth: _Truth, times: int) -> object:
        if len(truth["items"]["data"]) >= _MOST_ITEMS:
            return self._remove_item(truth, times)
        price, quantity = self._chance.choice(_PRICES), self._chance.randint(1, 9)
        return self._control.add_item(truth["id"], price=price, quantity=quantity, events=times)

    def _remove_item(self, truth: _Truth, times: int) -> object:
        if len(truth["items"]["data"]) == 1:
            return self._add_item(truth, times)
        item = self._some_item(truth)["id"]
        return self._control.remove_item(truth["id"], item, events=times)

    def _reprice(self, truth: _Truth, times: int) -> object:
        item, price = self._some_item(truth)["id"], self._chance.choice(_PRICES)
        quantity = None if price == "metered" else self._chance.randint(1, 9)
        return self._control.change_item(
            truth["id"], item, price=price, quantity=quantity, events=times
        )

    def _requantify(self, truth: _Truth, times: int) -> object:
        item = self._some_item(truth)
        if item.get("quantity") is None:
            return self._reprice(truth, times)
        quantity = self._chance.randint(1, 99)
        return self._control.change_item(truth["id"], item["id"], quantity=quantity, events=times)

    def _move_on(self, truth: _Truth, times: int) -> object:
        """To a status that may follow the present one."""
        name, status = truth["id"], truth["status"]
        if status == "incomplete" and self._chance.random() < 0.05:
            return self._control.expire(name, events=times)
        if status == "trialing" and self._chance.random() < 0.4:
            return self._control.pause(name, events=times)
        if status == "paused":
            return self._control.resume(name, events=times)
        if status == "active":
            return self._control.update_subscription(name, status="past_due", events=times)
        if status == "past_due" and self._chance.random() < 0.3:
            return self._control.update_subscription(name, status="unpaid", events=times)
        return self._control.activate(name, events=times)

    def _there_and_back(self, truth: _Truth, times: int) -> object:
        """Of the way back Stripe makes no event: only a comparison knows of it."""
        if truth["status"] not in {"active", "past_due"}:
            return self._move_on(truth, times)
        name, status = truth["id"], truth["status"]
        other = "past_due" if status == "active" else "active"
        self._control.update_subscription(name, status=other, events=max(times, 1))
        return self._control.update_subscription(name, status=status, events=0)

    def _renew(self, truth: _Truth, times: int) -> object:
        return self._control.renew(truth["id"], events=times)

    def _cancel_later(self, truth: _Truth, times: int) -> object:
        return self._control.cancel(truth["id"], at_period_end=True, events=times)

    def _cancel(self, truth: _Truth, times: int) -> object:
        return self._control.cancel(truth["id"], events=times)

    def _delete_customer(self, truth: _Truth, times: int) -> object:
        return self._control.delete_customer(truth["customer"], events=times)

    def _pause_collection(self, truth: _Truth, times: int) -> object:
        if truth["pause_collection"] is None:
            return self._control.pause_collection(truth["id"], events=times)
        return self._control.update_subscription(
            truth["id"], pause_collection=None, cancel_at_period_end=False, events=times
        )

    def _discount(self, truth: _Truth, times: int) -> object:
        given = [] if truth["discounts"] else [f"di_{self._chance.randrange(1_000)}"]
        return self._control.update_subscription(truth["id"], discounts=tuple(given), events=times)

    def _rename(self, truth: _Truth, times: int) -> object:
        name = f"Customer {self._chance.randrange(1_000)}"
        return self._control.update_customer(truth["customer"], name=name, events=times)

    def _remind(self, truth: _Truth, _: int) -> object:
        return self._control.emit("customer.subscription.trial_will_end", truth["id"])

    def _some_product(self) -> str:
        return self._chance.choice([*self._control.products, *self._unsold])

    def _rename_product(self, _: _Truth, times: int) -> object:
        name = f"Plan {self._chance.randrange(1_000)}"
        return self._control.update_product(self._some_product(), name=name, events=times)

    def _publish_product(self, _: _Truth, times: int) -> object:
        active = self._chance.random() < 0.5
        return self._control.update_product(self._some_product(), active=active, events=times)

    def _relabel_price(self, _: _Truth, times: int) -> object:
        price = self._chance.choice([*self._control.prices])
        nickname = f"price {self._chance.randrange(1_000)}"
        return self._control.update_price(price, nickname=nickname, events=times)

    def _retire_price(self, _: _Truth, times: int) -> object:
        price = self._chance.choice([*self._control.prices])
        active = self._chance.random() < 0.5
        return self._control.update_price(price, active=active, events=times)

    def _offer(self, _: _Truth, times: int) -> object:
        """A new product without a price, or the end of one; sold ones cannot be deleted."""
        if len(self._unsold) < 5:
            self._unsold.append(self._control.create_product("New", events=times))
            return self._unsold[-1]
        gone = self._unsold.pop(self._chance.randrange(len(self._unsold)))
        return self._control.delete_product(gone, events=times)

    def _sell_inline(self, truth: _Truth, times: int) -> object:
        """For this subscription alone, by a price that no list shows.

        Without an event nobody can know of such a price but by the items that name it.
        """
        amount = self._chance.randrange(100, 9_000)
        price = self._control.create_price(
            product="pro", unit_amount=amount, inline=True, active=False, events=max(times, 1)
        )
        item = self._some_item(truth)["id"]
        return self._control.change_item(truth["id"], item, price=price, quantity=1, events=times)
