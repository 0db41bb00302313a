"""What we ask of Stripe: one object, one page of a list, the account."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec

from shared import log, truth
from shared.errors import (
    KeyRevoked,
    NotPermitted,
    ObjectMissing,
    StripeError,
    StripeUnavailable,
    StripeUnreadable,
    UnreadableObject,
)
from shared.objects.declaration import Content, MirroredObject
from shared.stripe import lists as stripe_list
from shared.stripe.event import Event
from shared.stripe.http import Answer, StripeHttp
from shared.stripe.page import Memory, Page, decode_page
from shared.truth import Interval

PAGE = 100
"""Objects a page, the most that Stripe gives."""

MOST_REPEATED = 2
"""Objects of a page's last second above which a list goes on by its cursor.

Narrowing lists them all again: one of a hundred in most accounts, but most of a page where an
import or a campaign made dozens a second.
"""

_EVENT_DAYS = 30
"""How long Stripe keeps an event to be asked for (docs.stripe.com/api/events/retrieve)."""

_MOST_ITEM_PAGES = 50
_MOST_READS = 5


class Retrieved(NamedTuple):
    """One object as Stripe has it, complete, and the interval in which it was read."""

    content: Content
    as_of: Interval


class ListedPage(NamedTuple):
    """One page, the interval of its objects (a list may lag), and when it was answered."""

    page: Page
    as_of: Interval
    answered: Interval


class ListedEvent(NamedTuple):
    """An event of Stripe's list: what the ledger asks of it, and its JSON."""

    id: str
    type: str
    created: int
    body: bytes


class _EventStub(msgspec.Struct):
    id: str
    type: str
    created: int


class _Account(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(pattern=r"^acct_[!-~]+\Z")]


_account_decoder = msgspec.json.Decoder(_Account)
_event_decoder = msgspec.json.Decoder(_EventStub)
_log = logging.getLogger(__name__)


class StripeApi:
    """Stripe's API as far as it is needed here: read-only."""

    def __init__(self, http: StripeHttp, *, livemode: bool) -> None:
        """`livemode` is that of the key."""
        self._http = http
        self.livemode = livemode

    @property
    def requests(self) -> int:
        """How many requests were sent, retries among them."""
        return self._http.requests

    def saturated(self, mirrored: MirroredObject) -> bool:
        """Whether requests for lists of these objects wait for the rate limit."""
        return self._http.saturated(mirrored.path)

    def retrieve(
        self, mirrored: MirroredObject, object_id: str, deadline: float | None = None
    ) -> Retrieved:
        """Ask for one object, and for the rest of its items where it embeds only the first.

        Raises ObjectMissing, UnreadableObject, StripeRefused, StripeUnavailable, StripeUnreadable.
        """
        answer = self._object(mirrored, object_id, deadline)
        for _ in range(_MOST_READS):
            content = mirrored.decode(answer.body)
            if content.items is not None:
                return Retrieved(content, answer.as_of)
            if mirrored.items is None:
                raise UnreadableObject("$", "what was to be expanded is left out")
            # The items come in an answer of their own, maybe of another state. Where the object
            # is the same before and after, there was a moment at which both were true.
            items = self._all_items(mirrored, object_id, deadline)
            again = self._object(mirrored, object_id, deadline)
            if items is not None:
                whole = mirrored.decode(answer.body, items)
                if mirrored.decode(again.body, items) == whole:
                    return Retrieved(whole, Interval(answer.as_of.lower, again.as_of.upper))
            answer = again
        raise StripeUnavailable(f"GET {mirrored.path}/:id: it changes while its items are read")

    def _object(self, mirrored: MirroredObject, object_id: str, deadline: float | None) -> Answer:
        endpoint = f"{mirrored.path}/:id"
        path = f"{mirrored.path}/{quote(object_id, safe='')}"
        expanded = [("expand[]", one.column) for one in mirrored.expands]
        answer = self._http.get(path, expanded, endpoint=endpoint, deadline=deadline)
        if mirrored.decode(answer.body).id != object_id:
            raise StripeUnreadable(f"GET {endpoint}: answered another object")
        return answer

    def _all_items(
        self, mirrored: MirroredObject, object_id: str, deadline: float | None
    ) -> list[Any] | None:
        """Return the items page by page, None where the cursor's item has gone meanwhile."""
        assert mirrored.items is not None
        items: list[Any] = []
        parameters: dict[str, str | int] = {mirrored.name: object_id, "limit": PAGE}
        for _ in range(_MOST_ITEM_PAGES):
            try:
                answer = self._http.get(mirrored.items.path, parameters, deadline=deadline)
            except (StripeUnreadable, ObjectMissing):
                if "starting_after" in parameters:
                    return None
                raise
            page, has_more = mirrored.decode_items(answer.body)
            items.extend(page)
            if not has_more or not page:
                return items
            parameters["starting_after"] = page[-1].id
        raise UnreadableObject("$.items", f"more than {_MOST_ITEM_PAGES * PAGE} items")

    def page(
        self,
        mirrored: MirroredObject,
        parameters: Mapping[str, str | int],
        memory: Memory | None = None,
        number: int = 0,
    ) -> ListedPage:
        """Ask for one page of a list, newest first, without decoding what `memory` recognises.

        `number`: which of the object's lists.

        Raises StripeRefused, StripeUnavailable, StripeUnreadable. Objects that cannot be read do
        not spoil the page: they are named in it.
        """
        asked: list[tuple[str, str | int]] = [
            *parameters.items(),
            ("limit", PAGE),
            *mirrored.lists[number].items(),
            *(("expand[]", f"data.{one.column}") for one in mirrored.expands),
        ]
        try:
            answer = self._http.get(mirrored.path, asked)
        except ObjectMissing:
            raise StripeUnavailable(f"GET {mirrored.path}: the cursor's object is gone") from None
        try:
            page = decode_page(mirrored, answer.body, memory)
        except UnreadableObject as error:
            raise StripeUnreadable(f"GET {mirrored.path}: not a list ({error})") from None
        return ListedPage(page, truth.of_page(answer.as_of), answer.as_of)

    def events(self, types: Sequence[str], gte: int, lte: int) -> Iterator[list[ListedEvent]]:
        """Yield pages of the events of these types with `created` in `[gte, lte]`, newest first.

        Stripe keeps them for 30 days and takes at most 20 types (docs.stripe.com/api/events/list).
        The list is walked as windows are, for the reasons given in reconcile/windows/listing.py.
        Raises StripeRefused, StripeUnavailable, StripeUnreadable.
        """
        asked: list[tuple[str, str | int]] = [("types[]", name) for name in types]
        asked.append(("limit", PAGE))
        position: list[tuple[str, str | int]] = [("created[gte]", gte), ("created[lt]", lte + 1)]
        reached = lte + 1
        seen: set[str] = set()
        while True:
            answer = self._http.get("/v1/events", [*asked, *position])
            page, has_more = _event_page(answer.body)
            yield [e for e in page if gte <= e.created <= lte and e.id not in seen]
            if not has_more:
                return
            if not page:
                raise StripeUnreadable("GET /v1/events: an empty page that claims to have more")
            oldest = page[-1]
            if oldest.created < gte:
                return
            last_second = sum(event.created == oldest.created for event in page)
            if oldest.created >= reached or last_second > MOST_REPEATED:
                position = [("starting_after", oldest.id)]
            else:
                position = [("created[gte]", gte), ("created[lt]", oldest.created + 1)]
                seen.clear()
            reached = oldest.created
            seen.update(event.id for event in page if event.created == reached)

    def now(self, objects: Sequence[MirroredObject]) -> int:
        """Return Stripe's time at its latest answers to us: certainly past, and no request more.

        No single answer is believed. Where there were fewer than two, one of the first of `objects`
        is asked for that the key may read. Raises StripeRefused, StripeUnavailable,
        StripeUnreadable.
        """
        asked = 0
        while (now := self._http.clock.now) is None:
            try:
                self.try_to_read(objects[asked])
            except NotPermitted:
                asked += 1
                if asked == len(objects):
                    raise
        return now

    def try_to_read(self, mirrored: MirroredObject, deadline: float | None = None) -> None:
        """Ask for a list of one object, to find out whether the key may.

        Raises StripeRefused, StripeUnavailable, StripeUnreadable.
        """
        try:
            self._http.get(mirrored.path, {"limit": 1}, deadline=deadline)
        except ObjectMissing:
            raise StripeUnavailable(f"GET {mirrored.path}: 404 for a list") from None

    @property
    def clock_ahead(self) -> float | None:
        """By how many seconds this machine was ahead of Stripe at its last answer; None: no answer.

        Negative where it was behind. Within a second or two, and the time of a request.
        """
        return self._http.clock.ahead

    def knows(self, event: Event, deadline: float) -> bool | None:
        """Return whether the key's account and mode have this event, None where it is too old.

        Stripe keeps each event for 30 days, whatever became of its object; those of another account
        or mode, connected ones among them, it has not. Raises StripeRefused, StripeUnavailable,
        StripeUnreadable.
        """
        try:
            self._http.get(
                f"{event.address}/{quote(event.id, safe='')}",
                endpoint=f"{event.address}/:id",
                deadline=deadline,
            )
        except ObjectMissing as missing:
            is_kept = event.created > missing.as_of.lower - _EVENT_DAYS * 86400
            return False if is_kept else None
        return True

    def account_id(self, seconds: float) -> str | None:
        """Return the account's id, None where Stripe does not tell it within so many seconds.

        Whatever it answers instead: no permission, 404, an error of its own, HTML, nothing. It can
        be done without, but not with a key that is none: raises KeyRevoked.
        """
        try:
            answer = self._http.get("/v1/account", deadline=time.monotonic() + seconds)
            return _account_decoder.decode(answer.body).id
        except KeyRevoked:
            raise
        except (StripeError, msgspec.DecodeError, UnicodeDecodeError) as error:
            reason = str(error) if isinstance(error, StripeError) else "not an account"
            log.event(_log, "account.not_told", reason=reason)
            return None


def _event_page(body: bytes | bytearray) -> tuple[list[ListedEvent], bool]:
    """Read a page of events, and whether there are more. Raises StripeUnreadable."""
    try:
        page = stripe_list.split(body)
        data = []
        for raw in page.data:
            stub = stripe_list.head(raw, _event_decoder)
            data.append(ListedEvent(stub.id, stub.type, stub.created, bytes(raw)))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StripeUnreadable(f"GET /v1/events: not a list ({type(error).__name__})") from None
    return data, page.has_more
