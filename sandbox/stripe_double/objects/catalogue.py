"""All kinds of objects. One more is one more file here, with its state, and a line."""

from typing import Any

from sandbox.stripe_double.objects.customer import CUSTOMER
from sandbox.stripe_double.objects.kind import Kind, Style
from sandbox.stripe_double.objects.price import PRICE
from sandbox.stripe_double.objects.product import PRODUCT
from sandbox.stripe_double.objects.states import State
from sandbox.stripe_double.objects.subscription import SUBSCRIPTION
from sandbox.stripe_double.protocol.encoding import JsonObject

KINDS: tuple[Kind[Any], ...] = (SUBSCRIPTION, CUSTOMER, PRODUCT, PRICE)

_BY_NAME = {kind.name: kind for kind in KINDS}
_BY_STATE = {kind.state: kind for kind in KINDS}


def kind_named(name: str) -> Kind[Any]:
    """The kind by Stripe's `object`; LookupError when the double keeps none of it."""
    if name not in _BY_NAME:
        raise LookupError(f"no kind {name!r}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def kind_of(state: State) -> Kind[Any]:
    return _BY_STATE[type(state)]


def kind_of_event(event_type: str) -> Kind[Any] | None:
    """Whose event this is: `customer.subscription.created` is a subscription's."""
    found = [kind for kind in KINDS if event_type.startswith(f"{kind.event}.")]
    return max(found, key=lambda kind: len(kind.event), default=None)


def render(state: State, style: Style) -> JsonObject:
    """Stripe's JSON for any state, deleted or not."""
    body: JsonObject = kind_of(state).body(state, style)
    return body
