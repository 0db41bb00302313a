"""The parameters of Stripe's lists and how a page is cut from a shelf."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from sandbox.stripe_double.protocol.refusals import (
    Refusal,
    both_cursors,
    invalid_choice,
    invalid_integer,
    missing,
)
from sandbox.stripe_double.protocol.request import Answer, Request

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

    @property
    def has_cursor(self) -> bool:
        return self.starting_after is not None or self.ending_before is not None


class Page(Struct, Generic[T], frozen=True):
    items: list[T]
    has_more: bool


def read_query(request: Request, *, fractions: bool = False) -> ListQuery:
    """`fractions`: everything was created some time after its second began, and counts as that.

    A `limit` out of 1 to 100 is taken for the nearest that is not.
    """
    limit = min(max(_integer(request, "limit", 10), 1), 100)
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
    return ListQuery(
        limit=limit,
        lower=lower,
        upper=max(lower, upper),
        ranged=ranged,
        starting_after=request.value("starting_after"),
        ending_before=request.value("ending_before"),
    )


def _integer(request: Request, name: str, default: int) -> int:
    value = request.value(name)
    if value is None:
        return default
    try:
        return int(value)
    except ValueError:
        raise invalid_integer(name, value) from None


def find_cursors(
    query: ListQuery, kind: str, locate: Callable[[str], T | None]
) -> tuple[T | None, T | None]:
    """What `starting_after` and `ending_before` name; None for one that was not sent.

    An id that was never known is refused first, then two cursors at once.
    """
    found: list[T | None] = []
    for param in ("starting_after", "ending_before"):
        name: str | None = getattr(query, param)
        place = None if name is None else locate(name)
        if name is not None and place is None:
            raise missing(kind, name, param)
        found.append(place)
    after, before = found
    if after is not None and before is not None:
        raise both_cursors()
    return after, before


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
    items: Sequence[T],
    query: ListQuery,
    kind: str,
    locate: Callable[[str], tuple[int, int] | None],
) -> Page[T]:
    """A page of a short sequence, in its own order.

    `locate`: the places before and after an id; they are one where it stood and has gone.
    """
    after, before = find_cursors(query, kind, locate)
    first = 0 if after is None else after[1]
    last = len(items) if before is None else before[0]
    if before is not None:
        return Page(list(items[max(first, last - query.limit) : last]), last - first > query.limit)
    return Page(list(items[first : min(last, first + query.limit)]), last - first > query.limit)


def places_in(
    order: Sequence[str], shown: Sequence[str]
) -> Callable[[str], tuple[int, int] | None]:
    """`order`: all ids that were ever in the list, as it sorts them; `shown`: those left."""
    rank = {name: place for place, name in enumerate(order)}

    def locate(name: str) -> tuple[int, int] | None:
        if name not in rank:
            return None
        before = sum(rank[one] < rank[name] for one in shown)
        return before, before + (name in shown)

    return locate


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
