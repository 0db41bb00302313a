"""Reading subscriptions and their items."""

from sandbox.stripe_double.calls import Call, answer_many, answer_one, answer_page, find_page
from sandbox.stripe_double.listing import Page, cut_sequence, read_query
from sandbox.stripe_double.refusals import Refusal, missing
from sandbox.stripe_double.shelf import Sketch
from sandbox.stripe_double.states import Item, Subscription
from sandbox.stripe_double.subscription_body import item_body, subscription_body
from sandbox.stripe_double.wire import Answer


def retrieve_subscription(call: Call) -> Answer:
    with call.realm.lock:
        state = call.realm.subscriptions.find(call.name)
    if state is None:
        raise missing("subscription", call.name)
    return answer_one(subscription_body(state, call.style), call)


def list_subscriptions(call: Call) -> Answer:
    realm, query = call.realm, read_query(call.request, fractions=call.realm.switches.fractions)
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
            page = find_page(realm.subscriptions, query, wanted, "subscription", call)
        else:
            at = call.past(realm.switches.lag)
            if realm.customers.find(customer) is None:
                raise missing("customer", customer, "customer")
            found = (realm.subscriptions.state(n, at) for n in realm.subscriptions_of(customer))
            states = [state for state in found if state is not None and wanted(state)]
            inside = [s for s in states[::-1] if query.lower <= s.created < query.upper]
            few = cut_sequence(inside, _id_of, query, "subscription")
            page = Page([*few.items], few.has_more)
    return answer_page(page, call)


def _has_status(status: str, asked: str | None) -> bool:
    if asked is None:
        return status != "canceled"
    if asked == "ended":
        return status in {"canceled", "incomplete_expired"}
    return asked in {"all", status}


def list_items(call: Call) -> Answer:
    realm, query = call.realm, read_query(call.request, fractions=call.realm.switches.fractions)
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
    return answer_many(bodies, call, has_more=page.has_more)


def _id_of(thing: Subscription | Item) -> str:
    return thing.id
