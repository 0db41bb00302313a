"""What one kind of Stripe's objects is to the double: everything else follows from it."""

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct

from sandbox.stripe_double.objects.states import State
from sandbox.stripe_double.protocol.encoding import JsonObject
from sandbox.stripe_double.protocol.request import Request

S = TypeVar("S", bound=State)

Find: TypeAlias = Callable[[str, str], Any]
"""The object of this kind's name with this id as it is now, or None."""

PAGE_PARAMETERS = frozenset({"ending_before", "expand", "limit", "starting_after"})


class Style(Struct, frozen=True, kw_only=True):
    """How an object is rendered, apart from its state.

    `embedded`: items shown in a subscription, None for all. `expand`: what is shown whole. `find`:
    where other objects are looked up; without it a state's own copies of them are shown.
    """

    version: str
    embedded: int | None = 10
    expand: frozenset[str] = frozenset()
    find: Find | None = None

    @property
    def since_basil(self) -> bool:
        return self.version[:10] >= "2025-03-31"


Test: TypeAlias = Callable[[Any], bool]


def _any(_state: Any) -> bool:
    return True


class Selection(Struct, frozen=True, kw_only=True):
    """What a list is asked for: tests of states and of sketches.

    `cursor`: which objects can be cursors; what has left some filters is as good as unknown.
    `customer`: only what is this customer's.
    """

    listed: Test
    cursor: Test = _any
    customer: str | None = None


class Kind(Struct, Generic[S], frozen=True, kw_only=True):
    """One kind of objects.

    `name` is Stripe's `object`, `collection` what stands in URLs, in endpoints' names and in the
    double's permissions; `permission`, what a refused key lacks (`rak_..._read`). `ids`: their
    prefix and how much follows it. `event`: what stands before `.created`, `.updated`, `.deleted`.
    `list_parameters`: what its list takes; `select` reads them. `expands`: what `expand[]` shows.
    `changeable`: fields that Stripe lets one change, None for all. `once_deleted`: what there is
    under its id then. `missing_param`: what a refusal names for an unknown id in the path.
    """

    name: str
    collection: str
    permission: str
    state: type[S]
    ids: tuple[str, int]
    event: str
    body: Callable[[S, Style], JsonObject]
    list_parameters: frozenset[str]
    select: Callable[[Request, Find], Selection]
    expands: frozenset[str] = frozenset()
    changeable: frozenset[str] | None = None
    once_deleted: Literal["stub", "missing"] = "missing"
    missing_param: str = "id"

    def stub(self, name: str) -> JsonObject:
        """What is left of a deleted one."""
        return {"id": name, "object": self.name, "deleted": True}
