"""The endpoints of Stripe's API that the double serves."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from sandbox.stripe_double.calls import Call, answer_one
from sandbox.stripe_double.customer_routes import list_customers, retrieve_customer
from sandbox.stripe_double.event_routes import list_events, retrieve_event
from sandbox.stripe_double.parameters import check_parameters
from sandbox.stripe_double.refusals import Refusal, forbidden, no_account
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
    check_parameters(call.request, endpoint.name)
    return endpoint.answer(call)


def _retrieve_account(call: Call) -> Answer:
    status = call.realm.switches.account_status
    if status != 200:
        return no_account(status, call.realm.account)
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
