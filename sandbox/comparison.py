"""Are the rows what Stripe says? An answer that owes nothing to the product's own comparison.

It knows Stripe's JSON by Stripe's documentation and the tables by their contract.
"""

from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sandbox.stripe_double import Control

_PLAIN = (
    "id",
    "status",
    "currency",
    "collection_method",
    "cancel_at_period_end",
    "cancel_at",
    "canceled_at",
    "ended_at",
    "trial_start",
    "trial_end",
    "created",
    "start_date",
    "pause_collection",
    "default_payment_method",
    "latest_invoice",
    "schedule",
    "test_clock",
    "livemode",
    "metadata",
)
_PRICE = ("unit_amount", "currency")
_RECURRING = ("interval", "interval_count", "usage_type")
_ITEM = ("id", "quantity", "current_period_start", "current_period_end", "metadata")


def differences(connection: psycopg.Connection[Any], control: Control) -> list[str]:
    """One sentence for each object on which tables and Stripe differ."""
    return [*_subscriptions(connection, control), *_customers(connection, control)]


def _subscriptions(connection: psycopg.Connection[Any], control: Control) -> list[str]:
    items: dict[str, list[dict[str, Any]]] = {}
    for item in _rows(connection, "SELECT * FROM stripe.subscription_items ORDER BY id"):
        items.setdefault(item["subscription_id"], []).append(item)
    held = {row["id"]: row for row in _rows(connection, "SELECT * FROM stripe.subscriptions")}
    found = []
    for truth in control.truths("subscription"):
        row = held.pop(truth["id"], None)
        if row is None:
            found.append(f"{truth['id']} is not in the database")
            continue
        entries = sorted(truth["items"]["data"], key=lambda item: item["id"])
        wanted = {name: truth[name] for name in _PLAIN} | {
            "customer_id": truth["customer"],
            "current_period_end": max(item["current_period_end"] for item in entries),
            "missing_in_stripe_since": None,
        }
        found += _unlike(truth["id"], wanted, row)
        mine = items.get(truth["id"], [])
        if [item["id"] for item in mine] != [item["id"] for item in entries]:
            found.append(f"{truth['id']} has other items")
            continue
        for entry, item in zip(entries, mine, strict=True):
            found += _unlike(truth["id"], _item(entry), item)
    return found + [f"{name} is not in Stripe" for name in held]


def _item(entry: dict[str, Any]) -> dict[str, Any]:
    price = entry["price"]
    return (
        {name: entry.get(name) for name in _ITEM}
        | {name: price[name] for name in _PRICE}
        | {name: price["recurring"][name] for name in _RECURRING}
        | {"price_id": price["id"], "product_id": price["product"]}
    )


def _customers(connection: psycopg.Connection[Any], control: Control) -> list[str]:
    held = {row["id"]: row for row in _rows(connection, "SELECT * FROM stripe.customers")}
    found = []
    for truth in control.truths("customer"):
        row = held.pop(truth["id"], None)
        if row is None:
            # A list leaves deleted customers out, so only an event can tell of them.
            if not truth.get("deleted"):
                found.append(f"{truth['id']} is not in the database")
            continue
        deleted = truth.get("deleted", False)
        wanted = {"deleted": deleted}
        if not deleted:
            wanted |= {name: truth[name] for name in ("email", "name", "created", "metadata")}
        found += _unlike(truth["id"], wanted, row)
    return found + [f"{name} is not in Stripe" for name in held]


def _unlike(name: str, wanted: dict[str, Any], row: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {field} is {_plain(row[field])!r}, in Stripe {value!r}"
        for field, value in wanted.items()
        if _plain(row[field]) != value
    ]


def _plain(value: object) -> object:
    return int(value.timestamp()) if isinstance(value, datetime) else value


def _rows(connection: psycopg.Connection[Any], query: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode()).fetchall()
