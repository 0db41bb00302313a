"""Only what Stripe signed, for us and just now, is let through; only BadSignature ever escapes."""

import hashlib
import hmac
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadSignature
from shared.setting_readers import Secret
from webhook.signature import MAX_HEADER, MAX_PARTS, verify

NOW = 1_790_000_000
TOLERANCE = 300
CURRENT = Secret("whsec_current")
BODY = b'{"id": "evt_1", "object": "event"}'


def signature(body: bytes = BODY, time: int = NOW, secret: Secret = CURRENT) -> str:
    signed = str(time).encode() + b"." + body
    return hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest()


def header(body: bytes = BODY, time: int = NOW, secret: Secret = CURRENT) -> str:
    return f"t={time},v1={signature(body, time, secret)}"


def reason(
    sent: str | None, body: bytes = BODY, secrets: tuple[Secret, ...] = (CURRENT,)
) -> str | None:
    """Why it is refused, None when it is let through."""
    try:
        verify(body, sent, secrets, TOLERANCE, lambda: NOW)
    except BadSignature as refusal:
        return refusal.reason
    return None


def test_signed_body_is_let_through() -> None:
    assert reason(header()) is None


def test_any_of_several_v1_is_enough() -> None:
    assert reason(f"t={NOW},v1={'0' * 64},v1={signature()},v1={'f' * 64}") is None


def test_both_secrets_are_good_while_one_is_rolled() -> None:
    new = Secret("whsec_new")
    for secret in (CURRENT, new):
        assert reason(header(secret=secret), secrets=(new, CURRENT)) is None
    assert reason(header(secret=Secret("whsec_older")), secrets=(new, CURRENT)) == "forged"


def test_unknown_schemes_beside_v1_are_ignored() -> None:
    assert reason(f"t={NOW},v0=abc,v2=def,v1={signature()},x=y") is None


def test_v0_alone_is_refused() -> None:
    assert reason(f"t={NOW},v0={signature()}") == "without v1"


@pytest.mark.parametrize("sent", [None, ""])
def test_missing_header_is_refused(sent: str | None) -> None:
    assert reason(sent) == "missing"


def test_forged_signature_is_refused() -> None:
    assert reason(f"t={NOW},v1={'0' * 64}") == "forged"
    assert reason(header(secret=Secret("whsec_somebody"))) == "forged"
    assert reason(header(), body=BODY + b" ") == "forged"


def test_timestamp_is_signed_too() -> None:
    assert reason(f"t={NOW},v1={signature(time=NOW - 10_000)}") == "forged"


def test_no_secret_lets_nothing_through() -> None:
    assert reason(header(), secrets=()) == "forged"


@pytest.mark.parametrize(
    "age, expected",
    [(300, None), (301, "too old"), (-300, None), (-301, "in the future"), (10**6, "too old")],
)
def test_time_beyond_the_tolerance_is_refused_on_either_side(
    age: int, expected: str | None
) -> None:
    assert reason(header(time=NOW - age)) == expected


def test_body_serialised_anew_is_refused() -> None:
    again = json.dumps(json.loads(BODY), separators=(",", ":")).encode()
    assert json.loads(again) == json.loads(BODY)
    assert reason(header(), body=again) == "forged"


def test_empty_body_is_checked_like_any_other() -> None:
    assert reason(header(b""), body=b"") is None
    assert reason(header(), body=b"") == "forged"


def test_body_that_is_not_utf8_is_refused() -> None:
    assert reason(header(b"\xff\xfe"), body=b"\xff\xfe") == "over a body that is not UTF-8"


def test_nul_characters_and_escaped_surrogates_are_let_through() -> None:
    body = b'{"id": "evt_1", "name": "\\ud800\\u0000 \x00"}'
    assert reason(header(body), body=body) is None


@pytest.mark.parametrize(
    "sent",
    [
        "nonsense",
        "t",
        "t=",
        "v1=abc",
        f"v1={signature()}",
        f"t=now,v1={signature()}",
        f"t=-1,v1={signature()}",
        f"t=1.5,v1={signature()}",
        f"t= {NOW},v1={signature()}",
        f"t={'9' * 4_000},v1={signature()}",
        f"t={NOW},v1",
        f"t={NOW},t={NOW},v1={signature()}",
        f"t={NOW}, t=1,v1={signature()}",
        f"t=٣,v1={signature()}",
        f"t={NOW},v1=é",
        f"t={NOW},v1={signature()},\ud800",
        f"t={NOW},v1={signature()}" + ",v1=0" * MAX_PARTS,
        f"t={NOW},v1={signature()}," + "x" * MAX_HEADER,
    ],
)
def test_malformed_header_is_refused(sent: str) -> None:
    assert reason(sent) in {"malformed", "without v1", "forged"}


def test_header_of_the_largest_size_is_still_read() -> None:
    filler = ",v1=0" * (MAX_PARTS - 2)
    assert reason(header() + filler) is None
    assert reason(header() + filler + ",v1=0") == "malformed"


JUNK = st.text(alphabet=st.sampled_from("tv01=, \x00\xe9\ud800٣-+_."), max_size=60) | st.text()


@given(sent=st.none() | JUNK, body=st.binary(max_size=50))
def test_junk_is_refused_with_nothing_but_bad_signature(sent: str | None, body: bytes) -> None:
    assert reason(sent, body) is not None


@given(position=st.integers(min_value=0), character=st.characters())
def test_one_character_changed_in_the_signature_is_refused(position: int, character: str) -> None:
    good = signature()
    at = position % len(good)
    changed = good[:at] + character + good[at + 1 :]
    if changed != good:
        assert reason(f"t={NOW},v1={changed}") is not None


@given(sent=JUNK)
def test_junk_after_a_good_signature_never_raises_anything_else(sent: str) -> None:
    with suppress(BadSignature):
        verify(BODY, f"{header()},{sent}", (CURRENT,), TOLERANCE, lambda: NOW)
