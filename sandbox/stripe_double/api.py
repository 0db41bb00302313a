"""The endpoints of Stripe's API that the double serves."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from sandbox.stripe_double.calls import Call, answer_one
from sandbox.stripe_double.customer_routes import list_customers, retrieve_customer
from sandbox.stripe_double.event_routes import list_events, retrieve_event
from sandbox.stripe_double.events import KEPT_SECONDS, thin_body
from sandbox.stripe_double.parameters import check_parameters
from sandbox.stripe_double.refusals import Refusal, forbidden, troubled, unknown_url
from sandbox.stripe_double.states import JsonObject
from sandbox.stripe_double.subscription_routes import (
    list_items,
    list_subscriptions,
    retrieve_subscription,
)
from sandbox.stripe_double.wire import Answer, Request

_PERMISSION_NAMES = {
    "subscriptions": "subscription",
    "customers": "customer",
    "events": "event",
    "account": "accounts_kyc_basic",
}


Route: TypeAlias = Callable[[Call], Answer]


class Endpoint(Struct, frozen=True, kw_only=True):
    """One endpoint in Stripe's counting: a list and a retrieve are two."""

    name: str
    permission: str
    answer: Route


def find_endpoint(request: Request) -> tuple[Endpoint, str]:
    """The endpoint of a request and the id in its path, or the refusal of an unknown one."""
    if request.path.startswith(_THIN_EVENTS) and request.method == "GET":
        return _THIN_EVENT, request.path.removeprefix(_THIN_EVENTS)
    prefix, _, rest = request.path.removeprefix("/v1/").partition("/")
    endpoint = _ENDPOINTS.get((prefix, bool(rest)))
    if not request.path.startswith("/v1/") or endpoint is None or request.method != "GET":
        raise unknown_url(request.method, request.path)
    return endpoint, rest


def answer_call(endpoint: Endpoint, call: Call) -> Answer:
    if endpoint.permission not in call.key.permissions:
        raise forbidden(call.key, _PERMISSION_NAMES[endpoint.permission])
    check_parameters(call.request, endpoint.name)
    return endpoint.answer(call)


def _retrieve_account(call: Call) -> Answer:
    status = call.realm.switches.account_status
    if status == 404:
        raise unknown_url(call.request.method, call.request.path)
    if status != 200:
        return troubled(status, None, None)
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
    return answer_one(body, call)


def _retrieve_thin_event(call: Call) -> Answer:
    """The second API has an error code of its own for what it has not."""
    realm = call.realm
    with realm.lock:
        number = realm.events.thin_ids.number(call.name)
        events = realm.events.all()
        oldest = realm.clock.now() - KEPT_SECONDS
    if number is None or number >= len(events) or events[number].created < oldest:
        raise Refusal(404, f"No such event: '{call.name}'", code="not_found")
    context = realm.switches.event_context
    return answer_one(thin_body(events[number], realm.events.thin_ids, context=context), call)


_THIN_EVENTS = "/v2/core/events/"
_THIN_EVENT = Endpoint(
    name="thin_events.retrieve", permission="events", answer=_retrieve_thin_event
)

_ENDPOINTS = {
    (resource, single): Endpoint(name=f"{resource}.{verb}", permission=permission, answer=answer)
    for resource, single, verb, permission, answer in (
        ("subscriptions", False, "list", "subscriptions", list_subscriptions),
        ("subscriptions", True, "retrieve", "subscriptions", retrieve_subscription),
        ("subscription_items", False, "list", "subscriptions", list_items),
        ("customers", False, "list", "customers", list_customers),
        ("customers", True, "retrieve", "customers", retrieve_customer),
        ("events", False, "list", "events", list_events),
        ("events", True, "retrieve", "events", retrieve_event),
        ("account", False, "retrieve", "account", _retrieve_account),
    )
}
