"""What the change rows of an object add up to, and short names for pictures."""

import hashlib
import json
from typing import Any

from sandbox.mirrored import Picture, exact


def of_changes(fields: Picture, state: Picture) -> list[str]:
    """Fold one change row into `state`; returns the fields that were not what it says they were."""
    wrong = []
    for field, change in fields.items():
        path = field.split(".", 2)
        place = state.setdefault("items", {}) if path[0] == "items" else state
        if len(path) == 3:
            place = place.setdefault(path[1], {})
        before, after = (_value(path, value) for value in change)
        if place.get(path[-1]) != before:
            wrong.append(field)
        place.pop(path[-1], None)
        if after is not None:
            place[path[-1]] = after
    return wrong


def _value(path: list[str], value: Any) -> Any:
    if path[-1] == "unit_amount_decimal":
        return exact(value)
    is_item = path[0] == "items" and len(path) == 2
    if is_item and value is not None and "unit_amount_decimal" in value:
        return {**value, "unit_amount_decimal": exact(value["unit_amount_decimal"])}
    return value


def digest(picture: Picture) -> bytes:
    """A short name for a picture: equal pictures have one."""
    text = json.dumps(picture, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
