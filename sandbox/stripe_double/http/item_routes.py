"""Reading the items of a subscription."""

from sandbox.stripe_double.http.calls import Call, answer_many
from sandbox.stripe_double.objects.subscription_body import item_body
from sandbox.stripe_double.protocol.listing import cut_sequence, places_in, read_query
from sandbox.stripe_double.protocol.refusals import missing, missing_parameter
from sandbox.stripe_double.protocol.request import Answer


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
    style = call.style
    bodies = [item_body(item, name, style) for item in page.items]
    return answer_many(bodies, call, has_more=page.has_more)
