"""How two states of one object differ, field by field. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from shared.objects.column import AS_JSON, Column, Columns, Row, Type, Value

Fields = dict[str, tuple[Any, Any]]
"""Differences by field: (before, after), or (in the database, in Stripe)."""


class Field(NamedTuple):
    """What a key of `Fields` names: no `item` is the object itself, no `column` a whole item."""

    item: str | None
    column: str | None


def named(key: str, pair: Sequence[Any]) -> Field:
    """Read a key of `Fields`; somebody else may have put dots into an item's id."""
    if not key.startswith(_ITEMS):
        return Field(None, key)
    name = key.removeprefix(_ITEMS)
    if None in pair and any(isinstance(one, dict) and one.get("id") == name for one in pair):
        return Field(name, None)
    item, _, column = name.rpartition(".")
    return Field(item, column) if item else Field(name, None)


_ITEMS = "items."


def between_rows(columns: Columns, before: Row, after: Row) -> Fields:
    """Return the columns in which two rows differ in value, not merely in spelling."""
    if before == after:
        return {}
    return {
        column.name: (_presented(column, old), _presented(column, new))
        for column, old, new in zip(columns.all, before, after, strict=True)
        if old != new and (old is None or new is None or _value(column, old) != _value(column, new))
    }


def between_items(columns: Columns, before: tuple[Row, ...], after: tuple[Row, ...]) -> Fields:
    """Return how two sets of items differ.

    Keys: `items.<id>` for an item that only one side has (None on the other), else
    `items.<id>.<column>`.
    """
    fields: Fields = {}
    old = {str(row[0]): row for row in before}
    new = {str(row[0]): row for row in after}
    for item in sorted(old.keys() | new.keys()):
        if item not in old:
            fields[f"items.{item}"] = (None, _whole(columns, new[item]))
        elif item not in new:
            fields[f"items.{item}"] = (_whole(columns, old[item]), None)
        else:
            for name, pair in between_rows(columns, old[item], new[item]).items():
                fields[f"items.{item}.{name}"] = pair
    return fields


def _whole(columns: Columns, row: Row) -> dict[str, Any]:
    """Return a row as a JSON object, nulls left out."""
    whole: dict[str, Any] = {
        name: value for name, value in zip(columns.names, row, strict=True) if value is not None
    }
    for name in columns.as_json:
        if (text := whole.get(name)) is not None:
            whole[name] = _read(text)
    return whole


def _presented(column: Column, value: Value) -> Any:
    """Return a value as people and programs read it: JSON as JSON."""
    if value is not None and column.type in AS_JSON:
        return _read(str(value))
    return value


def _read(text: str) -> Any:
    """Return what JSON says; its null, which is not the column's, stays a word.

    So does what holds a number that is too long to be read: jsonb has no limit.
    """
    try:
        return text if text == "null" else msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _value(column: Column, value: Value) -> Any:
    """Return what is compared: 12.5 and 12.50 are one amount, no value is not JSON's null.

    A time with a fraction is text, which equals no whole second.

    In JSON too: PostgreSQL prints 3.6e+16 as a whole number, which no float may equal exactly.
    """
    if value is None or (column.type is not Type.DECIMAL and column.type not in AS_JSON):
        return value
    if column.type is Type.DECIMAL:
        return Decimal(str(value))
    return [json.loads(str(value), parse_float=_exactly, parse_int=_exactly)]


def _exactly(digits: str) -> tuple[Decimal]:
    """Return a number of JSON as what true, which equals 1 in Python, does not equal."""
    return (Decimal(digits),)
