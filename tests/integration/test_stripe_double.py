"""The double reads like Stripe: objects, lists, cursors, keys, clocks."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

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
    assert not new.keys() & {"current_period_end", "plan", "quantity", "discount"}
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


def test_list_is_newest_first_and_walked_by_cursors(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    made = []
    for number in range(25):
        made.append(control.create_subscription())
        control.advance(number % 3)

    assert client.ids("/v1/subscriptions") == made[:-11:-1]
    assert client.walk("/v1/subscriptions", limit=4) == made[::-1]
    assert client.ids("/v1/subscriptions", ending_before=made[10], limit=3) == made[13:10:-1]
    assert client.ids("/v1/subscriptions", starting_after=made[10], limit=3) == made[9:6:-1]


def test_backdated_objects_stand_where_they_were_created(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    now = int(control.now())
    second = control.create_subscription(created=now - 5)
    third = control.create_subscription()
    first = control.create_subscription(created=now - 10)
    control.seed(3, start=now - 9, end=now - 6)

    names = client.ids("/v1/subscriptions", status="all")

    assert [names[0], names[1], names[-1]] == [third, second, first]
    assert len(names) == 6
    assert client.walk("/v1/subscriptions", status="all", limit=1) == names


@pytest.mark.parametrize(
    "ranges, expected",
    [
        ({"created_gte": 3, "created_lt": 5}, [4, 3]),
        ({"created_gt": 3, "created_lte": 5}, [5, 4]),
        ({"created": 3}, [3]),
        ({"created_lt": 1}, [0]),
        ({"created_gt": 9}, []),
        ({"created_gte": 7, "created_lt": 3}, []),
    ],
)
def test_created_ranges_cut_the_list(
    stripe_double: StripeDouble, client: Client, ranges: dict[str, int], expected: list[int]
) -> None:
    control = stripe_double.control
    start = int(control.now())
    for _ in range(10):
        control.create_customer()
        control.advance(1)
    asked: dict[str, Any] = {name: start + second for name, second in ranges.items()}
    page = client.read("/v1/customers", **asked)
    assert [one["created"] - start for one in page["data"]] == expected


def test_canceled_ones_are_listed_only_when_asked_for(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    active = control.create_subscription()
    gone = control.create_subscription()
    control.cancel(gone)
    expired = control.create_subscription(status="incomplete")
    control.expire(expired)

    assert client.ids("/v1/subscriptions") == [expired, active]
    assert client.ids("/v1/subscriptions", status="all") == [expired, gone, active]
    assert client.ids("/v1/subscriptions", status="canceled") == [gone]
    assert client.ids("/v1/subscriptions", status="ended") == [expired, gone]


def test_cursor_that_left_the_filter_is_missing(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    control.create_subscription()
    cursor = control.create_subscription()
    assert len(client.ids("/v1/subscriptions", status="active", starting_after=cursor)) == 1
    control.cancel(cursor)
    answer = client.get("/v1/subscriptions", status="active", starting_after=cursor)
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "resource_missing"


@pytest.mark.parametrize(
    "quirk, expected", [("empty", []), ("skips_second", [1, 0]), ("works", [3, 2, 1, 0])]
)
def test_cursor_inside_a_created_range_loses_objects_as_it_is_set_to(
    stripe_double: StripeDouble, client: Client, quirk: str, expected: list[int]
) -> None:
    control = stripe_double.control
    start = int(control.now())
    made = [control.create_subscription(created=start + second) for second in (0, 1, 2, 2, 2, 3)]
    control.switch(cursor_in_range=quirk)

    found = client.ids("/v1/subscriptions", created_gte=start, starting_after=made[4])

    assert found == [made[place] for place in expected]
    assert client.ids("/v1/subscriptions", starting_after=made[4]) == made[3::-1]


def test_test_clock_subscriptions_are_left_out_of_plain_lists(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    plain = control.create_subscription()
    clocked = control.create_subscription(test_clock="clock_1")
    customer = client.read(f"/v1/subscriptions/{clocked}")["customer"]

    assert client.ids("/v1/subscriptions", status="all") == [plain]
    assert client.ids("/v1/subscriptions", test_clock="clock_1") == [clocked]
    assert client.ids("/v1/subscriptions", customer=customer) == [clocked]
    assert len(client.ids("/v1/customers")) == 1


def test_list_by_customer_holds_only_its_subscriptions(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    control.seed(5)
    customer = control.create_customer()
    own = [control.create_subscription(customer=customer) for _ in range(3)]
    seeded = client.read("/v1/subscriptions", status="all", limit=4)["data"][-1]

    assert client.ids("/v1/subscriptions", customer=customer) == own[::-1]
    assert client.walk("/v1/subscriptions", customer=customer, limit=1) == own[::-1]
    assert client.ids("/v1/subscriptions", customer=seeded["customer"], status="all") == [
        seeded["id"]
    ]
    assert client.get("/v1/subscriptions", customer="cus_nobody").status == 400


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


@pytest.mark.parametrize(
    "params", [{"limit": 101}, {"limit": 0}, {"created_gte": "x"}, {"starting_after": "nobody"}]
)
def test_bad_parameters_are_refused(client: Client, params: dict[str, Any]) -> None:
    assert client.get("/v1/subscriptions", **params).status == 400


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
    assert client.get("/v1/subscriptions").status == 401
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


# Seeds


def test_seeds_are_listed_completely_and_change_like_any_other(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    control.seed(250, items=2)
    control.create_subscription()
    names = client.walk("/v1/subscriptions", status="all", limit=100)
    assert len(set(names)) == 251
    assert names[::-1] == control.ids("subscription")
    assert len(client.walk("/v1/customers", limit=100)) == 251
    seeded = names[100]
    before = client.read(f"/v1/subscriptions/{seeded}")
    assert len(before["items"]["data"]) == 2
    control.add_item(seeded)
    control.update_subscription(seeded, metadata={"touched": "yes"})
    after = client.read(f"/v1/subscriptions/{seeded}")
    assert len({item["id"] for item in after["items"]["data"]}) == 3
    assert client.walk("/v1/subscriptions", status="all", limit=100) == names
    assert [one.object["metadata"] for one in control.history(seeded)] == [
        before["metadata"],
        before["metadata"],
        {"touched": "yes"},
    ]


@pytest.mark.parametrize("version", ["2024-06-20", "2026-10-28.endive"])
@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize("resource", ["subscriptions", "customers"])
def test_seed_in_a_list_is_what_it_is_alone(
    stripe_double: StripeDouble, client: Client, version: str, compact: bool, resource: str
) -> None:
    control = stripe_double.control
    control.seed(300, items=2)
    control.switch(compact=compact)
    text = client.get(f"/v1/{resource}", version=version, status="all", limit=100).data.decode()
    names = control.ids("subscription" if resource == "subscriptions" else "customer")
    for name in names[:-101:-7]:
        alone = client.get(f"/v1/{resource}/{name}", version=version).data.decode()
        assert (alone if compact else alone.replace("\n", "\n    ")) in text


def test_same_seed_makes_the_same_subscriptions(stripe_double: StripeDouble) -> None:
    control = stripe_double.control
    control.seed(20, seed=7)
    first = list(control.truths("subscription"))
    stripe_double.reset()
    control.seed(20, seed=7)
    assert list(control.truths("subscription")) == first
    stripe_double.reset()
    control.seed(20, seed=8)
    assert list(control.truths("subscription")) != first


def test_a_whole_crowd_can_be_seeded_into_one_second(
    stripe_double: StripeDouble, client: Client
) -> None:
    stripe_double.control.seed(250, start=1_700_000_000, end=1_700_000_000)
    inside: dict[str, Any] = {
        "status": "all",
        "created_gte": 1_700_000_000,
        "created_lt": 1_700_000_001,
    }
    page = client.read("/v1/subscriptions", limit=100, **inside)
    assert len(page["data"]) == 100
    assert page["has_more"] is True
    assert len(client.walk("/v1/subscriptions", status="all", limit=100)) == 250


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


def test_unknown_switches_and_values_are_refused(stripe_double: StripeDouble) -> None:
    with pytest.raises(ValueError, match="no such switch: lagg"):
        stripe_double.control.switch(lagg=1)
    with pytest.raises(ValueError, match="Invalid enum value"):
        stripe_double.control.switch(cursor_in_range="never")
