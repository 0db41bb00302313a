"""What is left of an object that Stripe has deleted: its id, and the columns that are kept.

The event of its deletion still carries the object as it was, Stripe's answer from then on only the
id and `deleted`, if it knows it at all; both are to give one content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.objects.column import NULL_JSON, Column, Row, Type, dig

Emptied = list[tuple[str, Any]]
"""Places in Stripe's JSON, and what stands there when the object is deleted."""

_EMPTY: dict[Type, Any] = {Type.METADATA: {}, Type.JSON: NULL_JSON}


def emptied(columns: Sequence[Column]) -> Emptied:
    """Return what is emptied, nothing for an object that Stripe cannot delete."""
    if all(column.name != "deleted" for column in columns):
        return []
    return [(column.source, _EMPTY.get(column.type)) for column in columns if not _stays(column)]


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


def after_deletion(columns: Sequence[Column], row: Row) -> Row:
    """Return a row after the deletion of its object."""
    return tuple(
        True
        if column.name == "deleted"
        else value
        if _stays(column)
        else ("{}" if column.type is Type.METADATA else None)
        for column, value in zip(columns, row, strict=True)
    )


def _stays(column: Column) -> bool:
    return column.keeps or column.name in {"id", "deleted"}
