"""Are the rows what Stripe says? An answer that owes nothing to the product's own comparison."""

from collections.abc import Iterator
from typing import Any

import psycopg

from sandbox.mirrored import MIRRORED, Mirrored, Picture, of_row, of_stripe, rows
from sandbox.stripe_double import Control


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
