"""A request with what its key opens, and the ways in which it is answered."""

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from sandbox.stripe_double.http.keys import Key
from sandbox.stripe_double.objects.catalogue import render
from sandbox.stripe_double.objects.kind import Style
from sandbox.stripe_double.objects.shelf import LATEST, S, Shelf, Sketch
from sandbox.stripe_double.objects.stencils import in_list
from sandbox.stripe_double.protocol.encoding import JsonObject, to_json
from sandbox.stripe_double.protocol.listing import ListQuery, Page, cut_page, envelope, find_cursors
from sandbox.stripe_double.protocol.refusals import Refusal
from sandbox.stripe_double.protocol.request import Answer, Request
from sandbox.stripe_double.realm.realm import Realm

_VERSION = re.compile(r"\d{4}-\d\d-\d\d(\.[a-z]+)?")


class Call(Struct, frozen=True, kw_only=True):
    """A request with what its key opens; `name`: the id in the path."""

    request: Request
    realm: Realm
    key: Key
    name: str

    @property
    def version(self) -> str:
        asked = self.request.headers.get("stripe-version")
        if asked is None:
            return self.realm.switches.account_version
        if not _VERSION.fullmatch(asked):
            raise Refusal(400, f"Invalid Stripe API version: {asked}")
        return asked

    @property
    def style(self) -> Style:
        asked = {path.removeprefix("data.") for path in self.request.listed("expand")} - {"data"}
        expand = asked | ({"customer"} if self.realm.switches.expand_customer else set())
        return Style(
            version=self.version,
            embedded=self.realm.switches.embedded_items,
            expand=frozenset(expand),
            find=self.realm.find,
        )

    def past(self, lag: float) -> float:
        """The moment that a list behind by `lag` shows."""
        return self.realm.clock.now() - lag if lag else LATEST


def answer_one(body: JsonObject, call: Call) -> Answer:
    return Answer(status=200, body=to_json(body, compact=call.realm.switches.compact))


def answer_many(bodies: Sequence[JsonObject], call: Call, *, has_more: bool) -> Answer:
    compact = call.realm.switches.compact
    texts = [in_list(to_json(body, compact=compact), compact=compact) for body in bodies]
    return envelope(call.request.path, texts, has_more=has_more, compact=compact)


def answer_page(page: Page[S | Sketch[S]], call: Call) -> Answer:
    """Seeded objects go the quick way, unless others are to be shown whole in them."""
    style, compact = call.style, call.realm.switches.compact
    texts = []
    for found in page.items:
        if isinstance(found, Sketch) and not style.expand:
            texts.append(call.realm.stencils.fill(found, style, compact=compact))
        else:
            state = found.state() if isinstance(found, Sketch) else found
            texts.append(in_list(to_json(render(state, style), compact=compact), compact=compact))
    return envelope(call.request.path, texts, has_more=page.has_more, compact=compact)


def find_page(
    shelf: Shelf[S],
    query: ListQuery,
    wanted: Callable[[S | Sketch[S]], bool],
    kind: str,
    call: Call,
    *,
    is_cursor: Callable[[S | Sketch[S]], bool] | None = None,
) -> Page[S | Sketch[S]]:
    """A page in Stripe's order, newest first, with Stripe's traps for cursors.

    A cursor may be any object that ever was, deleted ones too, but for those that `is_cursor`
    refuses: what has left a filter by status is as good as unknown.
    """
    at = call.past(call.realm.switches.lag)
    quirk = call.realm.switches.cursor_in_range
    first, last = shelf.span(query.lower, query.upper)

    def locate(name: str) -> int | None:
        number = shelf.number(name)
        state = None if number is None else shelf.look(number)
        return number if state is not None and (is_cursor is None or is_cursor(state)) else None

    after, before = find_cursors(query, kind, locate)
    cursor = before if after is None else after
    if cursor is not None:
        older, newer = shelf.place(cursor), shelf.place(cursor) + 1
        created = shelf.created(cursor)
        if query.ranged and query.lower <= created < query.upper and quirk != "works":
            if quirk == "empty":
                return Page([], False)
            older, newer = shelf.span(created, created + 1)
        first, last = (first, min(last, older)) if before is None else (max(first, newer), last)

    def read(place: int) -> S | Sketch[S] | None:
        state = shelf.look(shelf.number_at(place), at)
        return state if state is not None and wanted(state) else None

    return cut_page(read, first, last, query.limit, backwards=query.ending_before is not None)
