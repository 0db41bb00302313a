"""Seeded subscriptions and customers, computed from their number whenever one is looked at."""

from msgspec import Struct

from sandbox.stripe_double.ids import IdScheme
from sandbox.stripe_double.states import Customer, Item, Price, Subscription

_DAY = 86_400
_LENGTHS = {"day": _DAY, "week": 7 * _DAY, "month": 30 * _DAY, "year": 365 * _DAY}
_WORD = 2**64 - 1
ITEM_STRIDE = 4_096

# Upper bounds in a thousand.
_STATUSES = (
    (820, "active"),
    (870, "trialing"),
    (910, "past_due"),
    (965, "canceled"),
    (975, "unpaid"),
    (985, "incomplete_expired"),
    (1_000, "paused"),
)
_FIRST_NAMES = ("Ada", "Björn", "Chiara", "Dimitri", "Élodie", "Femi", "Grace", "Håkon", "Ines")
_LAST_NAMES = ("Lovelace", "Nakamura", "O'Neil", "Petrović", "Quintana", "Rossi", "Sørensen")


class SeedPlan(Struct, frozen=True, kw_only=True):
    """What the seeds of one call share. Creation times are even over [start, end]."""

    first_subscription: int
    first_customer: int
    count: int
    start: int
    end: int
    now: int
    items: int
    seed: int
    livemode: bool
    prices: tuple[Price, ...]
    subscription_ids: IdScheme
    customer_ids: IdScheme
    item_ids: IdScheme

    def created(self, index: int) -> int:
        return self.start + (self.end - self.start) * index // self.count

    def chance(self, index: int) -> int:
        """64 bits that depend on nothing but seed and index (splitmix64)."""
        value = (index * 0x9E3779B97F4A7C15 + self.seed + 1) & _WORD
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
        return value ^ (value >> 31)


def period_around(price: Price, anchor: int, now: int) -> tuple[int, int]:
    """The billing period that holds `now`, counted from the anchor."""
    length = _LENGTHS[price.interval] * price.interval_count
    start = anchor + max(0, now - anchor) // length * length
    return start, start + length


class SubscriptionSeeds:
    def __init__(self, plan: SeedPlan) -> None:
        self.first = plan.first_subscription
        self.count = plan.count
        self._plan = plan

    def created(self, number: int) -> int:
        return self._plan.created(number - self.first)

    def state(self, number: int) -> Subscription:
        plan = self._plan
        index = number - self.first
        chance = plan.chance(index)
        created = plan.created(index)
        price = plan.prices[(chance >> 10) % len(plan.prices)]
        status = next(name for bound, name in _STATUSES if chance % 1_000 < bound)
        start, end = period_around(price, created, plan.now)
        ended = status in {"canceled", "incomplete_expired"}
        trial_end = plan.now + _DAY * (1 + (chance >> 24) % 14) if status == "trialing" else None
        name = plan.subscription_ids.make(number)
        return Subscription(
            id=name,
            customer=plan.customer_ids.make(plan.first_customer + index),
            status=status,
            items=tuple(
                Item(
                    id=plan.item_ids.make(number * ITEM_STRIDE + place),
                    price=price,
                    quantity=1 + (chance >> 32) % 5,
                    created=created,
                    current_period_start=start,
                    current_period_end=end,
                )
                for place in range(plan.items)
            ),
            created=created,
            start_date=created,
            billing_cycle_anchor=created,
            currency=price.currency,
            livemode=plan.livemode,
            canceled_at=max(created, plan.now - (chance >> 40) % _DAY) if ended else None,
            ended_at=max(created, plan.now - (chance >> 40) % _DAY) if ended else None,
            cancellation_reason="cancellation_requested" if status == "canceled" else None,
            default_payment_method=f"pm_1{name[5:]}",
            latest_invoice=f"in_1{name[5:]}",
            metadata={"user_id": f"usr_{number:07d}", "tier": price.name},
            trial_start=created if trial_end else None,
            trial_end=trial_end,
        )


class CustomerSeeds:
    def __init__(self, plan: SeedPlan) -> None:
        self.first = plan.first_customer
        self.count = plan.count
        self._plan = plan

    def created(self, number: int) -> int:
        return self._plan.created(number - self.first)

    def state(self, number: int) -> Customer:
        plan = self._plan
        chance = plan.chance(number - self.first)
        first = _FIRST_NAMES[(chance >> 8) % len(_FIRST_NAMES)]
        last = _LAST_NAMES[(chance >> 16) % len(_LAST_NAMES)]
        return Customer(
            id=plan.customer_ids.make(number),
            created=self.created(number),
            livemode=plan.livemode,
            email=f"user{number:07d}@example.com",
            name=f"{first} {last}",
            metadata={"user_id": f"usr_{number:07d}"},
            currency="eur",
        )

    def subscription_number(self, number: int) -> int | None:
        """The subscription seeded for a customer."""
        index = number - self.first
        return self._plan.first_subscription + index if 0 <= index < self.count else None
