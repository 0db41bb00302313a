"""Stripe's JSON, in every shape that it comes in, to one content."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UnreadableObject
from shared.objects.column import canonical_json
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import Content, Held
from shared.objects.subscription import SUBSCRIPTION
from shared.stripe.page import decode_page
from shared.truth import Interval
from tests.unit.bodies import content, held, item, subscription

START, END = 1_700_000_000, 1_702_592_000


def value(found: Content, name: str) -> Any:
    return SUBSCRIPTION.value(found.row, name)


def item_value(found: Content, name: str, position: int = 0) -> Any:
    assert SUBSCRIPTION.items is not None
    assert found.items is not None
    return found.items[position][SUBSCRIPTION.items.decoded.index[name]]


def test_period_is_that_of_the_item_that_ends_last() -> None:
    """Trap 6: since basil the period is on the items, and they may differ."""
    found = content(
        subscription(
            item("si_1", current_period_start=10, current_period_end=40),
            item("si_2", current_period_start=20, current_period_end=50),
            item("si_3", current_period_start=30, current_period_end=35),
        )
    )
    assert value(found, "current_period_start") == 20
    assert value(found, "current_period_end") == 50


def test_both_sides_of_basil_give_one_content() -> None:
    """Trap 6: before basil the period is on the subscription."""
    bare = item()
    period = {name: bare.pop(name) for name in ("current_period_start", "current_period_end")}
    before = subscription(
        bare, **period, discount={"id": "di_1", "coupon": {}}, plan={}, quantity=1
    )
    assert content(before) == content(subscription(item(), discounts=["di_1"]))


@pytest.mark.parametrize("discounts", [["di_1"], [{"id": "di_1", "object": "discount"}]])
def test_discounts_are_ids_plain_or_expanded(discounts: list[Any]) -> None:
    assert value(content(subscription(discounts=discounts)), "discounts") == '["di_1"]'


@pytest.mark.parametrize("fields", [{}, {"discounts": None}, {"discounts": [], "discount": None}])
def test_no_discount_is_an_empty_list(fields: dict[str, Any]) -> None:
    assert value(content(subscription(**fields)), "discounts") == "[]"


def test_product_is_an_id_plain_or_expanded() -> None:
    found = content(subscription(item(price={"product": {"id": "prod_1", "name": "One"}})))
    assert item_value(found, "product_id") == "prod_1"


def test_unknown_fields_and_values_are_tolerated() -> None:
    """Trap 15: Stripe adds values to its enumerations."""
    found = content(
        subscription(
            item(price={"recurring": {"interval": "decade", "moon": "full"}}),
            status="hibernating",
            collection_method="by_pigeon",
            unheard_of={"deep": [1, {"a": None}]},
        )
    )
    assert value(found, "status") == "hibernating"
    assert item_value(found, "interval") == "decade"
    assert not SUBSCRIPTION.is_terminal(found.row)


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_ended_statuses_are_terminal(status: str) -> None:
    assert SUBSCRIPTION.is_terminal(content(subscription(status=status)).row)


def test_item_without_recurring_has_no_interval() -> None:
    for recurring in (None, ...):
        price: dict[str, Any] = {"recurring": recurring}
        body = subscription(item(price=price))
        if recurring is ...:
            del body["items"]["data"][0]["price"]["recurring"]
        found = content(body)
        assert item_value(found, "interval") is None
        assert item_value(found, "price_id") == "price_basic"


def test_metered_and_tiered_prices_have_no_quantity_and_no_amount() -> None:
    metered = item(price={"unit_amount": None, "unit_amount_decimal": None})
    del metered["quantity"]
    found = content(subscription(metered))
    assert [item_value(found, name) for name in ("quantity", "unit_amount")] == [None, None]


@pytest.mark.parametrize("items", [..., None, {"data": [item()], "has_more": True}])
def test_items_that_are_not_all_there_are_no_items(items: Any) -> None:
    """Trap 5: the items beyond the first page are not gone."""
    assert content(subscription(items=items)).items is None


def test_items_come_in_the_order_of_their_ids() -> None:
    body = subscription(item("si_b"), item("si_B"), item("si_a"))
    assert [item_value(content(body), "id", n) for n in range(3)] == ["si_B", "si_a", "si_b"]


def test_two_items_with_one_id_are_unreadable() -> None:
    with pytest.raises(UnreadableObject, match="two items have one id"):
        content(subscription(item("si_1"), item("si_1")))


def test_integers_of_64_bits_are_read_whole_and_larger_ones_are_unreadable() -> None:
    """A bigint column, a spooled difference and a printed date hold no more."""
    for number in (2**63 - 1, -(2**63)):
        assert value(content(subscription(days_until_due=number)), "days_until_due") == number
    for fields in ({"days_until_due": 2**63}, {"days_until_due": -(2**70)}, {"cancel_at": 10**15}):
        with pytest.raises(UnreadableObject):
            content(subscription(**fields))


@pytest.mark.parametrize("text", ["\ud800", "a\udc80b", "a\0b"])
def test_lone_surrogates_and_nul_characters_are_unreadable_not_a_crash(text: str) -> None:
    with pytest.raises(UnreadableObject):
        content(subscription(metadata={"note": text}))


SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "fields, path",
    [
        ({"status": {"x": SECRET}}, "$.status"),
        ({"created": SECRET}, "$.created"),
        ({"metadata": {"a": [SECRET]}}, "$.metadata"),
        ({"metadata": SECRET}, "$.metadata"),
        ({"customer": [SECRET]}, "$.customer"),
        ({"id": f" {SECRET}"}, "$.id"),
        ({"id": SECRET * 30}, "$.id"),
        ({"items": {"data": [item(quantity=SECRET)], "has_more": False}}, "quantity"),
        ({"items": {"data": SECRET}}, "$.items.data"),
        ({"items": {"data": [item(price={"unit_amount_decimal": SECRET})]}}, "unit_amount_decimal"),
    ],
)
def test_unreadable_field_is_named_by_its_path_and_never_by_its_value(
    fields: dict[str, Any], path: str
) -> None:
    """Trap 18: what cannot be read is logged, so no value may be in the message."""
    with pytest.raises(UnreadableObject) as caught:
        content(subscription(**fields))
    assert path in caught.value.path
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}", b"[" * 5000])
def test_what_is_no_object_is_unreadable(body: bytes) -> None:
    for mirrored in (SUBSCRIPTION, CUSTOMER):
        with pytest.raises(UnreadableObject):
            mirrored.decode(body)


def test_page_names_the_object_that_cannot_be_read_and_reads_the_others() -> None:
    """Trap 13: one poisoned object does not hide the page."""
    bad = subscription(id="sub_bad", created=8, status=7)
    page = {"data": [subscription(id="sub_a", created=9), bad], "has_more": True}
    found = decode_page(SUBSCRIPTION, json.dumps(page).encode())
    assert [one.id for one in found.objects] == ["sub_a"]
    assert [(one.id, one.created) for one in found.unreadable] == [("sub_bad", 8)]
    assert (found.oldest, found.has_more) == (8, True)


def test_page_without_an_end_is_no_page() -> None:
    for body in (b'{"data": []}', b'{"has_more": false}', b"<html>", b'{"data": [{}]}'):
        with pytest.raises(UnreadableObject):
            decode_page(SUBSCRIPTION, body)


def test_differences_name_fields_and_items() -> None:
    before = held(subscription(item("si_1"), item("si_2")))
    after = content(subscription(item("si_2", quantity=4), item("si_3"), status="past_due"))
    fields = SUBSCRIPTION.differences(before, after)
    assert set(fields) == {"status", "items.si_1", "items.si_2.quantity", "items.si_3"}
    assert fields["status"] == ("active", "past_due")
    assert fields["items.si_2.quantity"] == (1, 4)
    assert fields["items.si_1"][1] is None
    assert fields["items.si_3"][0] is None
    assert fields["items.si_3"][1]["price_id"] == "price_basic"


def test_spelling_of_a_number_is_no_difference() -> None:
    one = content(subscription(item(price={"unit_amount_decimal": "12.5"})))
    other = content(subscription(item(price={"unit_amount_decimal": "12.500"})))
    row = Held(one.row, one.items or (), Interval(1, 2), 1, None)
    assert SUBSCRIPTION.differences(row, other) == {}


def test_mark_of_a_missing_row_is_a_difference() -> None:
    body = subscription()
    row = held(body, missing=77)
    assert SUBSCRIPTION.differences(row, content(body)) == {"missing_in_stripe_since": (77, None)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@given(json_values)
def test_canonical_json_is_the_value(found: Any) -> None:
    assert json.loads(canonical_json(found)) == found


storable = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


@given(st.dictionaries(storable, storable, max_size=6))
def test_metadata_is_canonical_json_whatever_it_says(metadata: dict[str, str]) -> None:
    row = content(subscription(metadata=metadata))
    assert value(row, "metadata") == canonical_json(metadata)


@given(st.recursive(json_values, st.lists, max_leaves=3), st.data())
def test_any_json_in_any_field_is_read_or_named(junk: Any, data: st.DataObject) -> None:
    """Trap 13: whatever stands where something else was promised, only one error comes of it."""
    body = subscription()
    places: list[dict[str, Any]] = [body, body["items"], body["items"]["data"][0]]
    place = data.draw(
        st.sampled_from([*places, places[2]["price"], places[2]["price"]["recurring"]])
    )
    place[data.draw(st.sampled_from(sorted(place)))] = junk
    path = "$"
    try:
        content(body)
    except UnreadableObject as error:
        path = error.path
    assert path.startswith("$")
