"""Stripe's objects and the database's rows, brought to one picture.

Written from Stripe's documentation and the contract of the tables, without the product's decoders.
"""

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

Picture: TypeAlias = dict[str, Any]
"""One object by column name, times in epoch seconds, nulls left out; `items`: pictures by id."""

_PERIOD = ("current_period_start", "current_period_end")
_TIMES = frozenset(
    {
        *("created", "start_date", "billing_cycle_anchor", "trial_start", "trial_end"),
        *("cancel_at", "canceled_at", "ended_at", "missing_in_stripe_since"),
        *_PERIOD,
    }
)
_AS_IN_STRIPE = (
    *("id", "status", "currency", "collection_method", "cancel_at_period_end", "cancel_at"),
    *("canceled_at", "ended_at", "trial_start", "trial_end", "billing_cycle_anchor", "created"),
    *("start_date", "days_until_due", "pause_collection", "default_payment_method"),
    *("latest_invoice", "schedule", "test_clock", "livemode", "metadata"),
)
_OF_CUSTOMER = ("id", "email", "name", "created", "test_clock", "metadata")


def of_stripe(body: dict[str, Any]) -> Picture:
    """Picture one of Stripe's objects, in the newest shape with all its items."""
    if body["object"] == "customer":
        if body.get("deleted"):
            return {"id": body["id"], "deleted": True}
        return _filled({**{name: body.get(name) for name in _OF_CUSTOMER}, "deleted": False})
    items = {item["id"]: _item(item) for item in body["items"]["data"]}
    last = max(items.values(), key=lambda item: [item[name] for name in reversed(_PERIOD)])
    return _filled(
        {
            **{name: body.get(name) for name in _AS_IN_STRIPE},
            **{name: last[name] for name in _PERIOD},
            "customer_id": body["customer"],
            "discounts": body["discounts"],
            "items": items,
        }
    )


def _item(item: dict[str, Any]) -> Picture:
    price, recurring = item["price"], item["price"]["recurring"]
    picture = {
        "id": item["id"],
        "price_id": price["id"],
        "product_id": price["product"],
        "quantity": item.get("quantity"),
        "unit_amount": price["unit_amount"],
        "unit_amount_decimal": price["unit_amount_decimal"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "usage_type": recurring["usage_type"],
        "created": item["created"],
        "metadata": item["metadata"],
        **{name: item[name] for name in _PERIOD},
    }
    return _normal(_filled(picture))


def of_row(text: str) -> Picture:
    """Picture a row with its items as the witness writes it down."""
    row = columns_of_row(text)
    if row.get("deleted"):
        return {"id": row["id"], "deleted": True}
    return row


def columns_of_row(text: str) -> Picture:
    """The same, but with all that a deleted customer's row still holds."""
    row = json.loads(text, parse_float=Decimal)
    items = row.pop("items", None)
    del row["as_of"], row["revision"]
    picture = _times(_filled(row))
    if "customer_id" in picture:
        picture["items"] = {item["id"]: _times(_filled(item)) for item in items or []}
        for item in picture["items"].values():
            del item["subscription_id"]
    return picture


def of_changes(fields: Picture, state: Picture) -> list[str]:
    """Fold one change row into `state`; returns the fields that were not what it says they were."""
    wrong = []
    for field, change in fields.items():
        path = field.split(".", 2)
        place = state.setdefault("items", {}) if path[0] == "items" else state
        if len(path) == 3:
            place = place.setdefault(path[1], {})
        before, after = (_value(path, value) for value in change)
        if place.get(path[-1]) != before:
            wrong.append(field)
        place.pop(path[-1], None)
        if after is not None:
            place[path[-1]] = after
    return wrong


def _value(path: list[str], value: Any) -> Any:
    if path[-1] == "unit_amount_decimal":
        return _decimal(value)
    whole_item = path[0] == "items" and len(path) == 2
    return _normal(value) if whole_item and value is not None else value


def digest(picture: Picture) -> bytes:
    """A short name for a picture: equal pictures have one."""
    text = json.dumps(picture, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _times(row: Picture) -> Picture:
    for name in _TIMES & row.keys():
        row[name] = int(datetime.fromisoformat(row[name]).timestamp())
    return _normal(row)


def _normal(row: Picture) -> Picture:
    if "unit_amount_decimal" in row:
        row["unit_amount_decimal"] = _decimal(row["unit_amount_decimal"])
    return row


def _decimal(value: Any) -> Any:
    return None if value is None else Decimal(value).normalize()


def _filled(fields: Picture) -> Picture:
    return {name: value for name, value in fields.items() if value is not None}
