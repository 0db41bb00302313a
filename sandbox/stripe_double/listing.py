"""The parameters of Stripe's lists and how a page is cut from a shelf."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from sandbox.stripe_double.refusals import Refusal, missing
from sandbox.stripe_double.wire import Answer, Request

T = TypeVar("T")

_FAR = 2**62


class ListQuery(Struct, frozen=True, kw_only=True):
    """Creation times are the seconds [lower, upper)."""

    limit: int
    lower: int
    upper: int
    ranged: bool
    starting_after: str | None
    ending_before: str | None


class Page(Struct, Generic[T], frozen=True):
    items: list[T]
    has_more: bool


def read_query(request: Request, *, fractions: bool = False) -> ListQuery:
    """`fractions`: everything was created some time after its second began, and counts as that."""
    limit = _integer(request, "limit", 10)
    if not 1 <= limit <= 100:
        raise Refusal(
            400,
            "This value must be less than or equal to 100 and greater than or equal to 1.",
            code="parameter_invalid_integer",
            param="limit",
        )
    lower, upper = -_FAR, _FAR
    ranged = False
    whole = 0 if fractions else 1
    for name, side, shift in (
        ("created", "both", whole),
        ("created[gt]", "lower", whole),
        ("created[gte]", "lower", 0),
        ("created[lt]", "upper", 0),
        ("created[lte]", "upper", whole),
    ):
        if request.value(name) is None:
            continue
        ranged = True
        second = _integer(request, name, 0)
        if side in {"lower", "both"}:
            lower = max(lower, second + (0 if side == "both" else shift))
        if side in {"upper", "both"}:
            upper = min(upper, second + shift)
    after, before = request.value("starting_after"), request.value("ending_before")
    if after is not None and before is not None:
        raise Refusal(400, "You cannot parameterize starting_after and ending_before together.")
    return ListQuery(
        limit=limit,
        lower=lower,
        upper=max(lower, upper),
        ranged=ranged,
        starting_after=after,
        ending_before=before,
    )


def _integer(request: Request, name: str, default: int) -> int:
    value = request.value(name)
    if value is None:
        return default
    try:
        return int(value)
    except ValueError:
        raise Refusal(
            400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name
        ) from None


def cut_page(
    read: Callable[[int], T | None], first: int, last: int, limit: int, *, backwards: bool = False
) -> Page[T]:
    """Up to `limit` of the places [first, last), the last ones first; `read` skips by None.

    Backwards: the `limit` that stand nearest to `first`, still the last ones first.
    """
    found: list[T] = []
    places = range(first, last) if backwards else range(last - 1, first - 1, -1)
    for place in places:
        item = read(place)
        if item is None:
            continue
        if len(found) == limit:
            return Page(found[::-1] if backwards else found, True)
        found.append(item)
    return Page(found[::-1] if backwards else found, False)


def cut_sequence(
    items: Sequence[T], name: Callable[[T], str], query: ListQuery, kind: str
) -> Page[T]:
    """A page of a short sequence, in its own order."""
    names = [name(item) for item in items]
    first, last = 0, len(items)
    for param, cursor in (
        ("starting_after", query.starting_after),
        ("ending_before", query.ending_before),
    ):
        if cursor is None:
            continue
        if cursor not in names:
            raise missing(kind, cursor, param)
        place = names.index(cursor)
        first, last = (place + 1, last) if param == "starting_after" else (first, place)
    if query.ending_before is not None:
        return Page(list(items[max(first, last - query.limit) : last]), last - first > query.limit)
    return Page(list(items[first : min(last, first + query.limit)]), last - first > query.limit)


def envelope(url: str, elements: Sequence[str], *, has_more: bool, compact: bool) -> Answer:
    """Stripe's list object around JSON texts that are indented to stand in it."""
    more = "true" if has_more else "false"
    if compact:
        data = ",".join(elements)
        text = f'{{"object":"list","url":"{url}","has_more":{more},"data":[{data}]}}'
    else:
        data = ",\n    ".join(elements)
        inside = f"\n    {data}\n  " if elements else ""
        text = (
            f'{{\n  "object": "list",\n  "url": "{url}",\n  "has_more": {more},\n'
            f'  "data": [{inside}]\n}}'
        )
    return Answer(status=200, body=text.encode())
