"""The price: what a product costs, and how often."""

from __future__ import annotations

from shared.objects.column import Column, Concern, Type
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
        Column("type", Type.TEXT, concern=Concern.MONEY, example="recurring"),
        Column("currency", Type.TEXT, concern=Concern.MONEY, example="usd"),
        Column("unit_amount", Type.INTEGER, concern=Concern.MONEY),
        Column("unit_amount_decimal", Type.DECIMAL, concern=Concern.MONEY),
        Column("billing_scheme", Type.TEXT, concern=Concern.MONEY, example="per_unit"),
        Column("tiers_mode", Type.TEXT, concern=Concern.MONEY, example="graduated"),
        Column("tiers", Type.JSON, concern=Concern.MONEY),
        Column("transform_quantity", Type.JSON, concern=Concern.MONEY),
        Column("custom_unit_amount", Type.JSON, concern=Concern.MONEY),
        Column("tax_behavior", Type.TEXT, concern=Concern.MONEY, example="exclusive"),
        *(
            Column(name, kind, f"recurring.{name}", concern=Concern.MONEY, example=example)
            for name, kind, example in (
                ("interval", Type.TEXT, "month"),
                ("interval_count", Type.INTEGER, 1),
                ("usage_type", Type.TEXT, "licensed"),
                ("meter", Type.REFERENCE, None),
            )
        ),
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
