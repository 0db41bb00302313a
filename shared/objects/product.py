"""The product: what a subscription is for, by its name."""

from __future__ import annotations

from shared.objects.column import Column, Type
from shared.objects.declaration import MirroredObject

PRODUCT = MirroredObject(
    name="product",
    table="products",
    prefix="prod",
    path="/v1/products",
    columns=(
        Column("id", Type.TEXT, required=True),
        # Old subscriptions go on saying what they were for.
        Column("name", Type.TEXT, keeps=True),
        Column("active", Type.BOOLEAN),
        Column("default_price_id", Type.REFERENCE, "default_price", refers_to="price"),
        Column("type", Type.TEXT, keeps=True, example="service"),
        Column("unit_label", Type.TEXT, keeps=True),
        Column("statement_descriptor", Type.TEXT, keeps=True),
        Column("tax_code", Type.REFERENCE, keeps=True),
        Column("created", Type.TIMESTAMP, keeps=True),
        Column("livemode", Type.BOOLEAN, keeps=True),
        Column("deleted", Type.BOOLEAN),
        Column("metadata", Type.METADATA),
    ),
    chosen_ids=True,
    events=("product.created", "product.updated", "product.deleted"),
    deleted_by="product.deleted",
    known_when_deleted=False,
    brief=("name",),
)
