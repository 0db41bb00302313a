"""Prices: what a product costs and how often. Only few of their fields ever change."""

from functools import lru_cache

from msgspec import Raw
from msgspec.json import encode

from sandbox.stripe_double.objects.kind import PAGE_PARAMETERS, Find, Kind, Selection, Style
from sandbox.stripe_double.objects.product import PRODUCT
from sandbox.stripe_double.objects.states import Price, Product
from sandbox.stripe_double.protocol.encoding import JsonObject
from sandbox.stripe_double.protocol.listing import read_boolean, read_choice
from sandbox.stripe_double.protocol.refusals import missing
from sandbox.stripe_double.protocol.request import Request


@lru_cache(maxsize=1_000)
def render_price(price: Price) -> Raw:
    """One price in Stripe's JSON as it stands in an item, encoded once."""
    return Raw(encode(_body(price)))


@lru_cache(maxsize=1_000)
def render_plan(price: Price) -> Raw:
    """The same price as the older object `plan`, which Stripe still sends beside it."""
    return Raw(encode(_plan_body(price)))


def price_body(state: Price, style: Style) -> JsonObject:
    body = _body(state)
    if "tiers" in style.expand and state.tiers is not None:
        body["tiers"] = state.tiers
    if "currency_options" in style.expand:
        body["currency_options"] = _currency_options(state)
    if "product" in style.expand and style.find is not None:
        found = style.find("product", state.product)
        if isinstance(found, Product):
            body["product"] = _product(found, style)
    return body


def _product(found: Product, style: Style) -> JsonObject:
    if found.deleted:
        return PRODUCT.stub(found.id)
    return PRODUCT.body(found, style)


def _body(state: Price) -> JsonObject:
    recurring = state.interval is not None
    return {
        "id": state.id,
        "object": "price",
        "active": state.active,
        "billing_scheme": state.billing_scheme,
        "created": state.created,
        "currency": state.currency,
        "custom_unit_amount": state.custom_unit_amount,
        "livemode": state.livemode,
        "lookup_key": state.lookup_key,
        "metadata": state.metadata,
        "nickname": state.nickname,
        "product": state.product,
        "recurring": {
            "interval": state.interval,
            "interval_count": state.interval_count,
            "meter": state.meter,
            "trial_period_days": None,
            "usage_type": state.usage_type,
        }
        if recurring
        else None,
        "tax_behavior": state.tax_behavior,
        "tiers_mode": state.tiers_mode,
        "transform_quantity": state.transform_quantity,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": state.unit_amount,
        "unit_amount_decimal": state.unit_amount_decimal,
        **state.extra,
    }


def _plan_body(price: Price) -> JsonObject:
    return {
        "id": price.id,
        "object": "plan",
        "active": price.active,
        "amount": price.unit_amount,
        "amount_decimal": price.unit_amount_decimal,
        "billing_scheme": price.billing_scheme,
        "created": price.created,
        "currency": price.currency,
        "interval": price.interval,
        "interval_count": price.interval_count,
        "livemode": price.livemode,
        "metadata": price.metadata,
        "meter": price.meter,
        "nickname": price.nickname,
        "product": price.product,
        "tiers_mode": price.tiers_mode,
        "transform_usage": price.transform_quantity,
        "trial_period_days": None,
        "usage_type": price.usage_type,
    }


def _currency_options(state: Price) -> JsonObject:
    return {
        state.currency: {
            "custom_unit_amount": state.custom_unit_amount,
            "tax_behavior": state.tax_behavior,
            "unit_amount": state.unit_amount,
            "unit_amount_decimal": state.unit_amount_decimal,
        }
    }


def _select(request: Request, find: Find) -> Selection:
    """Without `active` a list shows the active ones; inline ones are in no list at all."""
    active = read_boolean(request, "active") is not False
    currency, product = request.value("currency"), request.value("product")
    kind = read_choice(request, "type", ("one_time", "recurring"))
    keys = frozenset(request.listed("lookup_keys"))
    recurring = {name: request.value(f"recurring[{name}]") for name in RECURRING}
    if product is not None and find("product", product) is None:
        raise missing("product", product, "product")

    def listed(state: Price) -> bool:
        return (
            not state.deleted
            and not state.inline
            and state.active == active
            and currency in {None, state.currency}
            and product in {None, state.product}
            and kind in {None, "one_time" if state.interval is None else "recurring"}
            and (not keys or state.lookup_key in keys)
            and all(value in {None, getattr(state, name)} for name, value in recurring.items())
        )

    return Selection(listed=listed)


RECURRING = ("interval", "meter", "usage_type")
PRICE = Kind(
    name="price",
    collection="prices",
    permission="plan",
    state=Price,
    ids=("price_1", 23),
    event="price",
    body=price_body,
    list_parameters=PAGE_PARAMETERS
    | {"active", "created", "currency", "lookup_keys", "product", "recurring", "type"},
    select=_select,
    expands=frozenset({"currency_options", "product", "tiers"}),
    changeable=frozenset({"active", "extra", "lookup_key", "metadata", "nickname", "tax_behavior"}),
    missing_param="price",
)
