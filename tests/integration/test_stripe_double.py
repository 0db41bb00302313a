"""The double reads like Stripe: objects in either shape, errors, keys, clocks."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from sandbox.stripe_double import MAIN_ACCOUNT, OTHER_ACCOUNT, StripeDouble
from tests.integration.double_client import Client

DAY = 86_400


@pytest.fixture
def client(stripe_double: StripeDouble) -> Iterator[Client]:
    opened = Client(stripe_double)
    yield opened
    opened.close()


def test_created_subscription_is_retrieved_and_listed(
    stripe_double: StripeDouble, client: Client
) -> None:
    name = stripe_double.control.create_subscription(price="pro", quantity=3, metadata={"a": "é"})

    found = client.read(f"/v1/subscriptions/{name}")

    assert found["id"] == name
    assert found["status"] == "active"
    assert found["metadata"] == {"a": "é"}
    assert found["items"]["data"][0]["quantity"] == 3
    assert found["items"]["data"][0]["price"]["id"] == stripe_double.control.prices["pro"]
    page = client.read("/v1/subscriptions")
    assert page["object"] == "list"
    assert page["url"] == "/v1/subscriptions"
    assert page["has_more"] is False
    assert page["data"] == [found]


def test_changes_are_seen_by_the_next_request(stripe_double: StripeDouble, client: Client) -> None:
    control = stripe_double.control
    name = control.create_subscription(price="basic")
    item = client.read(f"/v1/subscriptions/{name}")["items"]["data"][0]["id"]
    other = control.add_item(name, price="pro", quantity=2)
    control.change_item(name, item, price="metered", quantity=None)
    control.update_subscription(name, cancel_at_period_end=True, discounts=["di_1"], hello="new")

    found = client.read(f"/v1/subscriptions/{name}")

    assert [one["id"] for one in found["items"]["data"]] == [item, other]
    assert "quantity" not in found["items"]["data"][0]
    assert found["items"]["data"][1]["quantity"] == 2
    assert found["cancel_at_period_end"] is True
    assert found["discounts"] == ["di_1"]
    assert found["hello"] == "new"
    control.remove_item(name, item)
    control.cancel(name)
    found = client.read(f"/v1/subscriptions/{name}")
    assert [one["id"] for one in found["items"]["data"]] == [other]
    assert found["status"] == "canceled"
    assert found["ended_at"] == int(control.now())


@pytest.mark.parametrize(
    "price, unit_amount, decimal",
    [("basic", 900, "900"), ("tiered", None, None), ("decimal", None, "0.25")],
)
def test_unit_amount_is_null_for_tiers_and_fractions(
    stripe_double: StripeDouble,
    client: Client,
    price: str,
    unit_amount: int | None,
    decimal: str | None,
) -> None:
    name = stripe_double.control.create_subscription(price=price)

    found = client.read(f"/v1/subscriptions/{name}")["items"]["data"][0]["price"]

    assert found["unit_amount"] == unit_amount
    assert found["unit_amount_decimal"] == decimal


def test_one_more_price_can_be_sold(stripe_double: StripeDouble, client: Client) -> None:
    control = stripe_double.control
    made = control.create_price("big", unit_amount=2**40, currency="gbp", interval="day")
    name = control.create_subscription(price="big")
    found = client.read(f"/v1/subscriptions/{name}")
    assert found["currency"] == "gbp"
    assert found["items"]["data"][0]["price"]["id"] == made
    assert found["items"]["data"][0]["price"]["unit_amount"] == 2**40
    assert found["items"]["data"][0]["price"]["recurring"]["interval"] == "day"


def test_body_has_stripes_size(stripe_double: StripeDouble, client: Client) -> None:
    name = stripe_double.control.create_subscription()
    assert 5_000 < len(client.get(f"/v1/subscriptions/{name}").data) < 7_000
    stripe_double.control.switch(compact=True)
    assert 3_500 < len(client.get(f"/v1/subscriptions/{name}").data) < 4_200


def test_periods_move_from_subscription_to_items_with_basil(
    stripe_double: StripeDouble, client: Client
) -> None:
    name = stripe_double.control.create_subscription(discounts=["di_1"])

    old = client.read(f"/v1/subscriptions/{name}", version="2025-02-24.acacia")
    new = client.read(f"/v1/subscriptions/{name}", version="2025-03-31.basil")

    assert old["current_period_end"] > old["current_period_start"]
    assert "current_period_end" not in old["items"]["data"][0]
    assert old["plan"]["id"] == old["items"]["data"][0]["price"]["id"]
    assert old["quantity"] == 1
    assert old["discount"]["id"] == "di_1"
    assert new["items"]["data"][0]["current_period_end"] == old["current_period_end"]
    assert not new.keys() & {"current_period_end", "discount"}
    assert new["discounts"] == ["di_1"]


def test_account_version_is_used_without_a_header(
    stripe_double: StripeDouble, client: Client
) -> None:
    name = stripe_double.control.create_subscription()
    stripe_double.control.switch(account_version="2024-06-20")
    answer = client.get(f"/v1/subscriptions/{name}")
    assert "current_period_end" in answer.json()
    assert answer.headers["Stripe-Version"] == "2024-06-20"
    assert client.get("/v1/customers", version="yesterday").status == 400


def test_renewal_moves_every_item_to_its_next_period(
    stripe_double: StripeDouble, client: Client
) -> None:
    name = stripe_double.control.create_subscription()
    before = client.read(f"/v1/subscriptions/{name}")["items"]["data"][0]
    stripe_double.control.renew(name)
    after = client.read(f"/v1/subscriptions/{name}")["items"]["data"][0]
    assert after["current_period_start"] == before["current_period_end"]
    assert after["current_period_end"] == before["current_period_end"] + 30 * DAY


def test_only_ten_items_are_embedded_and_the_rest_is_listed(
    stripe_double: StripeDouble, client: Client
) -> None:
    items = [{"price": "basic", "quantity": n} for n in range(1, 251)]
    name = stripe_double.control.create_subscription(items=items)

    embedded = client.read(f"/v1/subscriptions/{name}")["items"]

    assert embedded["has_more"] is True
    assert [one["quantity"] for one in embedded["data"]] == list(range(1, 11))
    found = client.walk("/v1/subscription_items", subscription=name, limit=100)
    assert len(set(found)) == 250
    assert found[:10] == [one["id"] for one in embedded["data"]]
    assert client.get("/v1/subscription_items").status == 400
    assert client.get("/v1/subscription_items", subscription="sub_x").status == 400


def test_deleted_customer_loses_subscriptions_and_stays_retrievable(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    customer = control.create_customer(email="a@example.com")
    name = control.create_subscription(customer=customer)
    control.delete_customer(customer)

    assert client.read(f"/v1/customers/{customer}") == {
        "id": customer,
        "object": "customer",
        "deleted": True,
    }
    assert client.read(f"/v1/subscriptions/{name}")["status"] == "canceled"
    assert client.ids("/v1/customers") == []


def test_customer_is_expanded_when_asked_for_or_switched_on(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    customer = control.create_customer(email="a@example.com")
    name = control.create_subscription(customer=customer)
    asked = client.read(f"/v1/subscriptions/{name}", expand=["customer"])
    assert asked["customer"]["email"] == "a@example.com"
    control.switch(expand_customer=True)
    assert client.read("/v1/subscriptions")["data"][0]["customer"]["id"] == customer


@pytest.mark.parametrize("kind", ["subscription", "customer", "event"])
def test_unknown_id_is_resource_missing(client: Client, kind: str) -> None:
    answer = client.get(f"/v1/{kind}s/nope")
    assert answer.status == 404
    error = answer.json()["error"]
    assert error["code"] == "resource_missing"
    assert error["message"] == f"No such {kind}: 'nope'"
    assert error["type"] == "invalid_request_error"


def test_unknown_url_is_not_found(client: Client) -> None:
    assert client.get("/v1/invoices").status == 404
    assert client.get("/favicon.ico").status == 404


def test_explicit_ids_are_kept_up_to_255_characters(
    stripe_double: StripeDouble, client: Client
) -> None:
    name = "sub_" + "x" * 251
    assert stripe_double.control.create_subscription(id=name) == name
    assert client.read(f"/v1/subscriptions/{name}")["id"] == name
    assert client.ids("/v1/subscriptions") == [name]
    assert client.get(f"/v1/subscriptions/{name.upper()}").status == 404


# Keys


def test_unknown_or_absent_key_is_401(stripe_double: StripeDouble) -> None:
    for key in ("sk_test_wrong", ""):
        client = Client(stripe_double, key=key)
        assert client.get("/v1/subscriptions").status == 401
        client.close()
    stripe_double.control.revoke_key("sk_test_double")
    client = Client(stripe_double)
    answer = client.get("/v1/subscriptions")
    assert (answer.status, answer.json()["error"]["code"]) == (401, "api_key_expired")
    client.close()


def test_restricted_key_is_refused_the_account_with_a_message_that_leaks(
    stripe_double: StripeDouble,
) -> None:
    client = Client(stripe_double, key="rk_test_double")
    assert client.get("/v1/subscriptions").status == 200
    answer = client.get("/v1/account")
    assert answer.status == 403
    message = answer.json()["error"]["message"]
    assert MAIN_ACCOUNT in message
    assert "uble" in message
    assert "rak_accounts_kyc_basic_read" in message
    client.close()


def test_key_without_a_permission_is_refused_that_resource(stripe_double: StripeDouble) -> None:
    stripe_double.control.add_key("rk_test_few", permissions={"subscriptions"})
    client = Client(stripe_double, key="rk_test_few")
    assert client.get("/v1/subscription_items", subscription="x").status == 400
    assert client.get("/v1/customers").status == 403
    assert client.get("/v1/events").status == 403
    client.close()


def test_other_mode_and_other_account_are_invisible(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    name = control.create_subscription()
    live = control.realm(livemode=True).create_subscription()
    other = control.realm(OTHER_ACCOUNT).create_subscription()
    assert len({name, live, other}) == 3
    for key, own, account in (
        ("sk_test_double", name, MAIN_ACCOUNT),
        ("sk_live_double", live, MAIN_ACCOUNT),
        ("sk_test_other", other, OTHER_ACCOUNT),
    ):
        client = Client(stripe_double, key=key)
        assert client.ids("/v1/subscriptions") == [own]
        found = client.read(f"/v1/subscriptions/{own}")
        assert found["livemode"] is ("live" in key)
        assert client.read("/v1/account")["id"] == account
        for foreign in {name, live, other} - {own}:
            assert client.get(f"/v1/subscriptions/{foreign}").status == 404
        client.close()


# The clock


def test_date_header_and_created_come_from_the_doubles_clock(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    control.set_clock(1_800_000_000.75)
    name = control.create_subscription()
    answer = client.get(f"/v1/subscriptions/{name}")
    assert answer.json()["created"] == 1_800_000_000
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == 1_800_000_000
    assert answer.headers["Request-Id"].startswith("req_")
    control.advance(0.25)
    answer = client.get(f"/v1/subscriptions/{name}")
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == 1_800_000_001
    with pytest.raises(ValueError, match="time does not go back"):
        control.advance(-1)


def test_ticking_clock_follows_the_host() -> None:
    with StripeDouble.start(clock=None, ticking=True) as double:
        first = double.control.now()
        client = Client(double)
        client.read("/v1/subscriptions")
        client.close()
        assert double.control.now() > first > 1_750_000_000


# The whole


def test_reset_forgets_everything_and_keeps_the_url(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    now = control.now()
    name = control.create_subscription()
    control.advance(100)
    control.switch(latency=0.001)
    control.fault("status", count=None)
    stripe_double.reset()
    assert control.now() == now
    assert control.outbox() == []
    assert control.switches.latency == 0
    assert client.get(f"/v1/subscriptions/{name}").status == 404


def test_requests_are_counted_by_endpoint(stripe_double: StripeDouble, client: Client) -> None:
    client.get("/v1/subscriptions", limit=3)
    client.get("/v1/subscriptions/sub_x")
    client.get("/v1/subscriptions/sub_y")
    control = stripe_double.control
    assert control.request_counts() == {"subscriptions.list": 1, "subscriptions.retrieve": 2}
    line = control.requests()[0]
    assert (line.method, line.path, line.query, line.status) == (
        "GET",
        "/v1/subscriptions",
        [("limit", "3")],
        200,
    )
    control.clear_requests()
    assert control.requests() == []


def test_what_has_ended_does_not_begin_again(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    name = control.create_subscription()
    control.cancel(name)
    events = len(control.events())
    control.cancel(name)
    assert len(control.events()) == events
    with pytest.raises(ValueError, match="which is final"):
        control.activate(name)
    control.update_subscription(name, metadata={"still": "labelled"})
    assert len(control.events()) == events + 1
    customer = control.create_customer()
    control.delete_customer(customer)
    control.delete_customer(customer)
    assert len(control.events()) == events + 3


def test_unknown_switches_and_values_are_refused(stripe_double: StripeDouble) -> None:
    with pytest.raises(ValueError, match="no such switch: lagg"):
        stripe_double.control.switch(lagg=1)
    with pytest.raises(ValueError, match="Invalid enum value"):
        stripe_double.control.switch(cursor_in_range="never")
