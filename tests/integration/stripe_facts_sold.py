"""What is known of Stripe's products and prices, as in `stripe_facts`."""

from tests.integration.stripe_facts import ABSENT, DOCS, LIBRARY, Fact, refused

SOLD = "github.com/Kiln-AI/stripe_world: tests of prices and products, pinned by the same probes"
LIST_PRICES = DOCS + "api/prices/list"
INLINE = "github.com/stripe/stripe-python/issues/1724: inactive prices that no list shows"

SOLD_FACTS = [
    Fact(
        "prices are listed while they are active",
        LIST_PRICES,
        "/v1/prices",
        {"product": "{sold}"},
        200,
        {"data.#": 1, "data.0.id": "{price}", "data.0.active": True},
    ),
    Fact(
        "inactive ones when asked for, and inline ones never",
        f"{LIST_PRICES}; {INLINE}",
        "/v1/prices",
        {"product": "{sold}", "active": "false"},
        200,
        {"data.#": 2, "data.0.active": False, "data.1.active": False},
    ),
    Fact(
        "an inline price is there by its id",
        INLINE,
        "/v1/prices/{inline}",
        {},
        200,
        {"active": False, "lookup_key": None, "product": "{sold}", "type": "recurring"},
    ),
    Fact(
        "prices are found by their lookup keys",
        LIBRARY + "params/_price_list_params.py",
        "/v1/prices",
        {"lookup_keys[]": "team", "type": "recurring", "currency": "usd"},
        200,
        {"data.#": 1, "data.0.lookup_key": "team", "data.0.unit_amount": 4_900},
    ),
    Fact(
        "prices are found by how they recur",
        SOLD,
        "/v1/prices",
        {"recurring[interval]": "week"},
        200,
        {"data.#": 1, "data.0.lookup_key": "weekly_usd"},
    ),
    refused(
        "prices of an unknown product are refused",
        SOLD,
        "/v1/prices",
        {"product": "prod_nope"},
        "No such product: 'prod_nope'",
        code="resource_missing",
        param="product",
    ),
    Fact(
        "tiers are not shown",
        f"{SOLD}; {DOCS}api/prices/object",
        "/v1/prices/{tiered}",
        {},
        200,
        {"tiers": ABSENT, "tiers_mode": "graduated", "unit_amount": None},
    ),
    Fact(
        "until they are expanded",
        DOCS + "api/prices/object",
        "/v1/prices/{tiered}",
        {"expand": "tiers"},
        200,
        {"tiers.0.up_to": 5, "tiers.1.up_to": None, "tiers.1.unit_amount": 800},
    ),
    Fact(
        "in lists too",
        DOCS + "api/expanding_objects",
        "/v1/prices",
        {"expand": "data.tiers", "product": "{seats}"},
        200,
        {"data.0.id": "{tiered}", "data.0.tiers.0.unit_amount": 1_000},
    ),
    Fact(
        "currency options have to be expanded",
        f"{SOLD}; {DOCS}api/prices/object",
        "/v1/prices/{price}",
        {"expand": "currency_options"},
        200,
        {"currency_options.eur.unit_amount": 2_900, "tiers": ABSENT},
    ),
    Fact(
        "a price is paid once where it does not recur",
        SOLD,
        "/v1/prices/{once}",
        {},
        200,
        {"type": "one_time", "recurring": None},
    ),
    Fact(
        "an unknown price is named by another parameter",
        SOLD,
        "/v1/prices/price_nope",
        {},
        404,
        {"error.message": "No such price: 'price_nope'", "error.param": "price"},
    ),
    Fact(
        "a deleted product is found no more, unlike a customer",
        SOLD,
        "/v1/products/{dropped}",
        {},
        404,
        {"error.message": "No such product: '{dropped}'", "error.param": "id"},
    ),
    Fact(
        "nor listed",
        SOLD,
        "/v1/products",
        {"ids[]": ["{dropped}", "{unsold}", "prod_nope"]},
        200,
        {"data.#": 1, "data.0.id": "{unsold}"},
    ),
    Fact(
        "products are listed whether they are active or not",
        DOCS + "api/products/list",
        "/v1/products",
        {"ids[]": ["{unsold}", "{sold}"]},
        200,
        {"data.#": 2, "data.0.active": False, "data.1.active": True},
    ),
    Fact(
        "and by that when it is asked for",
        f"{DOCS}api/products/list; {SOLD}",
        "/v1/products",
        {"ids[]": ["{unsold}", "{sold}"], "active": "true"},
        200,
        {"data.#": 1, "data.0.id": "{sold}", "data.0.name": "Pro"},
    ),
]

# What a key must have, from public recordings of 403s: prices are still called plans there.
NEEDED = {
    "subscriptions": "rak_subscription_read",
    "customers": "rak_customer_read",
    "products": "rak_product_read",
    "prices": "rak_plan_read",
    "events": "rak_event_read",
    "account": "rak_accounts_kyc_basic_read",
}
