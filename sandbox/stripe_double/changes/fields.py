"""Which given fields a state knows by name, and which lie over its rendered body."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from sandbox.stripe_double.protocol.encoding import JsonObject


def split_fields(
    kind: type[Struct], fields: Mapping[str, Any]
) -> tuple[dict[str, Any], JsonObject]:
    """Fields that the state has by name, and the rest, which lies over the body."""
    names = set(kind.__struct_fields__) - {"extra"}
    known = {name: value for name, value in fields.items() if name in names}
    if "discounts" in known:
        known["discounts"] = tuple(known["discounts"])
    extra = {name: value for name, value in fields.items() if name not in names | {"extra"}}
    return known, {**fields.get("extra", {}), **extra}


def overlay(before: JsonObject, fields: Mapping[str, Any], extra: JsonObject) -> JsonObject:
    """`extra` replaces what lay over the body; single unknown fields are added to it."""
    return extra if "extra" in fields else {**before, **extra}
