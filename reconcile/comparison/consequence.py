"""What a difference means for a customer, and the money that hangs on it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Literal

from reconcile.comparison.amounts import NOTHING, Amounts, Side, between
from reconcile.comparison.compare import Difference
from shared.objects.column import Concern
from shared.objects.declaration import Held, MirroredObject
from shared.objects.difference import named

Consequence = Literal["leak", "lockout", "money", "cosmetic"]


def consequence(
    mirrored: MirroredObject, difference: Difference, access_statuses: Collection[str]
) -> Consequence:
    """Say what a difference does to the customer while it stands.

    `leak`: the database grants access that Stripe does not; `lockout`: the reverse; `money`: a
    field that decides an amount or a date of billing; `cosmetic`: anything else.
    """
    held, content = difference.held, difference.content
    here = held is not None and grants(mirrored, held, access_statuses)
    there = content is not None and mirrored.grants(content.row, access_statuses)
    if here != there:
        return "leak" if here else "lockout"
    if difference.kind == "differs" and _touches_money(mirrored, difference):
        return "money"
    return "cosmetic"


def grants(mirrored: MirroredObject, held: Held, access_statuses: Collection[str]) -> bool:
    """Return whether an application lets a customer in on the strength of this row."""
    return held.missing_in_stripe_since is None and mirrored.grants(held.row, access_statuses)


def ends_access(meaning: Consequence) -> bool:
    """Return whether repairing the difference would lock somebody out who is let in today."""
    return meaning == "leak"


def monthly_amounts(
    mirrored: MirroredObject, difference: Difference, meaning: Consequence
) -> Amounts:
    """Return what is at stake a month.

    Of a leak or a lockout it is the whole subscription on the side that lets the customer in. Else
    it is what the items differ by; a side that has ended bills nothing. A trial or a pause counts
    by what its prices say, as it is billed once it is over.
    """
    if not mirrored.is_billed or meaning == "cosmetic":
        return NOTHING
    held, content = difference.held, difference.content
    here = Side(mirrored, held.row, held.items) if held is not None else None
    there = Side(mirrored, content.row, content.items or ()) if content is not None else None
    if meaning == "leak":
        return between(here, None)
    if meaning == "lockout":
        return between(None, there)
    return between(_going_on(here), _going_on(there))


def _going_on(side: Side | None) -> Side | None:
    return None if side is None or side.mirrored.is_terminal(side.row) else side


def _touches_money(mirrored: MirroredObject, difference: Difference) -> bool:
    concern, item_concern = _concerns(mirrored)
    for name, pair in difference.fields.items():
        item, column = named(name, pair)
        if column is None:
            return True
        decides = concern if item is None else item_concern
        if decides.get(column, Concern.COSMETIC) is not Concern.COSMETIC:
            return True
    return False


@cache
def _concerns(mirrored: MirroredObject) -> tuple[dict[str, Concern], dict[str, Concern]]:
    """Return what the columns of an object, and of its items, decide."""
    items = mirrored.items.columns if mirrored.items is not None else ()
    return (
        {column.name: column.concern for column in mirrored.columns},
        {column.name: column.concern for column in items},
    )
