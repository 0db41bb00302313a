"""What the double knows of an object at one moment: small, immutable, free of any API version."""

from typing import Any, TypeAlias

from msgspec import Struct

JsonObject: TypeAlias = dict[str, Any]

NEWEST_VERSION = "2026-10-28.endive"


class Price(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    product: str
    currency: str
    created: int
    livemode: bool
    unit_amount: int | None = None
    unit_amount_decimal: str | None = None
    interval: str = "month"
    interval_count: int = 1
    usage_type: str = "licensed"
    billing_scheme: str = "per_unit"
    meter: str | None = None


class Item(Struct, frozen=True, kw_only=True):
    id: str
    price: Price
    quantity: int | None
    created: int
    current_period_start: int
    current_period_end: int
    metadata: dict[str, str] = {}
    extra: JsonObject = {}


class Subscription(Struct, frozen=True, kw_only=True):
    """`extra` lies over the rendered body as it is: other fields of Stripe's, or poison.

    `account_only`: the body names its customer by `customer_account` alone.
    """

    id: str
    customer: str
    status: str
    items: tuple[Item, ...]
    created: int
    start_date: int
    currency: str
    livemode: bool
    billing_cycle_anchor: int
    account_only: bool = False
    billing_mode: str = "flexible"
    collection_method: str = "charge_automatically"
    days_until_due: int | None = None
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    customer_account: str | None = None
    default_payment_method: str | None = None
    description: str | None = None
    discounts: tuple[str, ...] = ()
    ended_at: int | None = None
    latest_invoice: str | None = None
    metadata: dict[str, str] = {}
    paused_at: int | None = None
    pause_collection: JsonObject | None = None
    schedule: str | None = None
    test_clock: str | None = None
    trial_start: int | None = None
    trial_end: int | None = None
    extra: JsonObject = {}


class Customer(Struct, frozen=True, kw_only=True):
    """`extra` as in `Subscription`. `account_only`: its events are those of its account."""

    id: str
    created: int
    livemode: bool
    account_only: bool = False
    customer_account: str | None = None
    email: str | None = None
    name: str | None = None
    metadata: dict[str, str] = {}
    deleted: bool = False
    currency: str | None = None
    description: str | None = None
    invoice_prefix: str | None = None
    phone: str | None = None
    test_clock: str | None = None
    extra: JsonObject = {}


State: TypeAlias = Subscription | Customer

TERMINAL_STATUSES = frozenset({"canceled", "incomplete_expired"})
