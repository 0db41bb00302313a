"""What the product mirrors: Stripe's objects and the tables' rows, brought to one picture.

The one list of it in the sandbox, written from Stripe's documentation and the contract of the
tables, without the product's decoders: whoever judges a database does it by this.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

import psycopg
from msgspec import Struct

from sandbox.stripe_double import Control

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


class Mirrored(Struct, frozen=True, kw_only=True):
    """One kind of Stripe's objects, by its `object`, and its table.

    `columns`: by column name, where in Stripe's JSON its value stands. `forgotten`: once deleted,
    Stripe does not know it any more, so that a database that never had it cannot learn of it.
    """

    kind: str
    table: str
    columns: Mapping[str, str]
    deletable: bool = True
    forgotten: bool = False


def _columns(*names: str, **others: str) -> dict[str, str]:
    """Columns that are called as in Stripe, and those that are not."""
    return {**{name: name for name in names}, **others}


_ITEM = _columns(
    *("id", "quantity", "created", "metadata", *_PERIOD),
    price_id="price.id",
    product_id="price.product",
    unit_amount="price.unit_amount",
    unit_amount_decimal="price.unit_amount_decimal",
    currency="price.currency",
    interval="price.recurring.interval",
    interval_count="price.recurring.interval_count",
    usage_type="price.recurring.usage_type",
    transform_quantity="price.transform_quantity",
)
MIRRORED = (
    Mirrored(
        kind="subscription",
        table="subscriptions",
        columns=_columns(
            *("id", "status", "currency", "collection_method", "cancel_at_period_end"),
            *("cancel_at", "canceled_at", "ended_at", "trial_start", "trial_end"),
            *("billing_cycle_anchor", "created", "start_date", "days_until_due"),
            *("pause_collection", "default_payment_method", "latest_invoice", "schedule"),
            *("test_clock", "livemode", "metadata", "discounts", "customer_account"),
            customer_id="customer",
        ),
        deletable=False,
    ),
    Mirrored(
        kind="customer",
        table="customers",
        columns=_columns("id", "email", "name", "created", "test_clock", "metadata"),
    ),
    Mirrored(
        kind="product",
        table="products",
        columns=_columns(
            *("id", "name", "active", "type", "unit_label", "statement_descriptor"),
            *("tax_code", "created", "livemode", "metadata"),
            default_price_id="default_price",
        ),
        forgotten=True,
    ),
    Mirrored(
        kind="price",
        table="prices",
        columns=_columns(
            *("id", "active", "lookup_key", "nickname", "type", "currency", "unit_amount"),
            *("unit_amount_decimal", "billing_scheme", "tiers_mode", "tiers"),
            *("transform_quantity", "custom_unit_amount", "tax_behavior"),
            *("created", "livemode", "metadata"),
            product_id="product",
            interval="recurring.interval",
            interval_count="recurring.interval_count",
            usage_type="recurring.usage_type",
            meter="recurring.meter",
        ),
        forgotten=True,
    ),
)
_ROWS = """
    SELECT (to_jsonb(o) || jsonb_build_object('items', (
        SELECT jsonb_agg(i) FROM stripe.subscription_items AS i WHERE i.subscription_id = o.id
    )))::text
    FROM stripe.{table} AS o
"""
_BY_KIND = {mirrored.kind: mirrored for mirrored in MIRRORED}


def of_stripe(body: dict[str, Any]) -> Picture:
    """Picture one of Stripe's objects, in the newest shape with all its items."""
    mirrored = _BY_KIND[body["object"]]
    if body.get("deleted"):
        return {"id": body["id"], "deleted": True}
    picture = _picture(mirrored.columns, body)
    if mirrored.deletable:
        picture["deleted"] = False
    if "items" in body:
        items = {item["id"]: _picture(_ITEM, item) for item in body["items"]["data"]}
        last = max(items.values(), key=lambda item: [item[name] for name in reversed(_PERIOD)])
        picture |= {"items": items, **{name: last[name] for name in _PERIOD}}
    return picture


def of_row(text: str) -> Picture:
    """Picture a row with its items, as `rows` and the witness of the chaos run write it down."""
    picture = columns_of_row(text)
    if "deleted" in picture and (picture["deleted"] or "missing_in_stripe_since" in picture):
        # Of some deleted objects Stripe says no more than that it does not know them.
        return {"id": picture["id"], "deleted": True}
    return picture


def columns_of_row(text: str) -> Picture:
    """The same, but with all that the row of a deleted object still holds."""
    row = json.loads(text, parse_float=Decimal)
    items = row.pop("items", None)
    del row["as_of"], row["revision"]
    picture = _times(row)
    if "customer_id" in picture:
        picture["items"] = {item["id"]: _times(item) for item in items or []}
        for item in picture["items"].values():
            del item["subscription_id"]
    return picture


def rows(connection: psycopg.Connection[Any], mirrored: Mirrored) -> Iterator[str]:
    """Every row of a table as JSON, with its items."""
    text = _ROWS.format(table=mirrored.table)
    return (row[0] for row in connection.execute(text.encode()))


def exact(value: Any) -> Any:
    """A decimal amount, which Stripe and PostgreSQL write with as many zeros as they like."""
    return None if value is None else Decimal(value).normalize()


def _picture(columns: Mapping[str, str], body: Mapping[str, Any]) -> Picture:
    found = {}
    for name, path in columns.items():
        value: Any = body
        for step in path.split("."):
            value = None if value is None else value.get(step)
        if value is not None:
            found[name] = exact(value) if name == "unit_amount_decimal" else value
    return found


def _times(row: Mapping[str, Any]) -> Picture:
    found = {name: value for name, value in row.items() if value is not None}
    for name in _TIMES & found.keys():
        found[name] = int(datetime.fromisoformat(found[name]).timestamp())
    if "unit_amount_decimal" in found:
        found["unit_amount_decimal"] = exact(found["unit_amount_decimal"])
    return found


def differences(connection: psycopg.Connection[Any], control: Control) -> list[str]:
    """One sentence for each field or object on which tables and Stripe differ."""
    return [one for mirrored in MIRRORED for one in _differences(connection, control, mirrored)]


def _differences(
    connection: psycopg.Connection[Any], control: Control, mirrored: Mirrored
) -> Iterator[str]:
    pictures = map(of_row, rows(connection, mirrored))
    held = {picture["id"]: picture for picture in pictures}
    for wanted in map(of_stripe, control.truths(mirrored.kind)):
        name = wanted["id"]
        row = held.pop(name, None)
        if row is None:
            # A list leaves deleted objects out, so only an event can tell of them.
            if not wanted.get("deleted"):
                yield f"{name} is not in the database"
            continue
        items, stripes = row.pop("items", {}), wanted.pop("items", {})
        if items.keys() != stripes.keys():
            yield f"{name} has other items"
        else:
            for item, truth in stripes.items():
                yield from _unlike(name, items[item], truth)
        yield from _unlike(name, row, wanted)
    for name in held:
        yield f"{name} is not in Stripe"


def _unlike(name: str, row: Picture, wanted: Picture) -> Iterator[str]:
    for field in sorted(wanted.keys() | row.keys()):
        mine, stripes = row.get(field), wanted.get(field)
        if mine != stripes:
            yield f"{name}: {field} is {mine!r}, in Stripe {stripes!r}"
