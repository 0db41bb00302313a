"""Each mirrored object as it lives in Stripe's double: its field values, and nothing else.

What is promised of an object is promised of every object, so tests run over the whole catalogue.
Whoever adds one to the catalogue says here, by its name, what it looks like and what can happen to
it; no test names it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from sandbox.stripe_double import Control
from shared.objects.catalogue import EVENT_TYPES, MIRRORED
from shared.objects.declaration import MirroredObject


@dataclass(frozen=True, kw_only=True)
class Life:
    """One kind of object.

    `create` and `update` take fields as the double does, `end` is what Stripe never takes back;
    each is told by so many `events`. `states`: fields for `create` and `update`, of which each may
    follow each. `whole`: further fields for `create`, so that every mirrored one says something.
    `shelved`: those of one that lists show only where they are asked for it; `unlisted`: of one
    that none ever shows. `untold`: columns that no event tells. What a row must say of Stripe's
    JSON stands in sandbox/mirrored.py, for the chaos run too.
    """

    create: Callable[..., str]
    update: Callable[..., object]
    end: Callable[..., object]
    states: tuple[Mapping[str, Any], ...]
    whole: Mapping[str, Any]
    shelved: Mapping[str, Any] = field(default_factory=dict)
    unlisted: Mapping[str, Any] = field(default_factory=dict)
    untold: tuple[str, ...] = ()


def first_item(control: Control, subscription: str) -> str:
    """Return the id of a subscription's first item."""
    body = control.truth(subscription)
    assert body is not None
    return str(body["items"]["data"][0]["id"])


def _change_item(control: Control, name: str, **fields: Any) -> None:
    control.change_item(name, first_item(control, name), **fields)


LIVES: Mapping[str, Life] = {
    "customer": Life(
        create=Control.create_customer,
        update=Control.update_customer,
        end=Control.delete_customer,
        states=tuple({"name": name} for name in ("Ada", "Björn", "Chiara", "Dimitri", "Élodie")),
        whole={"email": "a@example.com", "metadata": {"a": "1"}, "test_clock": "clock_1"},
    ),
    "product": Life(
        create=Control.create_product,
        update=Control.update_product,
        end=Control.delete_product,
        states=tuple({"name": name} for name in ("Bronze", "Silver", "Gold", "Jade", "Ruby")),
        whole={
            "default_price": "price_1",
            "unit_label": "seat",
            "statement_descriptor": "ACME",
            "tax_code": "txcd_10103001",
            "metadata": {"a": "1"},
        },
    ),
    "price": Life(
        create=partial(Control.create_price, product="pro"),
        update=Control.update_price,
        end=Control.delete_price,
        states=tuple({"nickname": name} for name in ("one", "two", "three", "four", "five")),
        whole={
            "billing_scheme": "tiered",
            "unit_amount": 900,
            "lookup_key": "key",
            "transform_quantity": {"divide_by": 5, "round": "up"},
            "custom_unit_amount": {"maximum": None, "minimum": 100, "preset": 500},
            "meter": "mtr_1",
            "metadata": {"a": "1"},
        },
        shelved={"active": False},
        unlisted={"inline": True, "active": False},
        untold=("tiers",),
    ),
    "subscription": Life(
        create=Control.create_subscription,
        update=_change_item,
        end=Control.cancel,
        states=tuple({"quantity": number} for number in range(1, 6)),
        whole={
            "items": [{"price": "basic", "quantity": 3, "metadata": {"b": "2"}}],
            "cancel_at": 1_799_000_000,
            "canceled_at": 1_790_000_000,
            "trial_start": 1_790_000_000,
            "trial_end": 1_790_000_009,
            "collection_method": "send_invoice",
            "days_until_due": 30,
            "default_payment_method": "pm_1",
            "discounts": ("di_1",),
            "pause_collection": {"behavior": "void", "resumes_at": None},
            "schedule": "sub_sched_1",
            "test_clock": "clock_1",
            "metadata": {"a": "1"},
            "customer_account": "acct_1Customer",
        },
    ),
}


class UnknownObject(Exception):
    """An object of the catalogue that tests cannot make: say its field values in this module."""


def require_lives(catalogue: Iterable[MirroredObject]) -> None:
    """Raise UnknownObject for what stands in the catalogue and not here."""
    for mirrored in catalogue:
        if mirrored.name not in LIVES:
            raise UnknownObject(
                f"the catalogue has {mirrored.name!r}, and LIVES in tests/objects.py does not:"
                " say there how it is made, changed and ended in the double"
            )


require_lives(MIRRORED)


def each_object(
    of: Callable[[MirroredObject], object] = lambda _: True,
) -> pytest.MarkDecorator:
    """Parametrise `mirrored` over the catalogue, or over those to which a trap can happen."""
    chosen = [mirrored for mirrored in MIRRORED if of(mirrored)]
    return pytest.mark.parametrize("mirrored", chosen, ids=[one.name for one in chosen])


def has_items(mirrored: MirroredObject) -> bool:
    """Whether it has items in a table of their own."""
    return mirrored.items is not None


def can_be_deleted(mirrored: MirroredObject) -> bool:
    """Whether Stripe deletes such objects, and lists then leave them out."""
    return mirrored.is_deletable


def vouches(mirrored: MirroredObject) -> bool:
    """Whether its rows tell whose the database is."""
    return mirrored.vouches


def is_always_listed(mirrored: MirroredObject) -> bool:
    """Whether a list that leaves such an object out is broken."""
    return mirrored.unlisted is None


def has_test_clock(mirrored: MirroredObject) -> bool:
    """Whether such an object may live on a test clock, and lists then leave it out."""
    return "test_clock" in mirrored.decoded.index


def endpoint(mirrored: MirroredObject, what: str) -> str:
    """Name an endpoint of the double: `list` or `retrieve`."""
    return f"{mirrored.path.removeprefix('/v1/')}.{what}"


def event_type(mirrored: MirroredObject, what: str) -> str:
    """Name the type of event that tells of something: `created`, `updated`, `deleted`."""
    (found,) = (
        name for name, of in EVENT_TYPES.items() if of is mirrored and name.endswith(f".{what}")
    )
    return found


def tables(mirrored: MirroredObject) -> tuple[str, ...]:
    """Return the tables of an object, that of its items first."""
    return (*(() if mirrored.items is None else (mirrored.items.table,)), mirrored.table)


ALL_TABLES = tuple(table for mirrored in MIRRORED for table in tables(mirrored))
"""The tables of every mirrored object, in an order in which they can be emptied."""
