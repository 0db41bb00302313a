"""Two sides of a window: what agrees, what differs, and what a list may not speak of."""

from reconcile.comparison.compare import Listed, compare_one, compare_window
from shared import truth
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import Content
from shared.objects.subscription import SUBSCRIPTION
from shared.truth import Interval
from tests.unit.bodies import content, held, item, subscription

ASKED = Interval(10_000, 10_002)
PAGE = truth.of_page(ASKED)
OLD = Interval(PAGE.lower - 1, PAGE.lower)
YOUNG = Interval(PAGE.lower, PAGE.lower + 1)
LATER = Interval(ASKED.upper, ASKED.upper + 1)

ACTIVE = subscription()
PAST_DUE = subscription(status="past_due")


def listed(of: Content) -> dict[str, Listed]:
    return {of.id: Listed(of, PAGE)}


def test_equal_row_is_in_sync_however_young() -> None:
    for as_of in (OLD, YOUNG, LATER):
        rows = {"sub_1": held(ACTIVE, as_of)}
        assert compare_window(SUBSCRIPTION, rows, listed(content(ACTIVE))) == (1, [], [], [])


def test_old_row_that_differs_is_a_difference() -> None:
    row = held(ACTIVE, OLD)
    found = compare_window(SUBSCRIPTION, {"sub_1": row}, listed(content(PAST_DUE)))
    assert (found.in_sync, found.doubtful, found.absent) == (0, [], [])
    (difference,) = found.differences
    assert (difference.kind, difference.as_of, difference.held) == ("differs", PAGE, row)
    assert difference.fields == {"status": ("active", "past_due")}


def test_list_does_not_speak_for_a_row_younger_than_it_may_lag() -> None:
    """Trap 10: a list may be older than its objects by minutes."""
    for as_of in (YOUNG, LATER):
        rows = {"sub_1": held(ACTIVE, as_of)}
        found = compare_window(SUBSCRIPTION, rows, listed(content(PAST_DUE)))
        assert found == (0, [], ["sub_1"], [])


def test_object_without_all_its_items_is_asked_for() -> None:
    """Trap 5: more items than a list embeds."""
    items = {"data": [item()], "has_more": True}
    partial = listed(content(subscription(items=items)))
    assert compare_window(SUBSCRIPTION, {}, partial).doubtful == ["sub_1"]
    assert compare_window(SUBSCRIPTION, {"sub_1": held(ACTIVE, OLD)}, partial).doubtful == ["sub_1"]


def test_object_without_a_row_is_missing_in_the_database() -> None:
    found = compare_window(SUBSCRIPTION, {}, listed(content(ACTIVE)))
    (difference,) = found.differences
    assert (difference.kind, difference.held) == ("missing_in_database", None)
    assert difference.fields == {"status": (None, "active")}


def test_row_that_the_list_leaves_out_is_asked_for() -> None:
    """Trap 8: never taken for gone on the word of a list."""
    found = compare_window(SUBSCRIPTION, {"sub_1": held(ACTIVE, OLD)}, {})
    assert found == (0, [], [], ["sub_1"])


def test_row_that_is_known_to_be_missing_is_in_sync_with_its_absence() -> None:
    rows = {"sub_1": held(ACTIVE, OLD, missing=7)}
    assert compare_window(SUBSCRIPTION, rows, {}) == (1, [], [], [])


def test_deleted_customer_is_in_sync_with_its_absence() -> None:
    gone = CUSTOMER.decode(b'{"id": "cus_1", "deleted": true}')
    row = held(ACTIVE, OLD)._replace(row=gone.row, items=())
    assert compare_window(CUSTOMER, {"cus_1": row}, {}) == (1, [], [], [])


def test_missing_row_that_is_listed_again_differs() -> None:
    row = held(ACTIVE, OLD, missing=7)
    found = compare_window(SUBSCRIPTION, {"sub_1": row}, listed(content(ACTIVE)))
    assert [one.fields for one in found.differences] == [{"missing_in_stripe_since": (7, None)}]


def test_id_that_stripe_does_not_know_is_missing_in_stripe() -> None:
    row = held(ACTIVE)
    difference = compare_one(SUBSCRIPTION, "sub_1", row, None, ASKED)
    assert difference is not None
    assert difference.kind == "missing_in_stripe"
    assert difference.fields == {"missing_in_stripe_since": (None, ASKED.lower)}


def test_id_that_neither_side_has_is_no_difference() -> None:
    assert compare_one(SUBSCRIPTION, "sub_1", None, None, ASKED) is None
    marked = held(ACTIVE, missing=7)
    assert compare_one(SUBSCRIPTION, "sub_1", marked, None, ASKED) is None


def test_every_object_of_a_window_is_said_to_be_something_once() -> None:
    names = [f"sub_{number}" for number in range(6)]
    rows = {name: held(subscription(id=name), (OLD, YOUNG)[n % 2]) for n, name in enumerate(names)}
    there = {
        name: Listed(content(subscription(id=name, status="unpaid")), PAGE) for name in names[2:]
    } | {"sub_new": Listed(content(subscription(id="sub_new")), PAGE)}
    found = compare_window(SUBSCRIPTION, rows, there)
    said = [one.id for one in found.differences] + found.doubtful + found.absent
    assert sorted(said) == sorted({*names, "sub_new"})
    assert found.in_sync == 0
