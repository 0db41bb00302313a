"""The price list that every realm of the double sells from, and how prices are rendered."""

from functools import lru_cache

from msgspec import Raw
from msgspec.json import encode

from sandbox.stripe_double.ids import IdScheme
from sandbox.stripe_double.states import JsonObject, Price

_MADE = 1_600_000_000

# Name, product, and what differs from a licensed monthly price in euro.
_OFFERS: tuple[tuple[str, str, JsonObject], ...] = (
    ("basic", "basic", {"unit_amount": 900}),
    ("basic_yearly", "basic", {"unit_amount": 9_000, "interval": "year"}),
    ("pro", "pro", {"unit_amount": 2_900}),
    ("pro_yearly", "pro", {"unit_amount": 29_000, "interval": "year"}),
    ("team", "team", {"unit_amount": 4_900, "currency": "usd", "interval_count": 3}),
    ("weekly_usd", "basic", {"unit_amount": 300, "currency": "usd", "interval": "week"}),
    ("yen", "pro", {"unit_amount": 4_400, "currency": "jpy"}),
    ("metered", "calls", {"unit_amount": 2, "usage_type": "metered", "meter": "mtr_test_calls"}),
    ("tiered", "seats", {"billing_scheme": "tiered"}),
    ("decimal", "storage", {"unit_amount_decimal": "0.25"}),
)


def price_list(realm: str, *, livemode: bool) -> dict[str, Price]:
    """The prices on offer by their names, the same on every start."""
    prices = IdScheme("price_1", realm, 23)
    products = IdScheme("prod_", realm, 14)
    names = sorted({product for _, product, _ in _OFFERS})
    return {
        name: make_price(
            prices.make(number),
            name,
            products.make(names.index(product)),
            details,
            livemode=livemode,
        )
        for number, (name, product, details) in enumerate(_OFFERS)
    }


def make_price(
    price: str, name: str, product: str, details: JsonObject, *, livemode: bool
) -> Price:
    """A price that differs from a licensed monthly one in euro by `details`."""
    given: JsonObject = {"currency": "eur", **details}
    if given.get("unit_amount") is not None:
        given["unit_amount_decimal"] = str(given["unit_amount"])
    return Price(id=price, name=name, product=product, created=_MADE, livemode=livemode, **given)


@lru_cache(maxsize=1_000)
def render_price(price: Price) -> Raw:
    """One price in Stripe's JSON, encoded once."""
    return Raw(encode(price_body(price)))


@lru_cache(maxsize=1_000)
def render_plan(price: Price) -> Raw:
    """The same price as the older object `plan`, which Stripe still sends beside it."""
    return Raw(encode(plan_body(price)))


def price_body(price: Price) -> JsonObject:
    return {
        "id": price.id,
        "object": "price",
        "active": True,
        "billing_scheme": price.billing_scheme,
        "created": price.created,
        "currency": price.currency,
        "custom_unit_amount": None,
        "livemode": price.livemode,
        "lookup_key": price.name,
        "metadata": {},
        "nickname": None,
        "product": price.product,
        "recurring": {
            "interval": price.interval,
            "interval_count": price.interval_count,
            "meter": price.meter,
            "trial_period_days": None,
            "usage_type": price.usage_type,
        },
        "tax_behavior": "unspecified",
        "tiers_mode": "graduated" if price.billing_scheme == "tiered" else None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": price.unit_amount,
        "unit_amount_decimal": price.unit_amount_decimal,
    }


def plan_body(price: Price) -> JsonObject:
    return {
        "id": price.id,
        "object": "plan",
        "active": True,
        "amount": price.unit_amount,
        "amount_decimal": price.unit_amount_decimal,
        "billing_scheme": price.billing_scheme,
        "created": price.created,
        "currency": price.currency,
        "interval": price.interval,
        "interval_count": price.interval_count,
        "livemode": price.livemode,
        "metadata": {},
        "meter": price.meter,
        "nickname": None,
        "product": price.product,
        "tiers_mode": "graduated" if price.billing_scheme == "tiered" else None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": price.usage_type,
    }
