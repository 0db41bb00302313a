"""The price: what a product costs, and how often."""

from __future__ import annotations

from shared.objects.column import Column, Type, money
from shared.objects.declaration import Expansion, MirroredObject

PRICE = MirroredObject(
    name="price",
    table="prices",
    prefix="price",
    path="/v1/prices",
    columns=(
        Column("id", Type.TEXT, required=True),
        Column("product_id", Type.REFERENCE, "product", keeps=True, refers_to="product"),
        Column("active", Type.BOOLEAN),
        Column("lookup_key", Type.TEXT),
        Column("nickname", Type.TEXT),
        money("type", Type.TEXT, example="recurring"),
        money("currency", Type.TEXT, example="usd"),
        money("unit_amount", Type.INTEGER),
        money("unit_amount_decimal", Type.DECIMAL),
        money("billing_scheme", Type.TEXT, example="per_unit"),
        money("tiers_mode", Type.TEXT, example="graduated"),
        money("tiers", Type.JSON),
        money("transform_quantity", Type.JSON),
        money("custom_unit_amount", Type.JSON),
        money("tax_behavior", Type.TEXT, example="exclusive"),
        money("interval", Type.TEXT, "recurring.interval", example="month"),
        money("interval_count", Type.INTEGER, "recurring.interval_count", example=1),
        money("usage_type", Type.TEXT, "recurring.usage_type", example="licensed"),
        money("meter", Type.REFERENCE, "recurring.meter"),
        Column("created", Type.TIMESTAMP, keeps=True),
        Column("livemode", Type.BOOLEAN, keeps=True),
        Column("deleted", Type.BOOLEAN),
        Column("metadata", Type.METADATA),
    ),
    chosen_ids=True,
    events=("price.created", "price.updated", "price.deleted"),
    deleted_by="price.deleted",
    known_when_deleted=False,
    brief=("product_id", "nickname", "unit_amount", "unit_amount_decimal", "currency"),
    # docs.stripe.com/api/prices/list: active ones, or inactive ones; never the tiers, and never
    # inline ones, which are inactive (github.com/stripe/stripe-python/issues/1724).
    lists=({"active": "true"}, {"active": "false"}),
    unlisted=("active", False),
    expands=(Expansion("tiers", ("billing_scheme", "tiered")),),
)
