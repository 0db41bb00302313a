"""What is recognised on a page is exactly what was seen before; the rest is read as ever."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UnreadableObject
from shared.objects.customer import CUSTOMER
from shared.objects.subscription import SUBSCRIPTION
from shared.stripe.page import Memory, Page, decode_page
from shared.stripe.recognition import Known, recognise, seed
from tests.unit.bodies import subscription

SEED = -(2**62) + 7


def page(*objects: dict[str, Any], data_first: bool = False, has_more: bool = True) -> bytes:
    """A list as Stripe sends it."""
    envelope = {"object": "list", "url": "/v1/things", "has_more": has_more}
    if data_first:
        found = {"object": "list", "data": list(objects), "has_more": has_more}
    else:
        found = {**envelope, "data": list(objects)}
    return json.dumps(found, indent=2).encode()


def bodies(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"sub_{n}", **subscription(id=f"sub_{n}", created=1_000_000 - n)}
        for n in range(count)
    ]


def known(body: bytes) -> dict[str, Known]:
    """What a run would remember of a page that is in sync."""
    found = recognise(body, {}, SEED)
    assert found is not None
    created = {one["id"]: one["created"] for one in json.loads(body)["data"]}
    return {
        name: Known(name, created[name], 1, "active", one.length, one.hash)
        for name, one in found.bodies.items()
    }


def read(body: bytes, memory: dict[str, Known]) -> Page:
    return decode_page(SUBSCRIPTION, body, Memory(memory, SEED))


@pytest.mark.parametrize("data_first", [True, False])
@pytest.mark.parametrize("has_more", [True, False])
def test_page_that_was_seen_before_is_recognised_whole(data_first: bool, has_more: bool) -> None:
    body = page(*bodies(5), data_first=data_first, has_more=has_more)
    found = read(body, known(body))
    assert [one.id for one in found.same] == [f"sub_{n}" for n in range(5)]
    assert (found.objects, found.unreadable) == ([], [])
    assert (found.has_more, found.oldest, found.last_id) == (has_more, 999_996, "sub_4")


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_object_is_recognised_by_any_id_that_a_merchant_chose(ensure_ascii: bool) -> None:
    """Whichever way the page spells what is beyond ASCII."""
    names = ["Gold Plan", '"gold"', "\\", "a\\", "\\u0041", "é/é", "🐟" * 255, '"' * 255, "sub_1"]
    objects = [{"id": name, "object": "customer", "created": 9} for name in names]
    body = json.dumps({"object": "list", "data": objects, "has_more": True}, indent=2)
    spelled = json.dumps(json.loads(body), indent=2, ensure_ascii=ensure_ascii).encode()
    memory = known(spelled)
    assert list(memory) == names
    found = decode_page(CUSTOMER, spelled, Memory(memory, SEED))
    assert ([one.id for one in found.same], found.objects) == (names, [])


@pytest.mark.parametrize("changed", range(4))
def test_object_that_changed_is_decoded_and_its_neighbours_are_recognised(changed: int) -> None:
    objects = bodies(4)
    memory = known(page(*objects))
    objects[changed]["of_a_later_version"] = "another"
    found = read(page(*objects), memory)
    assert [one.id for one in found.objects] == [f"sub_{changed}"]
    assert [one.id for one in found.same] == [f"sub_{n}" for n in range(4) if n != changed]
    assert (found.oldest, found.last_id) == (999_997, "sub_3")
    assert set(found.bodies) == {f"sub_{changed}"}


@pytest.mark.parametrize(
    "forged", [{"length": 10**9}, {"length": 0}, {"length": -5}, {"hash": 1}, {"length": 7}]
)
def test_fingerprint_of_another_body_recognises_nothing(forged: dict[str, int]) -> None:
    body = page(*bodies(3))
    memory = known(body)
    one = memory["sub_1"]
    memory["sub_1"] = Known(
        one.id,
        one.created,
        1,
        "active",
        forged.get("length", one.length),
        forged.get("hash", one.hash),
    )
    found = read(body, memory)
    assert [one.id for one in found.objects] == ["sub_1"]
    assert [one.id for one in found.same] == ["sub_0", "sub_2"]


def test_body_of_one_object_is_not_recognised_in_the_place_of_another() -> None:
    body = page(*bodies(2))
    memory = known(body)
    memory["sub_0"], memory["sub_1"] = memory["sub_1"], memory["sub_0"]
    assert read(body, memory).same == []


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"data": bodies(2), "has_more": False}).encode(),
        json.dumps({"data": bodies(2), "has_more": False}, indent=4).encode(),
        page(),
        page(*[dict(reversed(one.items())) for one in bodies(2)]),
    ],
    ids=["compact", "indented by four", "empty", "id last"],
)
def test_page_of_another_layout_is_decoded_as_it_is(body: bytes) -> None:
    found = read(body, known(page(*bodies(2))))
    plain = decode_page(SUBSCRIPTION, body)
    assert (found.objects, found.same, found.bodies) == (plain.objects, [], {})
    assert (found.oldest, found.last_id) == (plain.oldest, plain.last_id)


@pytest.mark.parametrize("first", [1, 2])
def test_body_of_an_object_that_is_listed_twice_is_not_told(first: int) -> None:
    """Else the one state would be remembered as equal to a row that equals the other."""
    objects = bodies(3)
    memory = known(page(*objects[:first]))
    changed = {**objects[2], "status": "past_due"}
    found = read(page(*objects, changed), memory)
    assert found.bodies == {}
    assert [one.id for one in found.objects] == ["sub_0", "sub_1", "sub_2", "sub_2"]
    assert (found.same, found.oldest, found.last_id) == ([], 999_998, "sub_2")


def test_unreadable_object_among_recognised_ones_is_named() -> None:
    objects = bodies(3)
    memory = known(page(*objects))
    objects[1]["status"] = 7
    found = read(page(*objects), memory)
    assert [one.id for one in found.unreadable] == ["sub_1"]
    assert [one.id for one in found.same] == ["sub_0", "sub_2"]


def outcome(body: bytes, memory: Memory | None) -> object:
    """All that a page says, whichever way it was read."""
    try:
        found = decode_page(SUBSCRIPTION, body, memory)
    except UnreadableObject:
        return "unreadable"
    ids = [one.id for one in found.objects] + [one.id for one in found.same]
    bad = sorted(one.id for one in found.unreadable)
    return sorted(ids), bad, found.has_more, found.oldest, found.last_id


@given(
    st.sets(st.integers(0, 3)),
    st.integers(0, 2**16),
    st.sampled_from(
        [b"", b"x", b'"', b"}", b"\n", b"\\", b"{", b"\n    },\n    {\n", b"  ]", b"\x00"]
    ),
    st.integers(0, 40),
)
def test_whatever_happens_to_a_page_it_says_the_same_with_and_without_a_memory(
    seen: set[int], place: int, put: bytes, cut: int
) -> None:
    """And nothing is recognised whose bytes are not as they were."""
    whole = page(*bodies(4))
    memory = {name: one for name, one in known(whole).items() if int(name[-1]) in seen}
    at = place % len(whole)
    body = whole[:at] + put + whole[at + cut :]
    assert outcome(body, Memory(memory, SEED)) == outcome(body, None)
    found = recognise(body, memory, SEED)
    for one in found.same if found else ():
        text = json.dumps(bodies(4)[int(one.id[-1])], indent=2).encode().replace(b"\n", b"\n    ")
        assert text.strip(b"{}").strip() in body


def test_seed_is_of_the_salt_and_fits_a_bigint() -> None:
    assert seed(1) != seed(2)
    assert seed(3) == seed(3) != seed(3, __file__)
    assert all(-(2**63) <= seed(salt) < 2**63 for salt in range(50))


def test_bodies_are_told_by_the_id_that_is_decoded() -> None:
    body = page(*bodies(3))
    found = decode_page(SUBSCRIPTION, body, Memory({}, SEED))
    assert [one.id for one in found.objects] == list(found.bodies)
    assert decode_page(CUSTOMER, page(), Memory({}, SEED)).bodies == {}
