"""Reading objects of any kind."""

from typing import Any

from sandbox.stripe_double.http.calls import Call, answer_one, answer_page, find_page
from sandbox.stripe_double.objects.kind import Kind, Selection
from sandbox.stripe_double.objects.price import PRICE
from sandbox.stripe_double.objects.product import PRODUCT
from sandbox.stripe_double.protocol.listing import (
    ListQuery,
    Page,
    cut_sequence,
    places_in,
    read_query,
)
from sandbox.stripe_double.protocol.refusals import missing
from sandbox.stripe_double.protocol.request import Answer


def retrieve_object(kind: Kind[Any], call: Call) -> Answer:
    with call.realm.lock:
        state = call.realm.find(kind.name, call.name)
    if state is None or (state.deleted and kind.once_deleted == "missing"):
        raise missing(kind.name, call.name, kind.missing_param, in_path=True)
    return answer_one(kind.stub(state.id) if state.deleted else kind.body(state, call.style), call)


def list_objects(kind: Kind[Any], call: Call) -> Answer:
    realm, query = call.realm, read_query(call.request, fractions=call.realm.switches.fractions)
    goes_on = realm.switches.deleted_cursor == "goes_on"
    with realm.lock:
        asked = kind.select(call.request, realm.find)

        def is_cursor(state: Any) -> bool:
            return asked.cursor(state) and (goes_on or not state.deleted)

        def is_shown(state: Any) -> bool:
            return asked.listed(state) and not (hidden and state.id in hidden)

        if asked.customer is None:
            shelf = realm.shelves[kind.name]
            hidden = realm.hidden if kind.name in {PRODUCT.name, PRICE.name} else frozenset()
            page = find_page(shelf, query, is_shown, kind.name, call, is_cursor=is_cursor)
        else:
            page = _of_customer(call, asked.customer, query, asked)
    return answer_page(page, call)


def _of_customer(call: Call, customer: str, query: ListQuery, asked: Selection) -> Page[Any]:
    realm = call.realm
    numbers = realm.subscriptions_of(customer)[::-1]
    latest = [state for state in map(realm.subscriptions.state, numbers) if state is not None]
    at = call.past(realm.switches.lag)
    shown = [
        state
        for number in numbers
        if (state := realm.subscriptions.state(number, at)) is not None
        and asked.listed(state)
        and query.lower <= state.created < query.upper
    ]
    cursors = [state.id for state in latest if asked.cursor(state)]
    locate = places_in(cursors, [state.id for state in shown])
    page = cut_sequence(shown, query, "subscription", locate)
    return Page([*page.items], page.has_more)
