"""What each endpoint takes in its query, and Stripe's refusals of everything else.

The names are those of the pinned library's `*ListParams` and `*RetrieveParams`, held by a test.
"""

import re

from sandbox.stripe_double.objects.catalogue import KINDS
from sandbox.stripe_double.objects.kind import PAGE_PARAMETERS
from sandbox.stripe_double.objects.price import RECURRING
from sandbox.stripe_double.protocol.refusals import (
    Refusal,
    cannot_expand,
    empty_parameter,
    unknown_parameters,
)
from sandbox.stripe_double.protocol.request import Request

_ONE = frozenset({"expand"})

PARAMETERS: dict[str, frozenset[str]] = {
    **{f"{kind.collection}.list": kind.list_parameters for kind in KINDS},
    **{f"{kind.collection}.retrieve": _ONE for kind in KINDS},
    "subscription_items.list": PAGE_PARAMETERS | {"subscription"},
    "events.list": PAGE_PARAMETERS | {"created", "delivery_success", "type", "types"},
    "events.retrieve": _ONE,
    "account.retrieve": _ONE,
    "thin_events.retrieve": frozenset(),
}
_LISTS = frozenset({"expand", "ids", "lookup_keys", "types"})
_RANGES = frozenset({"created", "current_period_end", "current_period_start"})
_KEYS = {name: frozenset({"gt", "gte", "lt", "lte"}) for name in _RANGES} | {
    "automatic_tax": frozenset({"enabled"}),
    "recurring": frozenset(RECURRING),
}
_SPLIT = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")

_EXPANDED = {kind.collection: kind.expands for kind in KINDS}


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
    if first not in _EXPANDED.get(endpoint.partition(".")[0], ()):
        raise cannot_expand(first, in_list=False)
