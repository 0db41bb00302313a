"""The endpoints of Stripe's API that the double serves."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

from msgspec import Struct

from sandbox.stripe_double.http.calls import Call, answer_one
from sandbox.stripe_double.http.event_routes import list_events, retrieve_event
from sandbox.stripe_double.http.item_routes import list_items
from sandbox.stripe_double.http.object_routes import list_objects, retrieve_object
from sandbox.stripe_double.http.parameters import check_parameters
from sandbox.stripe_double.objects.catalogue import KINDS
from sandbox.stripe_double.objects.kind import Kind
from sandbox.stripe_double.protocol.encoding import JsonObject
from sandbox.stripe_double.protocol.refusals import Refusal, forbidden, troubled, unknown_url
from sandbox.stripe_double.protocol.request import Answer, Request
from sandbox.stripe_double.realm.events import KEPT_SECONDS, thin_body

# A key for prices is still one for plans (the permission's name in public recordings of 403s).
_PERMISSION_NAMES = {kind.collection: kind.permission for kind in KINDS} | {
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
    """The endpoint of a request and the id in its path, or the refusal of an unknown one.

    As Stripe does it takes the path apart before it decodes the id, in which a plus is a blank.
    """
    if request.path.startswith(_THIN_EVENTS) and request.method == "GET":
        return _THIN_EVENT, request.path.removeprefix(_THIN_EVENTS)
    prefix, _, rest = request.path.removeprefix("/v1/").partition("/")
    endpoint = _ENDPOINTS.get((prefix, bool(rest))) if "/" not in rest else None
    if not request.path.startswith("/v1/") or endpoint is None or request.method != "GET":
        raise unknown_url(request.method, request.path)
    return endpoint, unquote_plus(rest)


def answer_call(endpoint: Endpoint, call: Call) -> Answer:
    if endpoint.permission not in call.key.permissions:
        raise forbidden(call.key.shown, call.key.account, _PERMISSION_NAMES[endpoint.permission])
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

_VERBS: tuple[tuple[bool, str, Callable[[Kind[Any], Call], Answer]], ...] = (
    (False, "list", list_objects),
    (True, "retrieve", retrieve_object),
)
# Resource, by id or not, verb, permission, answer.
_ROUTES: tuple[tuple[str, bool, str, str, Route], ...] = (
    *(
        (kind.collection, single, verb, kind.collection, partial(answer, kind))
        for kind in KINDS
        for single, verb, answer in _VERBS
    ),
    ("subscription_items", False, "list", "subscriptions", list_items),
    ("events", False, "list", "events", list_events),
    ("events", True, "retrieve", "events", retrieve_event),
    ("account", False, "retrieve", "account", _retrieve_account),
)
_ENDPOINTS = {
    (resource, single): Endpoint(name=f"{resource}.{verb}", permission=permission, answer=answer)
    for resource, single, verb, permission, answer in _ROUTES
}
