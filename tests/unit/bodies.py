"""Stripe's JSON by hand, small enough to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from shared.objects.column import Column, Type
from shared.objects.declaration import Content, Held, MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.truth import Interval

JsonObject = dict[str, Any]


def item(name: str = "si_1", **fields: Any) -> JsonObject:
    """An item since basil, with its own period; `price` lies over the price."""
    price = {
        "id": "price_basic",
        "product": "prod_basic",
        "unit_amount": 900,
        "unit_amount_decimal": "900",
        "currency": "eur",
        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
        **fields.pop("price", {}),
    }
    return {
        "id": name,
        "object": "subscription_item",
        "quantity": 1,
        "created": 1_700_000_000,
        "current_period_start": 1_700_000_000,
        "current_period_end": 1_702_592_000,
        "metadata": {},
        "price": price,
        **fields,
    }


def subscription(*items: JsonObject, **fields: Any) -> JsonObject:
    """A subscription since basil; fields given as ... are left out."""
    body = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "currency": "eur",
        "collection_method": "charge_automatically",
        "cancel_at_period_end": False,
        "created": 1_700_000_000,
        "start_date": 1_700_000_000,
        "livemode": False,
        "metadata": {},
        "items": {"object": "list", "data": list(items) or [item()], "has_more": False},
        **fields,
    }
    return {name: value for name, value in body.items() if value is not ...}


def content(body: JsonObject) -> Content:
    """The body as the product reads it."""
    return SUBSCRIPTION.decode(json.dumps(body).encode())


def held(
    body: JsonObject,
    as_of: tuple[int, int] = (1_000, 1_001),
    *,
    missing: int | None = None,
) -> Held:
    """A row that says what the body says."""
    found = content(body)
    return Held(found.row, found.items or (), Interval(*as_of), 1, missing)


def whole(mirrored: MirroredObject, seed: int = 1) -> JsonObject:
    """A body of which every mirrored field says something; another `seed`, something else."""
    body = _whole(mirrored.columns, mirrored.name, seed)
    if mirrored.items is not None:
        items = [_whole(mirrored.items.columns, f"{mirrored.name}_item", seed)]
        body["items"] = {"object": "list", "data": items, "has_more": False}
    return body


def _whole(columns: Sequence[Column], name: str, seed: int) -> JsonObject:
    values: dict[Type, Any] = {
        Type.TEXT: f"text {seed}",
        Type.REFERENCE: f"x_{seed}",
        Type.BOOLEAN: seed != 1,
        Type.INTEGER: seed,
        Type.DECIMAL: f"{seed}.5",
        Type.TIMESTAMP: 1_700_000_000 + seed,
        Type.REFERENCES: [f"x_{seed}"],
        Type.METADATA: {"a": str(seed)},
        Type.JSON: {"a": seed},
    }
    body: JsonObject = {"object": name}
    for column in columns:
        *way, last = column.source.split(".")
        place = body
        for step in way:
            place = place.setdefault(step, {})
        place[last] = values[column.type]
    body["id"] = "x_1"
    if "deleted" in body:
        body["deleted"] = False
    return body
