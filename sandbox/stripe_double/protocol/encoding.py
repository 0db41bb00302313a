"""JSON as Stripe sends it."""

import json
from typing import Any, TypeAlias

import msgspec

JsonObject: TypeAlias = dict[str, Any]


def to_json(value: object, *, compact: bool = False) -> bytes:
    """JSON as Stripe sends it, indented by two. Carries what msgspec refuses, surrogates too."""
    try:
        text = msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        if compact:
            return json.dumps(value, separators=(",", ":"), default=_embedded).encode()
        return json.dumps(value, indent=2, default=_embedded).encode()
    return text if compact else msgspec.json.format(text, indent=2)


def plain(value: object) -> Any:
    """The same value with nothing but dicts, lists and scalars in it."""
    return json.loads(to_json(value, compact=True))


def _embedded(value: object) -> Any:
    return json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else str(value)
