"""Stripe's JSON for any state."""

from sandbox.stripe_double.customer_body import customer_body
from sandbox.stripe_double.states import JsonObject, State, Subscription
from sandbox.stripe_double.subscription_body import Style, subscription_body


def render(state: State, style: Style) -> JsonObject:
    if isinstance(state, Subscription):
        return subscription_body(state, style)
    return customer_body(state)
