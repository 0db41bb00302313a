"""What every realm of the double sells from the start."""

from sandbox.stripe_double.objects.ids import IdScheme
from sandbox.stripe_double.objects.states import Price, Product
from sandbox.stripe_double.protocol.encoding import JsonObject

_MADE = 1_600_000_000

# The double's own name, the product, and what differs from a licensed monthly price in euro.
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
_TIERS: list[JsonObject] = [
    {
        "flat_amount": None,
        "flat_amount_decimal": None,
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
        "up_to": up_to,
    }
    for amount, up_to in ((1_000, 5), (800, None))
]


def first_products(ids: IdScheme, *, livemode: bool) -> dict[str, Product]:
    """The products on offer by the double's names for them, the same on every start."""
    names = sorted({product for _, product, _ in _OFFERS})
    return {
        name: Product(
            id=ids.make(number),
            name=name.capitalize(),
            created=_MADE,
            updated=_MADE,
            livemode=livemode,
        )
        for number, name in enumerate(names)
    }


def first_prices(
    ids: IdScheme, products: dict[str, Product], *, livemode: bool
) -> dict[str, Price]:
    """The prices on offer by the double's names for them, which are their lookup keys too."""
    return {
        name: Price(
            id=ids.make(number),
            product=products[product].id,
            created=_MADE,
            livemode=livemode,
            lookup_key=name,
            **complete_price(details),
        )
        for number, (name, product, details) in enumerate(_OFFERS)
    }


def complete_price(details: JsonObject) -> JsonObject:
    """What follows from the rest: the decimal amount, the tiers of a tiered price."""
    given: JsonObject = {"currency": "eur", **details}
    if given.get("unit_amount") is not None:
        given["unit_amount_decimal"] = str(given["unit_amount"])
    if given.get("billing_scheme") == "tiered":
        given = {"tiers_mode": "graduated", "tiers": _TIERS, **given}
    return given
