"""Reading events."""

from collections.abc import Callable

from sandbox.stripe_double.http.calls import Call, answer_many, answer_one
from sandbox.stripe_double.objects.kind import Style
from sandbox.stripe_double.objects.shelf import LATEST
from sandbox.stripe_double.protocol.encoding import JsonObject
from sandbox.stripe_double.protocol.listing import cut_page, find_cursors, read_boolean, read_query
from sandbox.stripe_double.protocol.refusals import Refusal, missing
from sandbox.stripe_double.protocol.request import Answer, Request
from sandbox.stripe_double.realm.events import KEPT_SECONDS, Event, event_body
from sandbox.stripe_double.realm.realm import Realm


def retrieve_event(call: Call) -> Answer:
    realm = call.realm
    with realm.lock:
        event = realm.events.find(call.name)
        oldest = realm.clock.now() - KEPT_SECONDS
    if event is None or event.thin_only or event.created < oldest:
        raise missing("event", call.name, "id", in_path=True)
    return answer_one(listed_event(event, realm), call)


def list_events(call: Call) -> Answer:
    realm, query = call.realm, read_query(call.request, fractions=call.realm.switches.fractions)
    kinds = _wanted_types(call.request)
    delivered = read_boolean(call.request, "delivery_success")
    log = realm.events
    with realm.lock:
        now = realm.clock.now()
        first, last = log.span(max(query.lower, int(now) - KEPT_SECONDS), query.upper)
        newest = now - realm.switches.lag_events if realm.switches.lag_events else LATEST
        after, before = find_cursors(query, "event", log.find)
        if after is not None:
            last = min(last, after.number)
        if before is not None:
            first = max(first, before.number + 1)

        def read(place: int) -> Event | None:
            event = log.at(place)
            if event.thin_only or event.at > newest or log.shown_from.get(event.id, now) > now:
                return None
            if kinds is not None and not kinds(event.type):
                return None
            if delivered is not None and (event.id in log.unaccepted) == delivered:
                return None
            return event

        backwards = query.ending_before is not None
        page = cut_page(read, first, last, query.limit, backwards=backwards)
        bodies = [listed_event(event, realm) for event in page.items]
    return answer_many(bodies, call, has_more=page.has_more)


def listed_event(event: Event, realm: Realm) -> JsonObject:
    """An event as the API shows it: in the version that the account had when it happened."""
    switches = realm.switches
    return event_body(
        event,
        Style(version=event.account_version, embedded=switches.embedded_items),
        pending=1 if event.id in realm.events.unaccepted else 0,
        drop_items=switches.paused_without_items,
        context=switches.event_context,
    )


def _wanted_types(request: Request) -> Callable[[str], bool] | None:
    """None for every type. A type may end in `*`."""
    one, many = request.value("type"), request.listed("types")
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
