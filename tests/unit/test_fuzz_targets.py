"""What must hold for any bytes: the fuzzer's targets, for a moment and without its guidance."""

import json
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import NotAnEvent, UnreadableObject
from shared.objects.subscription import SUBSCRIPTION
from shared.stripe.event import decode_event
from tests.fuzz import seeds, targets

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([word.strip('"') for word in seeds.WORDS]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


@cache
def bodies() -> tuple[bytes, ...]:
    return tuple(seeds.bodies())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An event of Stripe's with one value, somewhere in it, replaced by anything; or cut off."""
    whole = json.loads(draw(st.sampled_from(bodies())))
    inner = whole
    while isinstance(inner, (dict, list)) and inner:
        keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
        key = draw(st.sampled_from(list(keys)))
        if not isinstance(inner[key], (dict, list)) or not inner[key] or draw(st.booleans()):
            inner[key] = draw(JSON)
            break
        inner = inner[key]
    body = json.dumps(whole).encode()
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 5)) == 0 else body


@given(body=mutated() | JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
@settings(max_examples=300)
def test_no_body_raises_anything_but_our_own_errors(body: bytes) -> None:
    targets.event(body)


@given(body=JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
@settings(max_examples=100)
def test_no_object_raises_anything_but_our_own_errors(body: bytes) -> None:
    targets.content(body)


@given(
    parts=st.lists(
        st.sampled_from([f"t={targets.NOW}", "v1=SIGNED", "v0=SIGNED", "t=1", "v1=", "=", "t"])
        | st.text(max_size=20),
        max_size=6,
    ),
    body=st.binary(max_size=30),
)
@settings(max_examples=300)
def test_no_header_is_taken_that_signs_nothing(parts: list[str], body: bytes) -> None:
    raw = ",".join(parts).encode("latin-1", "replace").replace(b"\0", b"")
    targets.header(raw + b"\0" + body)


@pytest.mark.parametrize("seed", range(5), ids=str)
def test_every_seed_of_the_fuzzer_holds(seed: int) -> None:
    targets.header(list(seeds.headers())[seed])
    for body in bodies()[seed::5]:
        targets.event(body)


@pytest.mark.parametrize(
    "body",
    [
        # Found by `make fuzz`: one fault for the envelope, another one further on.
        b'{"id": 5, "object": "v2.core.event", nonsense',
        b'{"created": "x", "id": "\xff"}',
        b'{"object": "v2.core.event", "id": ' + b"[" * 100_000,
    ],
)
def test_body_with_two_faults_is_no_event(body: bytes) -> None:
    with pytest.raises(NotAnEvent):
        decode_event(body)


@pytest.mark.parametrize("discounts", [5, "di_1", {"id": "di_1"}, [5], [None], [{"id": 7}], [{}]])
def test_discounts_that_are_no_list_of_ids_are_unreadable(discounts: object) -> None:
    """Found by `make fuzz`: a TypeError, for the field's own type is any JSON."""
    whole = json.loads(bodies()[3])["data"]["object"]
    assert SUBSCRIPTION.decode(json.dumps(whole).encode()).id == whole["id"]
    with pytest.raises(UnreadableObject, match=r"\$\.discounts"):
        SUBSCRIPTION.decode(json.dumps({**whole, "discounts": discounts}).encode())
