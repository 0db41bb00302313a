"""Subscriptions."""

from collections.abc import Callable
from functools import partial

from sandbox.stripe_double.objects.kind import PAGE_PARAMETERS, Find, Kind, Selection
from sandbox.stripe_double.objects.shelf import Sketch
from sandbox.stripe_double.objects.states import Subscription
from sandbox.stripe_double.objects.subscription_body import subscription_body
from sandbox.stripe_double.protocol.listing import read_boolean, read_choice
from sandbox.stripe_double.protocol.refusals import Refusal, missing
from sandbox.stripe_double.protocol.request import Request

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


def _select(request: Request, find: Find) -> Selection:
    status = read_choice(request, "status", STATUS_CHOICES)
    customer, account = request.value("customer"), request.value("customer_account")
    test_clock = request.value("test_clock")
    plain = test_clock is customer is account is None
    filters = _filters(request)
    if customer is not None and find("customer", customer) is None:
        raise missing("customer", customer, "customer")

    def has_status(state: Subscription | Sketch[Subscription]) -> bool:
        return _has_status(state.status, status)

    def listed(found: Subscription | Sketch[Subscription]) -> bool:
        if not has_status(found):
            return False
        if plain and found.test_clock is not None:
            return False
        if test_clock is not None and found.test_clock != test_clock:
            return False
        if not filters:
            return True
        state = found.state() if isinstance(found, Sketch) else found
        return all(passes(state) for passes in filters)

    return Selection(listed=listed, cursor=has_status, customer=customer)


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


SUBSCRIPTION = Kind(
    name="subscription",
    collection="subscriptions",
    permission="subscription",
    state=Subscription,
    ids=("sub_1", 23),
    event="customer.subscription",
    body=subscription_body,
    list_parameters=PAGE_PARAMETERS
    | {
        "automatic_tax",
        "collection_method",
        "created",
        "current_period_end",
        "current_period_start",
        "customer",
        "customer_account",
        "plan",
        "price",
        "status",
        "test_clock",
    },
    select=_select,
    expands=frozenset({"customer"}),
)
