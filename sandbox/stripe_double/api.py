"""The part of Stripe's API that reads subscriptions, items, customers, events, the account."""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from sandbox.stripe_double.bodies import (
    Style,
    customer_body,
    deleted_customer_body,
    item_body,
    render,
    subscription_body,
    to_json,
)
from sandbox.stripe_double.events import KEPT_SECONDS, Event, event_body
from sandbox.stripe_double.keys import Key
from sandbox.stripe_double.listing import (
    ListQuery,
    Page,
    cut_page,
    cut_sequence,
    envelope,
    read_query,
)
from sandbox.stripe_double.realm import Realm
from sandbox.stripe_double.refusals import Refusal, forbidden, missing
from sandbox.stripe_double.shelf import LATEST, S, Shelf, Sketch
from sandbox.stripe_double.states import Customer, Item, JsonObject, Subscription
from sandbox.stripe_double.stencils import in_list
from sandbox.stripe_double.wire import Answer, Request

_VERSION = re.compile(r"\d{4}-\d\d-\d\d(\.[a-z]+)?")
_PERMISSION_NAMES = {
    "subscriptions": "subscription",
    "customers": "customer",
    "events": "event",
    "account": "accounts_kyc_basic",
}


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
        wanted = {"customer", "data.customer"}.intersection(self.request.values("expand[]"))
        expand = bool(wanted) or self.realm.switches.expand_customer
        return Style(
            version=self.version,
            embedded=self.realm.switches.embedded_items,
            customers=self.realm.customers.find if expand else None,
        )

    def past(self, lag: float) -> float:
        """The moment that a list behind by `lag` shows."""
        return self.realm.clock.now() - lag if lag else LATEST


Route: TypeAlias = Callable[[Call], Answer]


class Endpoint(Struct, frozen=True, kw_only=True):
    """One endpoint in Stripe's counting: a list and a retrieve are two."""

    name: str
    permission: str
    answer: Route


def find_endpoint(request: Request) -> tuple[Endpoint, str]:
    """The endpoint of a request and the id in its path, or the refusal of an unknown one."""
    prefix, _, rest = request.path.removeprefix("/v1/").partition("/")
    endpoint = _ENDPOINTS.get((prefix, bool(rest)))
    if not request.path.startswith("/v1/") or endpoint is None or request.method != "GET":
        raise Refusal(
            404,
            f"Unrecognized request URL ({request.method}: {request.path}). Please see "
            "https://stripe.com/docs or we can help at https://support.stripe.com/.",
        )
    return endpoint, rest


def answer_call(endpoint: Endpoint, call: Call) -> Answer:
    if endpoint.permission not in call.key.permissions:
        raise forbidden(call.key, _PERMISSION_NAMES[endpoint.permission])
    return endpoint.answer(call)


def _one(body: JsonObject, call: Call) -> Answer:
    return Answer(status=200, body=to_json(body, compact=call.realm.switches.compact))


def _many(bodies: Sequence[JsonObject], call: Call, *, has_more: bool) -> Answer:
    compact = call.realm.switches.compact
    texts = [in_list(to_json(body, compact=compact), compact=compact) for body in bodies]
    return envelope(call.request.path, texts, has_more=has_more, compact=compact)


def _page_of(page: Page[S | Sketch[S]], call: Call) -> Answer:
    """Seeded objects go the quick way, unless their customers are to be shown whole."""
    style, compact = call.style, call.realm.switches.compact
    texts = []
    for found in page.items:
        if isinstance(found, Sketch) and style.customers is None:
            texts.append(call.realm.stencils.fill(found, style, compact=compact))
        else:
            state = found.state() if isinstance(found, Sketch) else found
            texts.append(in_list(to_json(render(state, style), compact=compact), compact=compact))
    return envelope(call.request.path, texts, has_more=page.has_more, compact=compact)


def _retrieve_subscription(call: Call) -> Answer:
    with call.realm.lock:
        state = call.realm.subscriptions.find(call.name)
    if state is None:
        raise missing("subscription", call.name)
    return _one(subscription_body(state, call.style), call)


def _list_subscriptions(call: Call) -> Answer:
    realm, query = call.realm, read_query(call.request)
    status = call.request.value("status")
    customer = call.request.value("customer")
    test_clock = call.request.value("test_clock")

    def wanted(state: Subscription | Sketch[Subscription]) -> bool:
        if test_clock is not None and state.test_clock != test_clock:
            return False
        if test_clock is None and customer is None and state.test_clock is not None:
            return False
        return _has_status(state.status, status)

    with realm.lock:
        if customer is None:
            page = _page(realm.subscriptions, query, wanted, "subscription", call)
        else:
            at = call.past(realm.switches.lag)
            if realm.customers.find(customer) is None:
                raise missing("customer", customer, "customer")
            found = (realm.subscriptions.state(n, at) for n in realm.subscriptions_of(customer))
            states = [state for state in found if state is not None and wanted(state)]
            inside = [s for s in states[::-1] if query.lower <= s.created < query.upper]
            few = cut_sequence(inside, _id_of, query, "subscription")
            page = Page([*few.items], few.has_more)
    return _page_of(page, call)


def _has_status(status: str, asked: str | None) -> bool:
    if asked is None:
        return status != "canceled"
    if asked == "ended":
        return status in {"canceled", "incomplete_expired"}
    return asked in {"all", status}


def _page(
    shelf: Shelf[S],
    query: ListQuery,
    wanted: Callable[[S | Sketch[S]], bool],
    kind: str,
    call: Call,
) -> Page[S | Sketch[S]]:
    """A page in Stripe's order, newest first, with Stripe's traps for cursors."""
    at = call.past(call.realm.switches.lag)
    quirk = call.realm.switches.cursor_in_range
    first, last = shelf.span(query.lower, query.upper)
    for param, cursor in (
        ("starting_after", query.starting_after),
        ("ending_before", query.ending_before),
    ):
        if cursor is None:
            continue
        number = shelf.number(cursor)
        state = None if number is None else shelf.state(number)
        # An object that has left the filter is as good as none.
        if number is None or state is None or not wanted(state):
            raise missing(kind, cursor, param)
        older, newer = shelf.place(number), shelf.place(number) + 1
        if query.ranged and query.lower <= state.created < query.upper and quirk != "works":
            if quirk == "empty":
                return Page([], False)
            older, newer = shelf.span(state.created, state.created + 1)
        if param == "starting_after":
            last = min(last, older)
        else:
            first = max(first, newer)

    def read(place: int) -> S | Sketch[S] | None:
        state = shelf.look(shelf.number_at(place), at)
        return state if state is not None and wanted(state) else None

    return cut_page(read, first, last, query.limit, backwards=query.ending_before is not None)


def _list_items(call: Call) -> Answer:
    realm, query = call.realm, read_query(call.request)
    name = call.request.value("subscription")
    if name is None:
        raise Refusal(400, "Missing required param: subscription.", param="subscription")
    with realm.lock:
        if realm.subscriptions.find(name) is None:
            raise missing("subscription", name, "subscription")
        state = realm.subscriptions.find(name, call.past(realm.switches.lag_items))
    items = () if state is None else state.items
    page = cut_sequence(items, _id_of, query, "subscription_item")
    since_basil = call.style.since_basil
    bodies = [item_body(item, name, since_basil=since_basil) for item in page.items]
    return _many(bodies, call, has_more=page.has_more)


def _retrieve_customer(call: Call) -> Answer:
    with call.realm.lock:
        state = call.realm.customers.find(call.name)
    if state is None:
        raise missing("customer", call.name)
    return _one(deleted_customer_body(state) if state.deleted else customer_body(state), call)


def _list_customers(call: Call) -> Answer:
    query = read_query(call.request)
    email = call.request.value("email")
    test_clock = call.request.value("test_clock")

    def wanted(state: Customer | Sketch[Customer]) -> bool:
        if state.deleted or state.test_clock != test_clock:
            return False
        return email is None or state.email == email

    with call.realm.lock:
        page = _page(call.realm.customers, query, wanted, "customer", call)
    return _page_of(page, call)


def _retrieve_event(call: Call) -> Answer:
    realm = call.realm
    with realm.lock:
        event = realm.events.find(call.name)
        oldest = realm.clock.now() - KEPT_SECONDS
    if event is None or event.created < oldest:
        raise missing("event", call.name)
    return _one(listed_event(event, realm), call)


def _list_events(call: Call) -> Answer:
    realm, query = call.realm, read_query(call.request)
    kinds = _wanted_types(call.request)
    delivered = call.request.value("delivery_success")
    log = realm.events
    with realm.lock:
        now = realm.clock.now()
        first, last = log.span(max(query.lower, int(now) - KEPT_SECONDS), query.upper)
        newest = now - realm.switches.lag_events if realm.switches.lag_events else LATEST
        for param, cursor in (
            ("starting_after", query.starting_after),
            ("ending_before", query.ending_before),
        ):
            if cursor is None:
                continue
            known = log.find(cursor)
            if known is None:
                raise missing("event", cursor, param)
            if param == "starting_after":
                last = min(last, known.number)
            else:
                first = max(first, known.number + 1)

        def read(place: int) -> Event | None:
            event = log.at(place)
            if event.at > newest or (kinds is not None and not kinds(event.type)):
                return None
            if delivered is not None and (event.id in log.unaccepted) == (delivered == "true"):
                return None
            return event

        backwards = query.ending_before is not None
        page = cut_page(read, first, last, query.limit, backwards=backwards)
        bodies = [listed_event(event, realm) for event in page.items]
    return _many(bodies, call, has_more=page.has_more)


def listed_event(event: Event, realm: Realm) -> JsonObject:
    """An event as the API shows it: in the version that the account had when it happened."""
    switches = realm.switches
    return event_body(
        event,
        Style(version=event.account_version, embedded=switches.embedded_items),
        pending=1 if event.id in realm.events.unaccepted else 0,
        drop_items=switches.paused_without_items,
    )


def _wanted_types(request: Request) -> Callable[[str], bool] | None:
    """None for every type. A type may end in `*`."""
    one, many = request.value("type"), request.values("types[]")
    if one is not None and many:
        raise Refusal(400, "You may only specify one of these parameters: type, types.")
    if len(many) > 20:
        raise Refusal(400, "You may not pass more than 20 event types.", param="types")
    asked = many or ([one] if one is not None else [])
    if not asked:
        return None
    exact = {kind for kind in asked if not kind.endswith("*")}
    beginnings = tuple(kind[:-1] for kind in asked if kind.endswith("*"))
    return lambda kind: kind in exact or kind.startswith(beginnings)


def _retrieve_account(call: Call) -> Answer:
    body: JsonObject = {
        "id": call.realm.account,
        "object": "account",
        "business_type": "company",
        "charges_enabled": True,
        "country": "FR",
        "created": 1_600_000_000,
        "default_currency": "eur",
        "details_submitted": True,
        "email": "owner@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }
    return _one(body, call)


def _id_of(thing: Subscription | Item) -> str:
    return thing.id


_ENDPOINTS = {
    (resource, single): Endpoint(name=f"{resource}.{verb}", permission=permission, answer=answer)
    for resource, single, verb, permission, answer in (
        ("subscriptions", False, "list", "subscriptions", _list_subscriptions),
        ("subscriptions", True, "retrieve", "subscriptions", _retrieve_subscription),
        ("subscription_items", False, "list", "subscriptions", _list_items),
        ("customers", False, "list", "customers", _list_customers),
        ("customers", True, "retrieve", "customers", _retrieve_customer),
        ("events", False, "list", "events", _list_events),
        ("events", True, "retrieve", "events", _retrieve_event),
        ("account", False, "retrieve", "account", _retrieve_account),
    )
}
