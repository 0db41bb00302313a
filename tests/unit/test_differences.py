"""What counts as a difference: the value and its JSON type, never the spelling."""

from typing import Any

import msgspec
import pytest

from shared.objects.column import Column, Columns, Type
from shared.objects.difference import between_items, between_rows

COLUMNS = Columns(
    "thing",
    (
        Column("id", Type.TEXT),
        Column("pause", Type.JSON),
        Column("metadata", Type.METADATA),
        Column("amount", Type.DECIMAL),
    ),
)


def differences(before: str | None, after: str | None) -> dict[str, Any]:
    return between_rows(COLUMNS, ("x", before, "{}", "1"), ("x", after, "{}", "1"))


@pytest.mark.parametrize(
    "before,after",
    [
        ("true", "1"),
        ("false", "0"),
        ("true", "1.0"),
        ('{"a": true}', '{"a": 1}'),
        ('[[{"a": [0]}]]', '[[{"a": [false]}]]'),
        ('"1"', "1"),
        ('"1.0"', "1.0"),
        ("null", "false"),
        ("null", "{}"),
        ("{}", "[]"),
        ('{"a": null}', "{}"),
        ("[1, 2]", "[2, 1]"),
        ('[["a", 1]]', '{"a": 1}'),
        ("1", "1.0000000000000000000001"),
        ("9007199254740993", "9007199254740992.0"),
        (None, "null"),
        (None, "false"),
    ],
)
def test_json_of_another_type_or_value_differs_either_way(
    before: str | None, after: str | None
) -> None:
    assert differences(before, after).keys() == {"pause"}
    assert differences(after, before).keys() == {"pause"}


@pytest.mark.parametrize(
    "before,after",
    [
        ("1", "1.0"),
        ("0", "-0.0"),
        ("36000000000000000", "3.6e+16"),
        ('{"a": [1.10, true]}', '{"a":[1.1,true]}'),
        ('{"a": 1, "b": {"c": 2, "d": null}}', '{"b": {"d": null, "c": 2.0}, "a": 1}'),
        ("[]", " [ ]"),
        ('"\\u00e9"', '"é"'),
    ],
)
def test_json_spelled_otherwise_is_the_same(before: str, after: str) -> None:
    assert differences(before, after) == {}


def test_difference_is_told_as_json_of_its_own_type() -> None:
    ((told, now),) = differences('{"a": true}', '{"a": 1}').values()
    assert (told["a"], now["a"]) == (True, 1)
    assert told["a"] is True


def test_items_differ_in_json_types_too() -> None:
    before, after = (("si_1", "[true]", "{}", "1"),), (("si_1", "[1]", "{}", "1.00"),)
    assert between_items(COLUMNS, before, after) == {"items.si_1.pause": ([True], [1])}


def test_amount_is_one_number_however_it_is_written() -> None:
    row = ("x", None, "{}")
    assert between_rows(COLUMNS, (*row, "12.5"), (*row, "12.50")) == {}
    assert between_rows(COLUMNS, (*row, "12.5"), (*row, "12.51")) == {"amount": ("12.5", "12.51")}


@pytest.mark.parametrize("digits", ["9" * 401, "9" * 5_000, "1" + "0" * 400 + ".5"])
def test_number_that_nobody_can_hold_is_told_and_kept(digits: str) -> None:
    ((before, after),) = differences('{"a": 1}', f'{{"a": {digits}}}').values()
    assert before == {"a": 1}
    assert digits in msgspec.json.encode(after).decode()
