"""What the double knows of an object at one moment: small, immutable, free of any API version."""

from typing import TypeAlias

from msgspec import Struct

from sandbox.stripe_double.protocol.encoding import JsonObject

NEWEST_VERSION = "2026-10-28.endive"


class Product(Struct, frozen=True, kw_only=True):
    """`extra` lies over the rendered body as it is: other fields of Stripe's, or poison."""

    id: str
    name: str
    created: int
    livemode: bool
    updated: int
    active: bool = True
    deleted: bool = False
    default_price: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    shippable: bool | None = None
    statement_descriptor: str | None = None
    tax_code: str | None = None
    unit_label: str | None = None
    url: str | None = None
    extra: JsonObject = {}


class Price(Struct, frozen=True, kw_only=True):
    """`interval` None: paid once. `inline`: made by `price_data`, for one subscription alone."""

    id: str
    product: str
    currency: str
    created: int
    livemode: bool
    active: bool = True
    billing_scheme: str = "per_unit"
    custom_unit_amount: JsonObject | None = None
    deleted: bool = False
    inline: bool = False
    interval: str | None = "month"
    interval_count: int = 1
    lookup_key: str | None = None
    metadata: dict[str, str] = {}
    meter: str | None = None
    nickname: str | None = None
    tax_behavior: str = "unspecified"
    tiers: list[JsonObject] | None = None
    tiers_mode: str | None = None
    transform_quantity: JsonObject | None = None
    unit_amount: int | None = None
    unit_amount_decimal: str | None = None
    usage_type: str = "licensed"
    extra: JsonObject = {}

    def __hash__(self) -> int:
        # What a price says is rendered once for each; dicts in it have no hash.
        return hash(self.id)


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

    @property
    def deleted(self) -> bool:
        """It is canceled, and stays."""
        return False


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


State: TypeAlias = Subscription | Customer | Product | Price

TERMINAL_STATUSES = frozenset({"canceled", "incomplete_expired"})
