"""The double lists like Stripe: order, cursors, ranges, filters, and a million seeds as well."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.stripe_double import StripeDouble
from tests.integration.double_client import Client


@pytest.fixture
def client(stripe_double: StripeDouble) -> Iterator[Client]:
    opened = Client(stripe_double)
    yield opened
    opened.close()


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


def test_deleted_object_is_no_cursor_where_it_is_switched_so(
    stripe_double: StripeDouble, client: Client
) -> None:
    control = stripe_double.control
    customer = control.create_customer()
    name = control.create_subscription(customer=customer)
    item = control.add_item(name)
    control.remove_item(name, item)
    control.delete_customer(customer)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/customers", {"starting_after": customer}),
        ("/v1/subscription_items", {"subscription": name, "starting_after": item}),
    ]
    assert [client.get(path, **params).status for path, params in asked] == [200, 200]
    control.switch(deleted_cursor="missing")
    assert [client.get(path, **params).status for path, params in asked] == [400, 400]


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


def test_seeded_customers_share_the_subscriptions_as_ordered(
    stripe_double: StripeDouble, client: Client
) -> None:
    stripe_double.control.seed(10, customers=3)
    subscriptions = client.read("/v1/subscriptions", status="all", limit=100)["data"]
    customers = client.read("/v1/customers", limit=100)["data"]
    assert len(customers) == 3
    listed = []
    for customer in customers:
        ids = client.ids("/v1/subscriptions", customer=customer["id"], status="all")
        owned = [one for one in subscriptions if one["customer"] == customer["id"]]
        assert ids == [one["id"] for one in owned]
        assert customer["created"] == min(one["created"] for one in owned)
        listed += ids
    assert listed == [one["id"] for one in subscriptions]


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
    every = {"status": "all"} if resource == "subscriptions" else {}
    text = client.get(f"/v1/{resource}", version=version, limit=100, **every).data.decode()
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
