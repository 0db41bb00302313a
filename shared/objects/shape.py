"""An object in Stripe's own shape, made fit for the database to take it as it is."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import Any

import msgspec

from shared.errors import UnreadableObject
from shared.objects.column import CONVERSIONS, NULL_JSON, PATTERNS, Column, Columns, Type, dig
from shared.objects.declaration import MirroredObject


def prepare(mirrored: MirroredObject, one: Any) -> None:
    """Make a settled object, of which all items are embedded, fit to be written; in place.

    The way from here to the database makes no row of columns: what `MirroredObject.content` would
    refuse is refused here, and what it would change is brought to a form that gives the same row.
    Raises UnreadableObject.
    """
    own, items = _shapes(mirrored)
    own.prepare(one)
    if items is not None:
        for item in one.items.data:
            items.prepare(item)


def is_whole(mirrored: MirroredObject, one: Any) -> bool:
    """Return whether all items of a decoded object are embedded in it."""
    return mirrored.items is None or (one.items is not None and not one.items.has_more)


class _Shape:
    """The fields of one table that need a look."""

    def __init__(self, columns: Columns, place: str) -> None:
        self._place = place
        self._checked = [
            (column.source, attrgetter(column.source), PATTERNS[column.type])
            for column in columns.all
            if column.type is Type.DECIMAL or column.name == "id"
        ]
        self._linked = [
            column
            for column in columns.all
            if column.type in {Type.REFERENCE, Type.REFERENCES, Type.JSON}
        ]
        # With the id, so that it gets a tuple however few they are.
        self._get = attrgetter("id", "id", *(column.source for column in self._linked))

    def prepare(self, decoded: Any) -> None:
        for source, get, pattern in self._checked:
            try:
                value = get(decoded)
            except AttributeError:
                continue
            if value is not None and not pattern.fullmatch(value):
                where = f"{self._place}.{source}"
                raise UnreadableObject(where, f"Expected `str` matching {pattern.pattern!r}")
        try:
            values = self._get(decoded)
        except AttributeError:
            values = tuple(dig(decoded, column.source) for column in self._linked)
        for value in values:
            # An id or nothing, nearly always.
            if value.__class__ is not str and value and value != NULL_JSON:
                self._simplify(decoded)
                return

    def _simplify(self, decoded: Any) -> None:
        for column in self._linked:
            value = dig(decoded, column.source)
            if value.__class__ is not str and value and value != NULL_JSON:
                *path, name = column.source.split(".")
                parent = dig(decoded, ".".join(path)) if path else decoded
                setattr(parent, name, _plain(column, value))


def _plain(column: Column, value: Any) -> Any:
    """Return the id of what came expanded, and JSON of any kind as the database prints it."""
    if column.type is Type.REFERENCE:
        return value.id
    if column.type is Type.REFERENCES:
        return [one if one.__class__ is str else one.id for one in value]
    return msgspec.Raw(str(CONVERSIONS[column.type](value)).encode())


@cache
def _shapes(mirrored: MirroredObject) -> tuple[_Shape, _Shape | None]:
    items = mirrored.items
    return (
        _Shape(mirrored.decoded, "$"),
        _Shape(items.decoded, "$.items.data[...]") if items is not None else None,
    )
