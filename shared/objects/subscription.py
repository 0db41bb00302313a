"""The subscription: what decides who is let in, and what is billed when."""

from __future__ import annotations

from typing import Any

from shared.errors import UnreadableObject
from shared.objects.column import Column, Concern, Expanded, Type, money
from shared.objects.declaration import Ending, Items, MirroredObject

TERMINAL_STATUSES = frozenset({"canceled", "incomplete_expired"})
"""Statuses that Stripe never leaves (docs.stripe.com/billing/subscriptions/overview)."""

_ITEM_COLUMNS = (
    Column("id", Type.TEXT, required=True),
    money("price_id", Type.REFERENCE, "price.id", required=True, refers_to="price"),
    money("product_id", Type.REFERENCE, "price.product", refers_to="product"),
    money("quantity", Type.INTEGER),
    money("unit_amount", Type.INTEGER, "price.unit_amount"),
    money("unit_amount_decimal", Type.DECIMAL, "price.unit_amount_decimal"),
    money("currency", Type.TEXT, "price.currency", required=True, example="usd"),
    money("interval", Type.TEXT, "price.recurring.interval", example="month"),
    money("interval_count", Type.INTEGER, "price.recurring.interval_count"),
    money("usage_type", Type.TEXT, "price.recurring.usage_type", example="licensed"),
    money("transform_quantity", Type.JSON, "price.transform_quantity"),
    money("current_period_start", Type.TIMESTAMP),
    money("current_period_end", Type.TIMESTAMP),
    Column("created", Type.TIMESTAMP),
    Column("metadata", Type.METADATA),
)

_COLUMNS = (
    Column("id", Type.TEXT, required=True),
    Column(
        "customer_id",
        Type.REFERENCE,
        "customer",
        required=True,
        nullable=True,
        concern=Concern.ACCESS,
        refers_to="customer",
    ),
    # The same owner as an Account of the second API, where there is one.
    Column("customer_account", Type.REFERENCE),
    Column("status", Type.TEXT, required=True, concern=Concern.ACCESS, example="active"),
    money("currency", Type.TEXT, required=True, example="usd"),
    money("collection_method", Type.TEXT, required=True, example="charge_automatically"),
    money("cancel_at_period_end", Type.BOOLEAN, required=True),
    money("cancel_at", Type.TIMESTAMP),
    money("canceled_at", Type.TIMESTAMP),
    money("ended_at", Type.TIMESTAMP),
    money("trial_start", Type.TIMESTAMP),
    money("trial_end", Type.TIMESTAMP),
    money("current_period_start", Type.TIMESTAMP),
    money("current_period_end", Type.TIMESTAMP),
    money("billing_cycle_anchor", Type.TIMESTAMP),
    Column("created", Type.TIMESTAMP, required=True),
    money("start_date", Type.TIMESTAMP, required=True),
    money("days_until_due", Type.INTEGER),
    money("pause_collection", Type.JSON),
    money("discounts", Type.REFERENCES),
    Column("default_payment_method", Type.REFERENCE),
    Column("latest_invoice", Type.REFERENCE),
    Column("schedule", Type.REFERENCE),
    Column("test_clock", Type.REFERENCE),
    Column("livemode", Type.BOOLEAN, required=True),
    Column("metadata", Type.METADATA),
)


def _settle(one: Any, items: list[Any] | None) -> None:
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


SUBSCRIPTION = MirroredObject(
    name="subscription",
    table="subscriptions",
    prefix="sub",
    path="/v1/subscriptions",
    columns=_COLUMNS,
    items=Items(
        table="subscription_items",
        parent="subscription_id",
        prefix="si",
        path="/v1/subscription_items",
        columns=_ITEM_COLUMNS,
    ),
    events=tuple(
        f"customer.subscription.{what}"
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
    ),
    ends=Ending("status", TERMINAL_STATUSES),
    customer="customer_id",
    access="status",
    is_billed=True,
    vouches=True,
    brief=("status",),
    # Else canceled subscriptions are left out (docs.stripe.com/api/subscriptions/list).
    lists=({"status": "all"},),
    settle=_settle,
    extra=(("discount", Expanded | None, None),),
    also_as={"discounts": "discount"},
)
