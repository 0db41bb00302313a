"""Whose an event is: the one table of cases."""

import json
from typing import Any, Literal

import pytest

from shared.errors import NotAnEvent, WrongAccount
from shared.repository.account import Account
from shared.stripe.account import Whose, whose
from shared.stripe.event import decode_event
from tests.unit.test_event import ENVELOPE, THIN, body

OURS, OTHER = "acct_1Ours", "acct_1Other"

Expected = Literal["ours", "not told", "another's"]

CASES: dict[str, tuple[dict[str, Any], Expected, Expected]] = {
    # what the event names: (with our id known, without)
    "nobody": ({}, "ours", "ours"),
    "nobody, as null": ({"account": None, "context": None}, "ours", "ours"),
    "our account": ({"account": OURS}, "ours", "not told"),
    "our context": ({"context": OURS}, "ours", "not told"),
    "us twice": ({"account": OURS, "context": OURS}, "ours", "not told"),
    "us below an organization": ({"context": f"org_1/{OURS}"}, "ours", "not told"),
    "us below a platform": ({"context": f"{OTHER}/{OURS}"}, "ours", "not told"),
    "us at the end of a long path": ({"context": f"org_1/{OTHER}/{OURS}"}, "ours", "not told"),
    "another account": ({"account": OTHER}, "another's", "not told"),
    "another context": ({"context": OTHER}, "another's", "not told"),
    "another twice": ({"account": OTHER, "context": OTHER}, "another's", "not told"),
    "another below an organization": ({"context": f"org_1/{OTHER}"}, "another's", "not told"),
    "one connected to us": (
        {"account": OTHER, "context": f"{OURS}/{OTHER}"},
        "another's",
        "not told",
    ),
    "one below us": ({"context": f"{OURS}/{OTHER}"}, "another's", "not told"),
    "our account, another context": ({"account": OURS, "context": OTHER}, "another's", "not told"),
    "another account, our context": ({"account": OTHER, "context": OURS}, "another's", "not told"),
    "an organization": ({"context": "org_1"}, "not told", "not told"),
    "an organization and us": ({"account": OURS, "context": "org_1"}, "not told", "not told"),
    "another of an organization": ({"account": OTHER, "context": "org_1"}, "another's", "not told"),
    "a word without letters": ({"context": ""}, "not told", "not told"),
    "an account without letters": ({"account": ""}, "not told", "not told"),
    "a path that ends in nothing": ({"context": f"{OURS}/"}, "not told", "not told"),
    "us in other letters": ({"context": OURS.upper()}, "not told", "not told"),
    "us with a line feed": ({"context": f"{OURS}\n"}, "another's", "not told"),
    "us with a blank": ({"account": f" {OURS}"}, "not told", "not told"),
    "a beginning of us": ({"context": OURS[:-1]}, "another's", "not told"),
    "a customer": ({"context": "cus_1"}, "not told", "not told"),
}


@pytest.mark.parametrize("of", [ENVELOPE, THIN], ids=["snapshot", "thin"])
@pytest.mark.parametrize("is_known", [True, False], ids=["id known", "id unknown"])
@pytest.mark.parametrize("name", CASES)
def test_each_name_of_an_account_has_one_answer(
    name: str, is_known: bool, of: dict[str, Any]
) -> None:
    fields, with_id, without = CASES[name]
    event = decode_event(body(of, **fields))
    ours = Account(OURS if is_known else None, False)
    expected = with_id if is_known else without
    if expected == "another's":
        with pytest.raises(WrongAccount):
            whose(event, ours)
    else:
        assert whose(event, ours) is Whose(expected)


@pytest.mark.parametrize("of", [ENVELOPE, THIN], ids=["snapshot", "thin"])
@pytest.mark.parametrize("known", [OURS, None])
@pytest.mark.parametrize("name", CASES)
def test_event_of_another_mode_is_never_ours(
    name: str, known: str | None, of: dict[str, Any]
) -> None:
    for livemode in (True, False):
        event = decode_event(body(of, **CASES[name][0], livemode=livemode))
        with pytest.raises(WrongAccount, match="mode"):
            whose(event, Account(known, not livemode))


@pytest.mark.parametrize("of", [ENVELOPE, THIN], ids=["snapshot", "thin"])
@pytest.mark.parametrize("field", ["account", "context"])
@pytest.mark.parametrize("value", [5, True, [], {}, [OURS], {"id": OURS}])
def test_name_that_is_no_word_makes_it_no_event(value: Any, field: str, of: dict[str, Any]) -> None:
    with pytest.raises(NotAnEvent):
        decode_event(body(of, **{field: value}))


@pytest.mark.parametrize("of", [ENVELOPE, THIN], ids=["snapshot", "thin"])
@pytest.mark.parametrize("field", ["account", "context"])
def test_what_the_strict_decoder_refuses_names_its_account_all_the_same(
    field: str, of: dict[str, Any]
) -> None:
    spoilt = json.dumps({**of, field: OTHER, "note": "\ud800"}).encode()
    with pytest.raises(WrongAccount):
        whose(decode_event(spoilt), Account(OURS, False))
