"""From signed bytes to an event: what is one, and what never gets further."""

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NotAnEvent, UnreadableObject
from shared.objects.catalogue import EVENT_TYPES
from shared.objects.column import LAST_SECOND
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.stripe.event import decode_event
from shared.truth import Interval
from tests.objects import each_object, event_type
from tests.unit.bodies import subscription

ENVELOPE: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "api_version": "2026-10-28.endive",
    "created": 1_790_000_000,
    "data": {"object": subscription()},
    "livemode": False,
    "type": "customer.subscription.updated",
}
THIN: dict[str, Any] = {
    "id": "evt_thin",
    "object": "v2.core.event",
    "type": "v1.customer.subscription.updated",
    "created": "2026-09-21T12:00:00.250Z",
    "livemode": False,
    "related_object": {"id": "sub_1", "type": "subscription", "url": "/v1/subscriptions/sub_1"},
}


def body(of: dict[str, Any] = ENVELOPE, /, **fields: Any) -> bytes:
    """An event; fields given as ... are left out."""
    whole = {**of, **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def test_event_carries_its_object() -> None:
    event = decode_event(body())
    assert (event.id, event.type, event.created) == ("evt_1", ENVELOPE["type"], 1_790_000_000)
    assert event.mirrored is SUBSCRIPTION
    assert event.content(SUBSCRIPTION).id == "sub_1"
    assert event.interval == Interval(1_790_000_000, 1_790_000_001)


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_only_creation_is_dated_back(kind: str) -> None:
    lower = decode_event(body(type=kind)).interval.lower
    assert lower == 1_790_000_000 - kind.endswith(".created")


def test_unknown_type_and_fields_are_an_event_that_is_not_mirrored() -> None:
    event = decode_event(body(type="invoice.paid", moon={"phase": 1}, request=None))
    assert event.mirrored is None


@pytest.mark.parametrize("name", ["id", "type", "created", "livemode"])
@pytest.mark.parametrize("value", [..., None, "", [], {}, 1.5, "\u00e9 \u00e9"])
def test_envelope_without_what_it_needs_is_refused(name: str, value: Any) -> None:
    with pytest.raises(NotAnEvent):
        decode_event(body(**{name: value}))


@pytest.mark.parametrize("created", [0, -1, LAST_SECOND + 1, 2**64, "1790000000", True])
def test_time_that_nothing_can_hold_is_refused(created: Any) -> None:
    with pytest.raises(NotAnEvent):
        decode_event(body(created=created))


def test_year_9999_is_a_time() -> None:
    assert decode_event(body(created=LAST_SECOND)).created == LAST_SECOND


@pytest.mark.parametrize("length, is_event", [(255, True), (256, False)])
def test_id_has_up_to_255_characters(length: int, *, is_event: bool) -> None:
    long = body(id="e" * length)
    if is_event:
        assert len(decode_event(long).id) == 255
    else:
        with pytest.raises(NotAnEvent):
            decode_event(long)


@pytest.mark.parametrize(
    "junk", [b"", b"null", b"[]", b"{}", b"1", b"\xff\xfe", b"{", b'{"id": "evt_1"', b"[" * 100_000]
)
def test_what_is_not_json_or_no_event_is_refused(junk: bytes) -> None:
    with pytest.raises(NotAnEvent):
        decode_event(junk)


WORDS = [
    (ENVELOPE, "id"),
    (ENVELOPE, "type"),
    (ENVELOPE, "api_version"),
    (THIN, "id"),
    (THIN, "type"),
    (THIN, "snapshot_event"),
]


@pytest.mark.parametrize("odd", ["\n", "\r", "\r\n", " ", "\t", "\0", "\u2028", "\x85", "\ufeff"])
@pytest.mark.parametrize("of, name", WORDS)
def test_word_with_a_character_that_no_id_has_is_refused_wherever_it_stands(
    of: dict[str, Any], name: str, odd: str
) -> None:
    for value in (f"evt_1{odd}", f"{odd}evt_1", f"evt{odd}_1", odd):
        with pytest.raises(NotAnEvent):
            decode_event(body(of, **{name: value}))
        with pytest.raises(NotAnEvent):
            decode_event(body(of, **{name: value, "note": "\ud800"}))


@each_object()
@pytest.mark.parametrize("odd", ["\n", "\0", "\x7f", "\x85", "\udc00", "", "x" * 256, " ", "é"])
def test_id_that_no_such_object_can_have_is_none(mirrored: MirroredObject, odd: str) -> None:
    """Blanks and letters of any script stand in ids that a merchant chose, and in no others."""
    name = f"x_1{odd}" if odd else ""
    kind = event_type(mirrored, "updated")
    events = [
        partial(decode_event, body(type=kind, data={"object": {"id": name, "note": note}}))
        for note in ("", "\ud800")
    ]
    thin = partial(decode_event, body(THIN, related_object={"id": name, "type": mirrored.name}))
    if odd in {" ", "é"} and mirrored.chosen_ids:
        assert {decode().subject().id for decode in (*events, thin)} == {name}
        return
    for decode in events:
        with pytest.raises(UnreadableObject):
            decode().subject()
    with pytest.raises(NotAnEvent):
        thin()


@pytest.mark.parametrize("name", ["SUMMER 50%", "", "é" * 300])
def test_thin_event_of_an_object_that_is_not_mirrored_is_an_event_whatever_its_id(
    name: str,
) -> None:
    event = decode_event(body(THIN, related_object={"id": name, "type": "coupon"}))
    assert event.mirrored is None


@pytest.mark.parametrize("of", [ENVELOPE, THIN], ids=["snapshot", "thin"])
def test_what_only_looks_like_json_in_utf_8_is_refused(
    of: dict[str, Any], subtests: pytest.Subtests
) -> None:
    """Python's decoder reads most of these; kept, they would be half an event each."""
    good = body(of)
    text = good.decode()
    cases = {
        "byte order mark": b"\xef\xbb\xbf" + good,
        "byte order mark twice": b"\xef\xbb\xbf" * 2 + good,
        "byte order mark at the end": good + b"\xef\xbb\xbf",
        "UTF-16": text.encode("utf-16"),
        "UTF-16 without a mark": text.encode("utf-16-le"),
        "UTF-32": text.encode("utf-32-be"),
        "not a number": body(of, note=float("nan")),
        "infinite": body(of, note=float("inf")),
        "infinite below": body(of, data={"object": {"id": "sub_1", "x": float("-inf")}}),
    }
    for name, junk in cases.items():
        with subtests.test(name), pytest.raises(NotAnEvent):
            decode_event(junk)


@pytest.mark.parametrize("of", [ENVELOPE, THIN], ids=["snapshot", "thin"])
def test_lone_surrogate_anywhere_hides_neither_the_event_nor_its_object(of: dict[str, Any]) -> None:
    for fields in ({"note": "\ud800"}, {"data": {"object": {"id": "sub_1", "x": "\udc00"}}}):
        event = decode_event(body(of, **fields))
        assert event.type == of["type"]
        if "data" in fields or of is THIN:
            assert event.subject().id == "sub_1"


def test_object_of_another_kind_is_refused() -> None:
    with pytest.raises(NotAnEvent):
        decode_event(body(object="charge"))


@pytest.mark.parametrize("data", [..., None, {}, {"object": None}, {"object": []}, {"object": {}}])
def test_event_without_a_readable_object_is_an_event_all_the_same(data: Any) -> None:
    """Trap 13: it can be kept, with why it could not be applied."""
    event = decode_event(body(data=data))
    assert event.id == "evt_1"
    with pytest.raises(UnreadableObject):
        event.content(SUBSCRIPTION)


def test_lone_surrogate_spoils_the_object_and_not_the_event() -> None:
    event = decode_event(body(data={"object": subscription(metadata={"a": "\ud800"})}))
    assert event.id == "evt_1"
    with pytest.raises(UnreadableObject):
        event.content(SUBSCRIPTION)


def test_deleted_customer_is_emptied() -> None:
    customer = {"id": "cus_1", "email": "a@b.c", "name": "A", "created": 5, "metadata": {"a": "b"}}
    event = decode_event(body(type="customer.deleted", data={"object": customer}))
    row = event.content(CUSTOMER).row
    assert CUSTOMER.is_deleted(row)
    assert [CUSTOMER.value(row, name) for name in ("email", "name", "metadata")] == [
        None,
        None,
        "{}",
    ]


def test_thin_event_tells_only_whose_it_is() -> None:
    event = decode_event(body(THIN))
    assert event.mirrored is SUBSCRIPTION
    assert event.content(SUBSCRIPTION).items is None
    assert event.content(SUBSCRIPTION).id == "sub_1"


def test_thin_event_and_its_twin_are_one_event() -> None:
    assert decode_event(body(THIN, snapshot_event="evt_1")).id == "evt_1"


words = st.text(max_size=12)
junk_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def attempt(junk: bytes) -> None:
    """Go the whole way that a body goes; other errors than the two fail the test."""
    try:
        event = decode_event(junk)
        if event.mirrored is not None:
            event.content(event.mirrored)
    except (NotAnEvent, UnreadableObject):
        return


@given(st.binary(max_size=80))
def test_any_bytes_give_an_event_or_one_of_two_errors(junk: bytes) -> None:
    attempt(junk)


@given(st.sampled_from([ENVELOPE, THIN]), st.data(), junk_values)
def test_any_value_anywhere_gives_an_event_or_one_of_two_errors(
    of: dict[str, Any], data: st.DataObject, junk: Any
) -> None:
    attempt(body(of, **{data.draw(st.sampled_from(sorted(of))): junk}))


@given(st.integers(0, 3000), st.binary(min_size=1, max_size=4))
def test_any_damage_gives_an_event_or_one_of_two_errors(position: int, damage: bytes) -> None:
    whole = body()
    place = position % len(whole)
    attempt(whole[:place] + damage + whole[place + len(damage) :])
    attempt(whole[:place])
