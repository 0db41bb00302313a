"""What is mirrored, declared once.

To mirror one more field: one migration that adds the column, one line here. The next nightly run
fills it for every row. To mirror one more object: one declaration here and a migration.
"""

from __future__ import annotations

from typing import Any

from shared.errors import UnreadableObject
from shared.objects.column import (
    Column,
    Columns,
    Concern,
    Expanded,
    Row,
    Type,
    Value,
)
from shared.objects.declaration import Content, Items, MirroredObject

TERMINAL_STATUSES = frozenset({"canceled", "incomplete_expired"})
"""Statuses that Stripe never leaves (docs.stripe.com/billing/subscriptions/overview)."""

_ITEM_COLUMNS = (
    Column("id", Type.TEXT, required=True),
    Column("price_id", Type.TEXT, "price.id", required=True, concern=Concern.MONEY),
    Column("product_id", Type.REFERENCE, "price.product", concern=Concern.MONEY),
    Column("quantity", Type.INTEGER, concern=Concern.MONEY),
    Column("unit_amount", Type.INTEGER, "price.unit_amount", concern=Concern.MONEY),
    Column("unit_amount_decimal", Type.DECIMAL, "price.unit_amount_decimal", concern=Concern.MONEY),
    Column("currency", Type.TEXT, "price.currency", required=True, concern=Concern.MONEY),
    Column("interval", Type.TEXT, "price.recurring.interval", concern=Concern.MONEY),
    Column("interval_count", Type.INTEGER, "price.recurring.interval_count", concern=Concern.MONEY),
    Column("usage_type", Type.TEXT, "price.recurring.usage_type", concern=Concern.MONEY),
    Column("transform_quantity", Type.JSON, "price.transform_quantity", concern=Concern.MONEY),
    Column("current_period_start", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("current_period_end", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("created", Type.TIMESTAMP),
    Column("metadata", Type.METADATA),
)

_SUBSCRIPTION_COLUMNS = (
    Column("id", Type.TEXT, required=True),
    Column(
        "customer_id",
        Type.REFERENCE,
        "customer",
        required=True,
        nullable=True,
        concern=Concern.ACCESS,
    ),
    # The same owner as an Account of the second API, where there is one.
    Column("customer_account", Type.REFERENCE),
    Column("status", Type.TEXT, required=True, concern=Concern.ACCESS),
    Column("currency", Type.TEXT, required=True, concern=Concern.MONEY),
    Column("collection_method", Type.TEXT, required=True, concern=Concern.MONEY),
    Column("cancel_at_period_end", Type.BOOLEAN, required=True, concern=Concern.MONEY),
    Column("cancel_at", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("canceled_at", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("ended_at", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("trial_start", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("trial_end", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("current_period_start", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("current_period_end", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("billing_cycle_anchor", Type.TIMESTAMP, concern=Concern.MONEY),
    Column("created", Type.TIMESTAMP, required=True),
    Column("start_date", Type.TIMESTAMP, required=True, concern=Concern.MONEY),
    Column("days_until_due", Type.INTEGER, concern=Concern.MONEY),
    Column("pause_collection", Type.JSON, concern=Concern.MONEY),
    Column("discounts", Type.REFERENCES, concern=Concern.MONEY),
    Column("default_payment_method", Type.REFERENCE),
    Column("latest_invoice", Type.REFERENCE),
    Column("schedule", Type.REFERENCE),
    Column("test_clock", Type.REFERENCE),
    Column("livemode", Type.BOOLEAN, required=True),
    Column("metadata", Type.METADATA),
)


def _settle_subscription(one: Any, items: list[Any] | None) -> None:
    """Bring both sides of 2025-03-31.basil to one shape.

    Since then the billing period is on each item, before it was on the subscription and held for
    all items; `discount` became `discounts` (docs.stripe.com/changelog/basil). The subscription's
    own period here is that of the item that ends last. Raises UnreadableObject for one that names
    no owner at all: a body from before `customer_account` may leave it out.
    """
    if one.customer is None and one.customer_account is None:
        raise UnreadableObject("$.customer", "null, and no `customer_account` beside it")
    if one.discount is not None or one.discounts is None:
        one.discounts = one.discounts or ([one.discount] if one.discount is not None else [])
        one.discount = None
    if not items:
        return
    for item in items:
        if item.current_period_end is None:
            item.current_period_start = one.current_period_start
            item.current_period_end = one.current_period_end
    last = items[0] if len(items) == 1 else max(items, key=_period)
    one.current_period_start = last.current_period_start
    one.current_period_end = last.current_period_end


def _period(item: Any) -> tuple[int, int]:
    return item.current_period_end or 0, item.current_period_start or 0


def _has_ended(row: Row, columns: Columns) -> bool:
    return row[columns.index["status"]] in TERMINAL_STATUSES


SUBSCRIPTION = MirroredObject(
    name="subscription",
    table="subscriptions",
    path="/v1/subscriptions",
    columns=_SUBSCRIPTION_COLUMNS,
    customer="customer_id",
    items=Items(
        table="subscription_items",
        parent="subscription_id",
        path="/v1/subscription_items",
        columns=_ITEM_COLUMNS,
    ),
    terminal=_has_ended,
    settle=_settle_subscription,
    extra=(("discount", Expanded | None, None),),
    # Else canceled subscriptions are left out (docs.stripe.com/api/subscriptions/list).
    list_parameters={"status": "all"},
    also_as={"discounts": "discount"},
)

_CUSTOMER_COLUMNS = (
    Column("id", Type.TEXT, required=True),
    Column("email", Type.TEXT),
    Column("name", Type.TEXT),
    Column("created", Type.TIMESTAMP, keeps=True),
    Column("deleted", Type.BOOLEAN),
    Column("test_clock", Type.REFERENCE, keeps=True),
    Column("metadata", Type.METADATA),
)
_EMAIL, _NAME, _DELETED, _METADATA = (
    [column.name for column in _CUSTOMER_COLUMNS].index(name)
    for name in ("email", "name", "deleted", "metadata")
)


def _settle_customer(one: Any, _: list[Any] | None) -> None:
    """Empty what Stripe no longer tells of a deleted customer.

    Its event still carries the last e-mail address, its answer only the id and `deleted`
    (docs.stripe.com/api/customers/delete); both are to give one content.
    """
    if one.deleted:
        one.email, one.name, one.metadata = None, None, {}
    else:
        one.deleted = False


def _empty(row: list[Value]) -> None:
    row[_EMAIL], row[_NAME], row[_METADATA] = None, None, "{}"


def as_deleted(content: Content) -> Content:
    """Return a customer's content after its deletion; `customer.deleted` carries it as before."""
    row = list(content.row)
    row[_DELETED] = True
    _empty(row)
    return content._replace(row=tuple(row))


def _is_deleted(row: Row, columns: Columns) -> bool:
    return row[columns.index["deleted"]] is True


CUSTOMER = MirroredObject(
    name="customer",
    table="customers",
    path="/v1/customers",
    columns=_CUSTOMER_COLUMNS,
    customer="id",
    terminal=_is_deleted,
    settle=_settle_customer,
)

MIRRORED = (CUSTOMER, SUBSCRIPTION)
"""Every mirrored object, in the order in which the nightly run compares them."""

EVENT_TYPES: dict[str, MirroredObject] = {
    **{
        f"customer.subscription.{what}": SUBSCRIPTION
        for what in (
            "created",
            "updated",
            "deleted",
            "paused",
            "resumed",
            "trial_will_end",
            "pending_update_applied",
            "pending_update_expired",
        )
    },
    "customer.created": CUSTOMER,
    "customer.updated": CUSTOMER,
    "customer.deleted": CUSTOMER,
}
"""The event types that are applied, with the object that each carries."""

RELATED_TYPES = {mirrored.name: mirrored for mirrored in MIRRORED}
"""The objects that a thin event may tell of, whatever its type: it is fetched, not read."""
