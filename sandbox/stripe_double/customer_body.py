"""Stripe's JSON for a customer."""

from sandbox.stripe_double.states import Customer, JsonObject

# Stripe adds fields without a new version; clients must not mind. This one is invented.
FUTURE_CUSTOMER_FIELDS = frozenset({"relationship_score"})


def deleted_customer_body(state: Customer) -> JsonObject:
    return {"id": state.id, "object": "customer", "deleted": True}


def customer_body(state: Customer) -> JsonObject:
    """The full body; what the API says of a deleted one is `deleted_customer_body`."""
    body: JsonObject = {
        "id": state.id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": state.created,
        "currency": state.currency,
        "customer_account": state.customer_account,
        "default_source": None,
        "delinquent": False,
        "description": state.description,
        "discount": None,
        "email": state.email,
        "invoice_prefix": state.invoice_prefix,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": state.livemode,
        "metadata": state.metadata,
        "name": state.name,
        "next_invoice_sequence": 1,
        "phone": state.phone,
        "preferred_locales": [],
        "relationship_score": 0.5,
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": state.test_clock,
    }
    if state.extra:
        body.update(state.extra)
    return body
