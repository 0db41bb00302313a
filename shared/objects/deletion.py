"""What is left of an object that Stripe has deleted: its id, and the columns that are kept.

The event of its deletion still carries the object as it was, Stripe's answer from then on only the
id and `deleted`, if it knows it at all; both are to give one content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.objects.column import NULL_JSON, Column, Type, dig

Emptied = list[tuple[str, Any]]
"""Places in Stripe's JSON, and what stands there when the object is deleted."""

_EMPTY: dict[Type, Any] = {Type.METADATA: {}, Type.JSON: NULL_JSON}


def emptied(columns: Sequence[Column]) -> Emptied:
    """Return what is emptied, nothing for an object that Stripe cannot delete."""
    if all(column.name != "deleted" for column in columns):
        return []
    stays = {"id", "deleted", *(column.name for column in columns if column.keeps)}
    return [(one.source, _EMPTY.get(one.type)) for one in columns if one.name not in stays]


def settle(one: Any, places: Emptied) -> None:
    """Empty a decoded object if it is deleted, in place, and let it say whether it is."""
    if not one.deleted:
        one.deleted = False
        return
    for path, empty in places:
        way, _, name = path.rpartition(".")
        inner = dig(one, way) if way else one
        if inner is not None:
            setattr(inner, name, empty)
