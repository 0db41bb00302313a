"""The bound on how deep JSON may be nested."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.objects.nesting import MOST, cut, is_too_deep

_texts = st.text(string.printable + '"\\[]{}é\0', max_size=8)
_values = st.recursive(
    st.none() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=60,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def expected(value: Any, level: int = MOST) -> Any:
    """The value with what lies deeper than `level` replaced."""
    if isinstance(value, dict | list) and level == 0:
        return None
    if isinstance(value, dict):
        return {name: expected(one, level - 1) for name, one in value.items()}
    return [expected(one, level - 1) for one in value] if isinstance(value, list) else value


@given(_values, st.sampled_from([0, 100, MOST - 4, MOST - 2, MOST - 1, MOST]), st.booleans())
def test_what_lies_deeper_is_cut_and_all_else_stays_byte_for_byte(
    value: Any, around: int, is_compact: bool
) -> None:
    for number in range(around):
        value = [value, "]"] if number % 2 else {"a}": value, '"': []}
    body = json.dumps(value, separators=(",", ":") if is_compact else None).encode()
    assert is_too_deep(body) == (depth(value) > MOST)
    if depth(value) <= MOST:
        assert cut(body) == body
    assert json.loads(cut(body)) == expected(value)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_make_it_fail(rubbish: bytes, times: int) -> None:
    for body in (rubbish, b"[" * times + rubbish, rubbish + b'{"' * times, rubbish * (times // 10)):
        cut(body)
        is_too_deep(body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'"[', b'\\"['])
def test_megabytes_of_brackets_take_no_longer_than_their_length(opening: bytes) -> None:
    body = opening * (2_000_000 // len(opening))
    assert len(cut(body)) <= len(body)
