"""Reading subscriptions and their items."""

from collections.abc import Callable
from functools import partial

from sandbox.stripe_double.calls import Call, answer_many, answer_one, answer_page, find_page
from sandbox.stripe_double.listing import (
    ListQuery,
    Page,
    cut_sequence,
    places_in,
    read_query,
)
from sandbox.stripe_double.parameters import read_boolean, read_choice
from sandbox.stripe_double.refusals import Refusal, missing, missing_parameter
from sandbox.stripe_double.shelf import Sketch
from sandbox.stripe_double.states import Subscription
from sandbox.stripe_double.subscription_body import item_body, subscription_body
from sandbox.stripe_double.wire import Answer, Request

# In the order in which Stripe's refusal of another status names them.
STATUS_CHOICES = (
    "active",
    "past_due",
    "unpaid",
    "canceled",
    "incomplete",
    "incomplete_expired",
    "trialing",
    "paused",
    "all",
    "ended",
)


def retrieve_subscription(call: Call) -> Answer:
    with call.realm.lock:
        state = call.realm.subscriptions.find(call.name)
    if state is None:
        raise missing("subscription", call.name)
    return answer_one(subscription_body(state, call.style), call)


def list_subscriptions(call: Call) -> Answer:
    realm, query = call.realm, read_query(call.request, fractions=call.realm.switches.fractions)
    status = read_choice(call.request, "status", STATUS_CHOICES)
    customer = call.request.value("customer")
    account = call.request.value("customer_account")
    test_clock = call.request.value("test_clock")
    plain = test_clock is customer is account is None
    filters = _filters(call.request)

    def has_status(state: Subscription | Sketch[Subscription]) -> bool:
        return _has_status(state.status, status)

    def wanted(found: Subscription | Sketch[Subscription]) -> bool:
        if not _has_status(found.status, status):
            return False
        if plain and found.test_clock is not None:
            return False
        if test_clock is not None and found.test_clock != test_clock:
            return False
        if not filters:
            return True
        state = found.state() if isinstance(found, Sketch) else found
        return all(passes(state) for passes in filters)

    with realm.lock:
        if customer is None:
            page = find_page(
                realm.subscriptions, query, wanted, "subscription", call, is_cursor=has_status
            )
        else:
            page = _of_customer(call, customer, query, wanted, has_status)
    return answer_page(page, call)


_Test = Callable[[Subscription | Sketch[Subscription]], bool]


def _of_customer(
    call: Call, customer: str, query: ListQuery, wanted: _Test, is_cursor: _Test
) -> Page[Subscription | Sketch[Subscription]]:
    realm = call.realm
    if realm.customers.find(customer) is None:
        raise missing("customer", customer, "customer")
    numbers = realm.subscriptions_of(customer)[::-1]
    latest = [state for state in map(realm.subscriptions.state, numbers) if state is not None]
    at = call.past(realm.switches.lag)
    shown = [
        state
        for number in numbers
        if (state := realm.subscriptions.state(number, at)) is not None
        and wanted(state)
        and query.lower <= state.created < query.upper
    ]
    cursors = [state.id for state in latest if is_cursor(state)]
    locate = places_in(cursors, [state.id for state in shown])
    page = cut_sequence(shown, query, "subscription", locate)
    return Page([*page.items], page.has_more)


def _has_status(status: str, asked: str | None) -> bool:
    if asked is None:
        return status != "canceled"
    if asked == "ended":
        return status in {"canceled", "incomplete_expired"}
    return asked in {"all", status}


def _filters(request: Request) -> list[Callable[[Subscription], bool]]:
    """The rarer filters, for which a seeded subscription has to be built."""
    for name, _ in request.query:
        if name.startswith("current_period_"):
            raise Refusal(501, f"The double does not filter by {name}.", param=name)
    found: list[Callable[[Subscription], bool]] = [
        partial(_sells, request.value(name)) for name in ("price", "plan") if request.value(name)
    ]
    method = read_choice(request, "collection_method", ("charge_automatically", "send_invoice"))
    if method is not None:
        found.append(lambda state: state.collection_method == method)
    account = request.value("customer_account")
    if account is not None:
        found.append(lambda state: state.customer_account == account)
    if read_boolean(request, "automatic_tax[enabled]"):
        found.append(lambda _: False)
    return found


def _sells(price: str | None, state: Subscription) -> bool:
    return any(item.price.id == price for item in state.items)


def list_items(call: Call) -> Answer:
    realm, query = call.realm, read_query(call.request, fractions=call.realm.switches.fractions)
    name = call.request.value("subscription")
    if name is None:
        raise missing_parameter("subscription")
    with realm.lock:
        number = realm.subscriptions.number(name)
        if number is None:
            raise missing("subscription", name, "subscription")
        state = realm.subscriptions.state(number, call.past(realm.switches.lag_items))
        goes_on = query.has_cursor and realm.switches.deleted_cursor == "goes_on"
        past = realm.subscriptions.history(number) if goes_on else []
    items = () if state is None else state.items
    # New items go to the end, so this is their order, whatever has been removed.
    shown = [item.id for item in items]
    order = dict.fromkeys([item.id for one in past for item in one.state.items] or shown)
    locate = places_in([*order], shown)
    page = cut_sequence(items, query, "subscription_item", locate)
    since_basil = call.style.since_basil
    bodies = [item_body(item, name, since_basil=since_basil) for item in page.items]
    return answer_many(bodies, call, has_more=page.has_more)
