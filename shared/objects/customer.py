"""The customer: what an application joins its users on."""

from __future__ import annotations

from shared.objects.column import Column, Type
from shared.objects.declaration import MirroredObject

CUSTOMER = MirroredObject(
    name="customer",
    table="customers",
    prefix="cus",
    path="/v1/customers",
    columns=(
        Column("id", Type.TEXT, required=True),
        Column("email", Type.TEXT),
        Column("name", Type.TEXT),
        Column("created", Type.TIMESTAMP, keeps=True),
        Column("deleted", Type.BOOLEAN),
        Column("test_clock", Type.REFERENCE, keeps=True),
        Column("metadata", Type.METADATA),
    ),
    chosen_ids=True,
    events=("customer.created", "customer.updated", "customer.deleted"),
    # docs.stripe.com/api/customers/delete: the answer has nothing left but the id.
    deleted_by="customer.deleted",
    customer="id",
    vouches=True,
)
