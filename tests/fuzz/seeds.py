"""Where a fuzzer begins: bodies and headers as Stripe sends them."""

from collections.abc import Iterator

from sandbox.stripe_double import StripeDouble
from tests.fuzz.targets import NOW

WORDS = (
    '"id"', '"object"', '"type"', '"created"', '"livemode"', '"data"', '"items"', '"has_more"',
    '"price"', '"quantity"', '"metadata"', '"customer"', '"status"', '"currency"', '"deleted"',
    '"related_object"', '"snapshot_event"', '"context"', '"discounts"', '"pause_collection"',
    '"unit_amount_decimal"', '"test_clock"', '"account"', '"api_version"', "v2.core.event",
    "customer.subscription.updated", "customer.deleted", "v1.customer.updated", "null", "true",
    "false", "[]", "{}", "\\ud800", "\\u0000", "1e999", "-0", "NaN", "99999999999999999999",
    "253402300800", "t=", "v1=", "v0=", "SIGNED", str(NOW),
)  # fmt: skip
"""Tokens that a byte-wise mutation would seldom make by itself."""


def bodies() -> Iterator[bytes]:
    """Events of every kind, in both shapes, thin ones, and the objects they carry."""
    with StripeDouble.start() as double:
        control = double.control
        customer = control.create_customer(metadata={"canary": "canary@fuzz.example"})
        name = control.create_subscription(customer=customer, price="pro")
        control.update_subscription(name, status="past_due")
        control.create_subscription(customer=customer, items=[{"price": "tiered"}] * 12)
        control.cancel(name)
        control.delete_customer(customer)
        for made in control.events():
            yield control.event_body(made["id"])
            yield control.event_body(made["id"], api_version="2025-02-24.acacia")
            yield control.thin_body(made["id"])


def headers() -> Iterator[bytes]:
    """Headers with a body behind a NUL."""
    for text in (
        f"t={NOW},v1=SIGNED",
        f"t={NOW},v1={'0' * 64},v1=SIGNED,v0={'1' * 64}",
        f"t={NOW - 400},v1=SIGNED",
        f"v1=SIGNED,t={NOW}",
        "t=,v1=",
    ):
        yield text.encode() + b'\0{"id": "evt_1"}'
