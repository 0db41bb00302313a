"""Products and prices of the double: real objects, which subscriptions show as they are now."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.stripe_double import Control, StripeDouble
from tests.integration.double_client import Client


@pytest.fixture
def control(stripe_double: StripeDouble) -> Control:
    return stripe_double.control


@pytest.fixture
def client(stripe_double: StripeDouble) -> Iterator[Client]:
    opened = Client(stripe_double)
    yield opened
    opened.close()


def price_of(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["items"]["data"][0]["price"]
    return found


def last_event(control: Control) -> dict[str, Any]:
    return control.events()[-1]


def test_life_of_a_product_is_told_by_its_three_events(control: Control) -> None:
    product = control.create_product("Gold", metadata={"a": "1"})
    control.advance(5)
    control.update_product(product, name="Golden", metadata={"a": "1", "b": "2"})
    changed = last_event(control)
    control.delete_product(product)

    assert [kind for _, kind in control.event_types()] == [
        "product.created",
        "product.updated",
        "product.deleted",
    ]
    before = {"name": "Gold", "metadata": {"b": None}, "updated": int(control.now()) - 5}
    assert changed["data"]["previous_attributes"] == before
    assert last_event(control)["data"]["object"]["active"] is False
    assert control.truth(product) == {"id": product, "object": "product", "deleted": True}


def test_product_with_prices_is_not_deleted(control: Control) -> None:
    product = control.create_product()
    control.create_price(product=product)
    with pytest.raises(ValueError, match="has prices"):
        control.delete_product(product)
    assert last_event(control)["type"] == "price.created"


def test_price_changes_in_few_fields_only(control: Control) -> None:
    price = control.create_price(product="pro", unit_amount=5, lookup_key="five")
    control.update_price(price, nickname="cheap", active=False)
    assert last_event(control)["data"]["previous_attributes"] == {"active": True, "nickname": None}
    with pytest.raises(ValueError, match="keeps its unit_amount"):
        control.update_price(price, unit_amount=6)
    with pytest.raises(ValueError, match="already uses that lookup key"):
        control.update_price("pro", lookup_key="five")
    assert last_event(control)["type"] == "price.updated"


def test_price_deleted_in_the_dashboard_is_found_no_more(control: Control, client: Client) -> None:
    price = control.create_price(product="pro")
    control.delete_price(price)
    assert last_event(control)["type"] == "price.deleted"
    assert client.get(f"/v1/prices/{price}").status == 404
    assert price not in client.walk("/v1/prices")


@pytest.mark.parametrize("path", ["/v1/subscriptions", "/v1/subscription_items"])
def test_items_show_their_price_as_it_is_now(control: Control, client: Client, path: str) -> None:
    name = control.create_subscription(price="pro")
    control.update_price("pro", nickname="the new one")
    if path == "/v1/subscriptions":
        found = price_of(client.read(f"{path}/{name}"))
    else:
        found = client.read(path, subscription=name)["data"][0]["price"]
    assert found["nickname"] == "the new one"
    assert found == client.read(f"/v1/prices/{found['id']}")


def test_events_show_prices_as_they_were_then(control: Control) -> None:
    control.update_price("pro", nickname="first")
    control.create_subscription(price="pro")
    told = last_event(control)["data"]["object"]
    control.update_price("pro", nickname="second")
    assert price_of(told)["nickname"] == "first"
    assert price_of(control.events()[-2]["data"]["object"])["nickname"] == "first"


def test_seeds_show_the_price_as_it_is_now(control: Control, client: Client) -> None:
    control.seed(20, prices=["pro"])
    listed = client.read("/v1/subscriptions", status="all")["data"]
    assert {price_of(one)["nickname"] for one in listed} == {None}
    control.update_price("pro", nickname="new")
    listed = client.read("/v1/subscriptions", status="all")["data"]
    assert {price_of(one)["nickname"] for one in listed} == {"new"}
    for one in listed:
        assert one == client.read(f"/v1/subscriptions/{one['id']}")


def test_seeded_inline_prices_are_found_by_id_and_in_no_list(
    control: Control, client: Client
) -> None:
    before = client.walk("/v1/prices")
    control.seed(30, inline_prices=True)
    listed = client.read("/v1/subscriptions", status="all", limit=100)["data"]
    prices = {price_of(one)["id"]: price_of(one) for one in listed}
    assert len(prices) == 30
    assert client.walk("/v1/prices") == before
    assert client.walk("/v1/prices", active="false") == []
    for name, price in prices.items():
        assert client.read(f"/v1/prices/{name}") == price
        assert price["active"] is False
    for one in listed:
        assert one == client.read(f"/v1/subscriptions/{one['id']}")
    assert set(control.ids("price")) == {*before, *prices}


def test_lists_of_products_and_prices_are_paged_and_ranged(
    control: Control, client: Client
) -> None:
    made = []
    for number in range(25):
        product = control.create_product(f"Product {number}", events=0)
        made.append(control.create_price(product=product, events=0))
        control.advance(1)
    assert client.walk("/v1/prices", limit=7)[:25] == made[::-1]
    since = int(control.now()) - 10
    assert client.walk("/v1/prices", created_gte=since, limit=100) == made[:-11:-1]
    assert len(client.walk("/v1/products", created_gte=since, limit=100)) == 10


def test_product_stands_whole_in_an_expanded_price(control: Control, client: Client) -> None:
    found = client.read(f"/v1/prices/{control.prices['team']}", expand="product")
    assert found["product"] == client.read(f"/v1/products/{control.products['team']}")
    assert found["product"]["name"] == "Team"


def test_each_list_and_retrieve_has_a_limit_of_its_own(control: Control, client: Client) -> None:
    control.switch(rate_limits=True, sandbox_rate=1_000, endpoint_rate=2)
    paths = [
        f"/v1/{collection}{name}"
        for collection, names in (("products", control.products), ("prices", control.prices))
        for name in ("", f"/{names['pro']}")
    ]
    for path in paths:
        answers = [client.get(path) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[-1].headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"


def test_other_realm_has_products_of_its_own(control: Control) -> None:
    live = control.realm(livemode=True)
    assert live.products.keys() == control.products.keys()
    assert not set(live.products.values()) & set(control.products.values())


def test_thin_event_of_a_price_names_where_to_fetch_it(control: Control) -> None:
    price = control.create_price(product="pro")
    name, _ = control.event_types()[-1]
    assert f'"url": "/v1/prices/{price}"' in control.thin_body(name).decode()


def test_object_of_any_kind_is_made_and_changed_by_its_name(control: Control) -> None:
    product = control.create("product", name="Plain", updated=1_790_000_000)
    control.update("product", product, unit_label="seat")
    found = control.truth(product)
    assert found is not None
    assert (found["name"], found["unit_label"]) == ("Plain", "seat")
    with pytest.raises(LookupError, match="no kind"):
        control.create("coupon")
