"""Seeded subscriptions and customers, computed from their number whenever one is looked at."""

from typing import Any

from msgspec import Struct, structs

from sandbox.stripe_double.objects.ids import IdScheme
from sandbox.stripe_double.objects.shelf import Sketch
from sandbox.stripe_double.objects.states import (
    TERMINAL_STATUSES,
    Customer,
    Item,
    Price,
    Subscription,
)

_DAY = 86_400
_LENGTHS = {"day": _DAY, "week": 7 * _DAY, "month": 30 * _DAY, "year": 365 * _DAY}
_WORD = 2**64 - 1
ITEM_STRIDE = 4_096

# Out of a thousand.
_STATUSES = (
    ["active"] * 820
    + ["trialing"] * 50
    + ["past_due"] * 40
    + ["canceled"] * 55
    + ["unpaid"] * 10
    + ["incomplete_expired"] * 10
    + ["paused"] * 15
)
_FIRST_NAMES = ("Ada", "Björn", "Chiara", "Dimitri", "Élodie", "Femi", "Grace", "Håkon", "Ines")
_LAST_NAMES = ("Lovelace", "Nakamura", "O'Neil", "Petrović", "Quintana", "Rossi", "Sørensen")


class SeedPlan(Struct, frozen=True, kw_only=True):
    """What the seeds of one call share. Creation times are even over [start, end).

    Customers have runs of neighbouring subscriptions, and are as old as their first one.
    """

    first_subscription: int
    first_customer: int
    count: int
    customers: int
    start: int
    end: int
    now: int
    items: int
    seed: int
    livemode: bool
    prices: tuple[Price, ...]
    price_names: tuple[str, ...]
    inline_ids: IdScheme | None
    first_inline: int
    subscription_ids: IdScheme
    customer_ids: IdScheme
    item_ids: IdScheme

    def created(self, index: int) -> int:
        return self.start + (self.end - self.start) * index // self.count

    def customer_of(self, index: int) -> int:
        return index * self.customers // self.count

    def subscriptions_of(self, customer: int) -> range:
        """The places of a customer's subscriptions."""
        first, last = (
            -(-place * self.count // self.customers) for place in (customer, customer + 1)
        )
        return range(first, last)

    def chance(self, index: int) -> int:
        """64 bits that depend on nothing but seed and index (splitmix64)."""
        value = (index * 0x9E3779B97F4A7C15 + self.seed + 1) & _WORD
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
        return value ^ (value >> 31)


def period_around(price: Price, anchor: int, now: int) -> tuple[int, int]:
    """The billing period that holds `now`, counted from the anchor."""
    length = _LENGTHS[price.interval or "month"] * price.interval_count
    start = anchor + max(0, now - anchor) // length * length
    return start, start + length


class SubscriptionSeeds:
    def __init__(self, plan: SeedPlan) -> None:
        self.first = plan.first_subscription
        self.count = plan.count
        self._plan = plan

    def created(self, number: int) -> int:
        return self._plan.created(number - self.first)

    def sketch(self, number: int) -> Sketch[Subscription]:
        plan = self._plan
        index = number - self.first
        chance = plan.chance(index)
        created = plan.created(index)
        place = (chance >> 10) % len(plan.prices)
        status = _STATUSES[chance % 1_000]
        start, end = period_around(plan.prices[place], created, plan.now)
        name = plan.subscription_ids.make(number)
        facts: dict[str, str | int] = {
            "id": name,
            "customer": plan.customer_ids.make(plan.first_customer + plan.customer_of(index)),
            "created": created,
            "start": start,
            "end": end,
            "quantity": 1 + (chance >> 32) % 5,
            "ended": max(created, plan.now - (chance >> 40) % _DAY),
            "trial_end": plan.now + _DAY * (1 + (chance >> 24) % 14),
            "payment_method": f"pm_1{name[5:]}",
            "invoice": f"in_1{name[5:]}",
            "user": f"usr_{number:07d}",
        }
        for item in range(plan.items):
            facts[f"item{item}"] = plan.item_ids.make(number * ITEM_STRIDE + item)
        if plan.inline_ids is not None:
            facts["price"] = plan.inline_ids.make(plan.first_inline + index)
        return Sketch(batch=self, variant=(status, place), facts=facts)

    def build(self, sketch: Sketch[Subscription]) -> Subscription:
        facts: dict[str, Any] = sketch.facts
        plan = self._plan
        status, place = sketch.variant
        price = plan.prices[place]
        if plan.inline_ids is not None:
            price = inline_price(price, facts["price"], facts["created"])
        ended = facts["ended"] if status in TERMINAL_STATUSES else None
        trial = status == "trialing"
        return Subscription(
            id=facts["id"],
            customer=facts["customer"],
            status=status,
            items=tuple(
                Item(
                    id=facts[f"item{item}"],
                    price=price,
                    quantity=None if price.usage_type == "metered" else facts["quantity"],
                    created=facts["created"],
                    current_period_start=facts["start"],
                    current_period_end=facts["end"],
                )
                for item in range(plan.items)
            ),
            created=facts["created"],
            start_date=facts["created"],
            billing_cycle_anchor=facts["created"],
            currency=price.currency,
            livemode=plan.livemode,
            canceled_at=ended,
            ended_at=ended,
            cancellation_reason="cancellation_requested" if status == "canceled" else None,
            default_payment_method=facts["payment_method"],
            latest_invoice=facts["invoice"],
            metadata={"user_id": facts["user"], "tier": plan.price_names[place]},
            trial_start=facts["created"] if trial else None,
            trial_end=facts["trial_end"] if trial else None,
        )


def inline_price(like: Price, name: str, created: int) -> Price:
    """As `price_data` makes it: for one subscription, and not for sale."""
    return structs.replace(
        like, id=name, created=created, active=False, inline=True, lookup_key=None
    )


class PriceSeeds:
    """An inline price for each subscription of a plan."""

    def __init__(self, plan: SeedPlan) -> None:
        self.first = plan.first_inline
        self.count = plan.count
        self._plan = plan

    def created(self, number: int) -> int:
        return self._plan.created(number - self.first)

    def sketch(self, number: int) -> Sketch[Price]:
        plan = self._plan
        index = number - self.first
        place = (plan.chance(index) >> 10) % len(plan.prices)
        name = "" if plan.inline_ids is None else plan.inline_ids.make(number)
        facts: dict[str, str | int] = {"id": name, "created": plan.created(index)}
        return Sketch(batch=self, variant=("", place), facts=facts)

    def build(self, sketch: Sketch[Price]) -> Price:
        facts: dict[str, Any] = sketch.facts
        return inline_price(self._plan.prices[sketch.variant[1]], facts["id"], facts["created"])


class CustomerSeeds:
    def __init__(self, plan: SeedPlan) -> None:
        self.first = plan.first_customer
        self.count = plan.customers
        self._plan = plan

    def created(self, number: int) -> int:
        return self._plan.created(self._plan.subscriptions_of(number - self.first)[0])

    def sketch(self, number: int) -> Sketch[Customer]:
        plan = self._plan
        chance = plan.chance(number - self.first)
        first = _FIRST_NAMES[(chance >> 8) % len(_FIRST_NAMES)]
        last = _LAST_NAMES[(chance >> 16) % len(_LAST_NAMES)]
        name = plan.customer_ids.make(number)
        facts: dict[str, str | int] = {
            "id": name,
            "created": self.created(number),
            "email": f"user{number:07d}@example.com",
            "name": f"{first} {last}",
            "user": f"usr_{number:07d}",
            "prefix": name[-8:].upper(),
        }
        return Sketch(batch=self, variant=("", 0), facts=facts)

    def build(self, sketch: Sketch[Customer]) -> Customer:
        facts: dict[str, Any] = sketch.facts
        return Customer(
            id=facts["id"],
            created=facts["created"],
            livemode=self._plan.livemode,
            email=facts["email"],
            name=facts["name"],
            metadata={"user_id": facts["user"]},
            currency="eur",
            invoice_prefix=facts["prefix"],
        )

    def subscription_numbers(self, number: int) -> range:
        """The subscriptions seeded for a customer."""
        index = number - self.first
        if not 0 <= index < self.count:
            return range(0)
        places = self._plan.subscriptions_of(index)
        first = self._plan.first_subscription
        return range(first + places.start, first + places.stop)
