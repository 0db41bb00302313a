"""What each endpoint takes in its query, and Stripe's refusals of everything else.

The names are those of the pinned library's `*ListParams` and `*RetrieveParams`, held by a test.
"""

import re
from collections.abc import Sequence

from sandbox.stripe_double.refusals import (
    Refusal,
    cannot_expand,
    empty_parameter,
    invalid_choice,
    unknown_parameters,
)
from sandbox.stripe_double.wire import Request

_PAGE = frozenset({"ending_before", "expand", "limit", "starting_after"})
_ONE = frozenset({"expand"})

PARAMETERS: dict[str, frozenset[str]] = {
    "subscriptions.list": _PAGE
    | {
        "automatic_tax",
        "collection_method",
        "created",
        "current_period_end",
        "current_period_start",
        "customer",
        "customer_account",
        "plan",
        "price",
        "status",
        "test_clock",
    },
    "subscriptions.retrieve": _ONE,
    "subscription_items.list": _PAGE | {"subscription"},
    "customers.list": _PAGE | {"created", "email", "test_clock"},
    "customers.retrieve": _ONE,
    "events.list": _PAGE | {"created", "delivery_success", "type", "types"},
    "events.retrieve": _ONE,
    "account.retrieve": _ONE,
    "thin_events.retrieve": frozenset(),
}
_LISTS = frozenset({"expand", "types"})
_RANGES = frozenset({"created", "current_period_end", "current_period_start"})
_KEYS = {name: frozenset({"gt", "gte", "lt", "lte"}) for name in _RANGES} | {
    "automatic_tax": frozenset({"enabled"})
}
_SPLIT = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")

# Which references the double shows whole when it is asked to.
_EXPANDED = {"subscriptions.list": "customer", "subscriptions.retrieve": "customer"}


def check_parameters(request: Request, endpoint: str) -> None:
    """Raise Stripe's refusal of what this endpoint does not take."""
    known = PARAMETERS[endpoint]
    unknown = [name for name, _ in request.query if not _is_known(name, known)]
    if unknown:
        raise unknown_parameters(list(dict.fromkeys(unknown)))
    for name, value in request.query:
        base = name.partition("[")[0]
        if base in _LISTS and name == base:
            raise Refusal(400, "Invalid array", param=name)
        if not value:
            raise empty_parameter(name)
        if base == "expand":
            _check_expansion(value, endpoint)


def _is_known(name: str, known: frozenset[str]) -> bool:
    parts = _SPLIT.fullmatch(name)
    if parts is None or parts[1] not in known:
        return False
    base, key = parts.groups()
    if base in _LISTS:
        return not key or key.isdigit()
    if key is None:
        return base not in _KEYS or base in _RANGES
    return key in _KEYS.get(base, ())


def _check_expansion(path: str, endpoint: str) -> None:
    """A list's objects are expanded under `data`, which by itself is taken and does nothing."""
    in_list = endpoint.endswith(".list")
    if in_list and path == "data":
        return
    inner = path.removeprefix("data.") if in_list else path
    if in_list and inner == path:
        raise cannot_expand(path, in_list=True)
    first = inner.partition(".")[0]
    if first != _EXPANDED.get(endpoint):
        raise cannot_expand(first, in_list=False)


def read_choice(request: Request, name: str, choices: Sequence[str]) -> str | None:
    value = request.value(name)
    if value is not None and value not in choices:
        raise invalid_choice(name, choices)
    return value


def read_boolean(request: Request, name: str) -> bool | None:
    value = request.value(name)
    if value not in {None, "true", "false"}:
        raise Refusal(400, f"Invalid boolean: {value}", param=name)
    return None if value is None else value == "true"
