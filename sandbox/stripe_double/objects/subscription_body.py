"""Stripe's JSON for a subscription, in the shape of either side of 2025-03-31.basil."""

from sandbox.stripe_double.objects.customer import CUSTOMER
from sandbox.stripe_double.objects.kind import Style
from sandbox.stripe_double.objects.price import render_plan, render_price
from sandbox.stripe_double.objects.states import Item, Price, Subscription
from sandbox.stripe_double.protocol.encoding import JsonObject

# Stripe adds fields without a new version; clients must not mind. This one is invented.
FUTURE_SUBSCRIPTION_FIELDS = frozenset({"renewal_outlook"})

# What is empty here is left out of an answer: `card.mandate_options`, `billing_mode.updated_at`,
# an item's `billed_until`.
_METHOD_OPTIONS = {
    "acss_debit": None,
    "bancontact": None,
    "card": {"network": None, "request_three_d_secure": "automatic"},
    "customer_balance": None,
    "konbini": None,
    "payto": None,
    "pix": None,
    "sepa_debit": None,
    "upi": None,
    "us_bank_account": None,
}
_BILLING_MODES: dict[str, JsonObject] = {
    "classic": {"flexible": None, "type": "classic"},
    "flexible": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
}
_TAX_RATE = {
    "id": "txr_1DoubleDoubleDoubleDouble",
    "object": "tax_rate",
    "active": True,
    "country": "FR",
    "created": 1_600_000_000,
    "description": "Value added tax",
    "display_name": "TVA",
    "effective_percentage": 20.0,
    "flat_amount": None,
    "inclusive": True,
    "jurisdiction": "FR",
    "jurisdiction_level": "country",
    "livemode": False,
    "metadata": {},
    "percentage": 20.0,
    "rate_type": "percentage",
    "state": None,
    "tax_type": "vat",
}


def item_body(item: Item, subscription: str, style: Style) -> JsonObject:
    price = price_now(item, style)
    body: JsonObject = {
        "id": item.id,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": item.created,
    }
    if style.since_basil:
        body["current_period_end"] = item.current_period_end
        body["current_period_start"] = item.current_period_start
        body["current_trial"] = None
    body["discounts"] = []
    body["metadata"] = item.metadata
    body["plan"] = render_plan(price)
    body["price"] = render_price(price)
    if item.quantity is not None:
        body["quantity"] = item.quantity
    body["subscription"] = subscription
    body["tax_rates"] = []
    if item.extra:
        body.update(item.extra)
    return body


def price_now(item: Item, style: Style) -> Price:
    """An item's price as it is now where that can be looked up, as it was then elsewhere."""
    found = None if style.find is None else style.find("price", item.price.id)
    return found if isinstance(found, Price) else item.price


def _items_body(state: Subscription, style: Style) -> JsonObject:
    shown = state.items if style.embedded is None else state.items[: style.embedded]
    return {
        "object": "list",
        "data": [item_body(item, state.id, style) for item in shown],
        "has_more": len(shown) < len(state.items),
        "total_count": len(state.items),
        "url": f"/v1/subscription_items?subscription={state.id}",
    }


def subscription_body(state: Subscription, style: Style) -> JsonObject:
    body: JsonObject = {
        "id": state.id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": state.billing_cycle_anchor,
        "billing_cycle_anchor_config": None,
        "billing_mode": _BILLING_MODES[state.billing_mode],
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": state.cancel_at,
        "cancel_at_period_end": state.cancel_at_period_end,
        "canceled_at": state.canceled_at,
        "cancellation_details": {
            "comment": None,
            "feedback": None,
            "feedback_option": None,
            "reason": state.cancellation_reason,
        },
        "collection_method": state.collection_method,
        "created": state.created,
        "currency": state.currency,
    }
    if not style.since_basil:
        _add_periods(body, state)
    body |= {
        "customer": _customer(state, style),
        "customer_account": state.customer_account,
        "days_until_due": state.days_until_due,
        "default_payment_method": state.default_payment_method,
        "default_source": None,
        "default_tax_rates": [_TAX_RATE],
        "description": state.description,
    }
    if not style.since_basil:
        body["discount"] = _discount(state)
    body |= {
        "discounts": list(state.discounts),
        "ended_at": state.ended_at,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "items": _items_body(state, style),
        "latest_invoice": state.latest_invoice,
        "livemode": state.livemode,
        "managed_payments": {"enabled": False},
        "metadata": state.metadata,
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": state.pause_collection,
        "payment_settings": {
            "payment_method_options": _METHOD_OPTIONS,
            "payment_method_types": ["card", "sepa_debit"],
            "save_default_payment_method": "on_subscription",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
    }
    if len(state.items) == 1:
        item = state.items[0]
        body["plan"] = render_plan(price_now(item, style))
        if item.quantity is not None:
            body["quantity"] = item.quantity
    body |= {
        "renewal_outlook": {"confidence": 0.5, "model": "invented"},
        "schedule": state.schedule,
        "start_date": state.start_date,
        "status": state.status,
        "status_details": _status_details(state),
        "test_clock": state.test_clock,
        "transfer_data": None,
        "trial_end": state.trial_end,
        "trial_settings": {
            "end_behavior": {
                "billing_cycle_anchor": None,
                "missing_payment_method": "create_invoice",
            }
        },
        "trial_start": state.trial_start,
    }
    if state.extra:
        body.update(state.extra)
    return body


def _add_periods(body: JsonObject, state: Subscription) -> None:
    if state.items:
        body["current_period_end"] = max(item.current_period_end for item in state.items)
        body["current_period_start"] = max(item.current_period_start for item in state.items)


def _status_details(state: Subscription) -> JsonObject | None:
    if state.status != "paused":
        return None
    return {
        "paused": {
            "subscription": {"type": "trial_end_without_payment_method"},
            "transitioned_at": state.paused_at or state.created,
            "type": "subscription",
        }
    }


def _customer(state: Subscription, style: Style) -> object:
    if state.account_only:
        return None
    if "customer" not in style.expand or style.find is None:
        return state.customer
    found = style.find("customer", state.customer)
    if found is None:
        return state.customer
    return CUSTOMER.stub(found.id) if found.deleted else CUSTOMER.body(found, style)


def _discount(state: Subscription) -> JsonObject | None:
    if not state.discounts:
        return None
    return {
        "id": state.discounts[-1],
        "object": "discount",
        "checkout_session": None,
        "coupon": {"id": "LOYAL", "object": "coupon", "percent_off": 10.0, "valid": True},
        "customer": state.customer,
        "end": None,
        "start": state.created,
        "subscription": state.id,
    }
