"""Customers."""

from sandbox.stripe_double.objects.kind import PAGE_PARAMETERS, Find, Kind, Selection, Style
from sandbox.stripe_double.objects.shelf import Sketch
from sandbox.stripe_double.objects.states import Customer
from sandbox.stripe_double.protocol.encoding import JsonObject
from sandbox.stripe_double.protocol.request import Request

# Stripe adds fields without a new version; clients must not mind. This one is invented.
FUTURE_CUSTOMER_FIELDS = frozenset({"relationship_score"})


def customer_body(state: Customer, _style: Style) -> JsonObject:
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


def _select(request: Request, _find: Find) -> Selection:
    email, test_clock = request.value("email"), request.value("test_clock")

    def listed(state: Customer | Sketch[Customer]) -> bool:
        if state.deleted or state.test_clock != test_clock:
            return False
        return email is None or state.email == email

    return Selection(listed=listed)


CUSTOMER = Kind(
    name="customer",
    collection="customers",
    permission="customer",
    state=Customer,
    ids=("cus_", 14),
    event="customer",
    body=customer_body,
    list_parameters=PAGE_PARAMETERS | {"created", "email", "test_clock"},
    select=_select,
    once_deleted="stub",
)
