"""An independent judge: Stripe's objects and the database's rows, brought to one picture.

Written without the product's decoders, from Stripe's documentation and the contract of the tables.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import psycopg

from sandbox.stripe_double import Control

Picture = dict[str, Any]
"""One object by column name, times in epoch seconds; `items`: pictures by id. Nulls left out."""

_TIMES = frozenset(
    {
        *("created", "start_date", "billing_cycle_anchor", "trial_start", "trial_end"),
        *("current_period_start", "current_period_end"),
        *("cancel_at", "canceled_at", "ended_at", "missing_in_stripe_since"),
    }
)
_OWN = (
    *("id", "status", "currency", "collection_method", "cancel_at_period_end", "cancel_at"),
    *("canceled_at", "ended_at", "trial_start", "trial_end", "billing_cycle_anchor", "created"),
    *("start_date", "days_until_due", "pause_collection", "default_payment_method"),
    *("latest_invoice", "schedule", "test_clock", "livemode", "metadata"),
)
_MOST_EMBEDDED = 10
_PERIOD = ("current_period_start", "current_period_end")

TABLES = {"subscription": "subscriptions", "customer": "customers"}


def of_stripe(body: dict[str, Any]) -> Picture:
    """Picture one of Stripe's objects, in the newest shape."""
    if body["object"] == "customer":
        if body.get("deleted"):
            return {"id": body["id"], "deleted": True}
        names = ("id", "email", "name", "created", "test_clock", "metadata")
        return _filled({**{name: body.get(name) for name in names}, "deleted": False})
    items = {item["id"]: _item(item) for item in body["items"]["data"]}
    ends_last = max(items.values(), key=lambda item: [item.get(name, 0) for name in _PERIOD[::-1]])
    return _filled(
        {
            **{name: body.get(name) for name in _OWN},
            **{name: ends_last.get(name) for name in _PERIOD},
            "customer_id": body["customer"],
            "discounts": body.get("discounts") or [],
            "items": items,
        }
    )


def _item(item: dict[str, Any]) -> Picture:
    price = item["price"]
    recurring = price.get("recurring") or {}
    decimal = price.get("unit_amount_decimal")
    return _filled(
        {
            "id": item["id"],
            "price_id": price["id"],
            "product_id": price["product"],
            "quantity": item.get("quantity"),
            "unit_amount": price["unit_amount"],
            "unit_amount_decimal": None if decimal is None else Decimal(decimal),
            "currency": price["currency"],
            "interval": recurring.get("interval"),
            "interval_count": recurring.get("interval_count"),
            "usage_type": recurring.get("usage_type"),
            "transform_quantity": price.get("transform_quantity"),
            "created": item["created"],
            "metadata": item["metadata"],
            **{name: item[name] for name in _PERIOD},
        }
    )


def of_database(row: str, items: str | None) -> Picture:
    """Picture a row and its items, each as PostgreSQL prints them as JSON."""
    picture = _columns(json.loads(row, parse_float=Decimal))
    del picture["as_of"], picture["revision"]
    if picture.get("deleted"):
        return {"id": picture["id"], "deleted": True}
    if "customer_id" in picture:
        listed = json.loads(items or "[]", parse_float=Decimal)
        picture["items"] = {item["id"]: _columns(item) for item in listed}
        for item in picture["items"].values():
            del item["subscription_id"]
    return picture


def _columns(row: dict[str, Any]) -> Picture:
    found = _filled(row)
    for name in _TIMES & found.keys():
        found[name] = int(datetime.fromisoformat(found[name]).timestamp())
    if "unit_amount_decimal" in found:
        found["unit_amount_decimal"] = Decimal(found["unit_amount_decimal"])
    return found


def _filled(fields: Picture) -> Picture:
    return {name: value for name, value in fields.items() if value is not None}


def without_periods(picture: Picture) -> Picture:
    """Leave out what a body from before basil cannot say of each item."""
    bare = {name: value for name, value in picture.items() if name not in _PERIOD}
    if "items" in bare:
        bare["items"] = {name: without_periods(item) for name, item in bare["items"].items()}
    return bare


def rows(connection: psycopg.Connection, kind: str) -> dict[str, Picture]:
    """Picture every row of a kind that Stripe is believed to know."""
    found = connection.execute(
        f"""
        SELECT o.id, to_jsonb(o)::text, (
            SELECT jsonb_agg(i)::text FROM stripe.subscription_items AS i
            WHERE i.subscription_id = o.id
        )
        FROM stripe.{TABLES[kind]} AS o
        """  # noqa: S608
    )
    return {row[0]: of_database(row[1], row[2]) for row in found}


def install_witness(connection: psycopg.Connection) -> None:
    """Let the database keep each version of each object as it was committed, items and all.

    And the events that were worked on again although they had not failed, should the product's own
    trigger against it ever be gone.
    """
    connection.execute(
        """
        CREATE TABLE witness (
            n bigint GENERATED ALWAYS AS IDENTITY, id text, own text, items text
        );
        CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO witness (id, own, items)
            SELECT NEW.id, to_jsonb(NEW)::text, (
                SELECT jsonb_agg(i)::text FROM stripe.subscription_items AS i
                WHERE i.subscription_id = NEW.id
            );
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER witness AFTER INSERT OR UPDATE ON stripe.subscriptions
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION witness();
        CREATE CONSTRAINT TRIGGER witness AFTER INSERT OR UPDATE ON stripe.customers
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION witness();
        CREATE TABLE done_again (id text);
        CREATE FUNCTION done_again() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO done_again VALUES (NEW.id);
            RETURN NULL;
        END $$;
        CREATE TRIGGER done_again AFTER UPDATE OF outcome, attempts, processed_at ON stripe.events
            FOR EACH ROW WHEN (OLD.outcome <> 'failed') EXECUTE FUNCTION done_again();
        """
    )


def versions(connection: psycopg.Connection) -> dict[str, list[Picture]]:
    """Picture every committed version of every object, oldest first."""
    found: dict[str, list[Picture]] = {}
    for name, own, items in connection.execute("SELECT id, own, items FROM witness ORDER BY n"):
        found.setdefault(name, []).append(of_database(own, items))
    return found


class Mark(NamedTuple):
    """What a comparison proved: whatever is shown after `shown` versions is no older than `state`.

    `state` counts Stripe's states of the object.
    """

    shown: int
    state: int


def prove(
    connection: psycopg.Connection, control: Control, since: float, old_shapes: Collection[str]
) -> dict[str, Mark]:
    """Assert that each row is a state from `since` or later, as after a whole comparison.

    Returns that as marks. Of objects in `old_shapes` the periods of single items are left out.
    """
    found: dict[str, Mark] = {}
    for name, shown in versions(connection).items():
        seen = control.history(name)
        state = max((n for n, one in enumerate(seen) if one.at <= since), default=0)
        found[name] = Mark(len(shown), state)
        possible = [of_stripe(one.object) for one in seen[state:]]
        last = {k: v for k, v in shown[-1].items() if k != "missing_in_stripe_since"}
        if name in old_shapes:
            possible, last = [without_periods(one) for one in possible], without_periods(last)
        assert last in possible, f"{name} is older than the comparison that has ended"
    return found


def assert_never_back(
    shown: Sequence[Picture], history: Sequence[Picture], proved: Sequence[Mark] = ()
) -> None:
    """Assert that the versions shown can be read off Stripe's states without going back.

    `proved`: what comparisons knew in between, though they wrote nothing.
    """
    reached = 0
    for number, version in enumerate(shown):
        reached = max([reached, *(mark.state for mark in proved if mark.shown <= number)])
        later = (n for n, state in enumerate(history) if n >= reached and state == version)
        found = next(later, None)
        if found is None:
            known = [n for n, state in enumerate(history) if state == version]
            raise AssertionError(f"{version['id']}: state {known or 'unknown'} after {reached}")
        reached = found


def folded(connection: psycopg.Connection) -> dict[str, dict[str, Any]]:
    """Fold the changes of each object by revision, and assert that each begins where one ended."""
    found: dict[str, dict[str, Any]] = {}
    for name, fields in connection.execute(
        "SELECT object_id, fields::text FROM stripe.changes ORDER BY object_id, revision"
    ):
        state = found.setdefault(name, {})
        for field, (before, after) in json.loads(fields).items():
            path = field.split(".")
            place = state.setdefault("items", {}) if path[0] == "items" else state
            for part in path[1:-1]:
                place = place[part]
            assert place.get(path[-1]) == before, f"{name}: {field} was not {before}"
            place.pop(path[-1], None)
            if after is not None:
                place[path[-1]] = after
    for state in found.values():
        for item in state.get("items", {}).values():
            if "unit_amount_decimal" in item:
                item["unit_amount_decimal"] = Decimal(item["unit_amount_decimal"])
    return found


def assert_past(
    connection: psycopg.Connection,
    control: Control,
    old_shapes: Collection[str],
    proved: Sequence[Mapping[str, Mark]] = (),
) -> None:
    """Assert that no row went back, that no event was done twice, that changes fold to the rows.

    `proved`: by comparison, what it knew of each object. Of objects in `old_shapes` the periods of
    single items are left out. More items than Stripe embeds are read in two requests, between which
    the object may change.
    """
    for name, shown in versions(connection).items():
        history = [of_stripe(seen.object) for seen in control.history(name)]
        known = [{k: v for k, v in one.items() if k != "missing_in_stripe_since"} for one in shown]
        if name in old_shapes:
            history = [without_periods(one) for one in history]
            known = [without_periods(one) for one in known]
        if all(len(state.get("items", ())) <= _MOST_EMBEDDED for state in history):
            mine = [marks[name] for marks in proved if name in marks]
            assert_never_back(known, history, mine)
    assert connection.execute("SELECT id FROM done_again").fetchall() == []
    twice = connection.execute(
        """
        SELECT event_id FROM stripe.changes WHERE event_id IS NOT NULL
        GROUP BY event_id, object_id HAVING count(*) > 1
        """
    ).fetchall()
    assert twice == []
    changes = folded(connection)
    for kind in TABLES:
        for name, picture in rows(connection, kind).items():
            assert {key: changes[name].get(key) for key in picture} == picture
            assert changes[name].keys() <= picture.keys() or picture.get("deleted")


def assert_present(connection: psycopg.Connection, control: Control) -> None:
    """Assert that the database is what Stripe is, and that its ledger is complete."""
    kinds: tuple[Literal["subscription", "customer"], ...] = ("subscription", "customer")
    for kind in kinds:
        held = rows(connection, kind)
        true = {body["id"]: of_stripe(body) for body in control.truths(kind)}
        # Lists leave deleted customers out: one whose events were all lost is unknown for good.
        gone = {name for name, one in true.items() if one.get("deleted") and name not in held}
        assert held == {name: one for name, one in true.items() if name not in gone}
    ledger = {row[0] for row in connection.execute("SELECT id FROM stripe.events")}
    assert ledger == {name for name, _ in control.event_types()}
