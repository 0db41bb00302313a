"""What the endpoint answers to what it should never be sent: the right status, nothing written."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble, sign
from shared.objects.nesting import MOST
from tests.builders import SECRET, Endpoint, world
from tests.integration.witness import count

CANARIES = ("canary@example.com", "canary-metadata", "whsec_", "sk_test_", "Canary Name")

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


@pytest.fixture
def good(stripe_double: StripeDouble) -> dict[str, Any]:
    """A subscription's event, full of what must never be repeated."""
    control = stripe_double.control
    customer = control.create_customer(email="canary@example.com", name="Canary Name")
    control.switch(expand_customer=True)
    control.create_subscription(customer=customer, metadata={"note": "canary-metadata"})
    made: dict[str, Any] = json.loads(control.event_body(control.events()[-1]["id"]))
    made["data"]["object"]["customer"] = {"id": customer, "email": "canary@example.com"}
    return made


def assert_silent(endpoint: Endpoint, *answers: str) -> None:
    """Neither log nor answers repeat what came in, or what is secret."""
    told = endpoint.lines.getvalue() + "".join(answers)
    assert [canary for canary in CANARIES if canary in told] == []


def test_body_that_stripe_did_not_sign_is_refused(
    endpoint: Endpoint,
    good: dict[str, Any],
    connection: psycopg.Connection,
    subtests: pytest.Subtests,
) -> None:
    """Forged, missing, stale, future-dated and downgraded signatures; a body made anew."""
    body = json.dumps(good, indent=2).encode()
    now = int(time.time())
    right = sign(body, SECRET, now)
    mac = right.partition("v1=")[2]
    cases = {
        "missing": (body, ""),
        "forged": (body, sign(body, "whsec_other", now)),
        "of another body": (body, sign(body + b" ", SECRET, now)),
        "serialised again": (json.dumps(good).encode(), right),
        "one byte changed": (body.replace(b"active", b"Active"), right),
        "stale": (body, sign(body, SECRET, now - 301)),
        "future": (body, sign(body, SECRET, now + 310)),
        "new time, old signature": (body, f"t={now + 1},v1={mac}"),
        "v0 only": (body, f"t={now},v0={mac}"),
        "no time": (body, f"v1={mac}"),
        "no v1": (body, f"t={now}"),
        "empty v1": (body, f"t={now},v1="),
        "two times": (body, f"t={now},t=1,v1={mac}"),
        "several, none right": (body, f"t={now},v1={'0' * 64},v1={'f' * 64}"),
        "not ASCII": (body, f"t={now},v1={mac},v1=\xe9"),
        "no signature at all": (body, "nonsense"),
        "endless": (body, f"t={now}," + "v1=0," * 1_500 + f"v1={mac}"),
    }
    before = world(connection)
    for name, (sent, signature) in cases.items():
        with subtests.test(name):
            answer = endpoint.post(sent, signature=signature)
            assert (answer.status_code, answer.json) == (400, {"error": "bad_signature"})
            assert endpoint.logged()[-1]["event"] == "event.refused"
            assert endpoint.logged()[-1]["error"].startswith("BadSignature")
    assert world(connection) == before
    assert_silent(endpoint)


def test_one_right_signature_of_several_is_enough(
    database_url: str,
    stripe_double: StripeDouble,
    good: dict[str, Any],
    connection: psycopg.Connection,
) -> None:
    """While a secret is rolled Stripe signs with both, and we may know either or both."""
    now = int(time.time())
    with Endpoint(database_url, stripe_double, secrets=("whsec_new", "whsec_old")) as endpoint:
        for number, signers in enumerate(
            (["whsec_old"], ["whsec_new"], ["whsec_gone", "whsec_new"])
        ):
            good["id"] = f"evt_{number}"
            body = json.dumps(good).encode()
            macs = [sign(body, secret, now).partition("v1=")[2] for secret in signers]
            header = f"t={now},v0=abc," + ",".join(f"v1={mac}" for mac in macs)
            assert endpoint.post(body, signature=header).status_code == 200
    assert count(connection, "events") == 3


def test_signed_body_that_is_no_event_is_refused(
    endpoint: Endpoint,
    good: dict[str, Any],
    connection: psycopg.Connection,
    subtests: pytest.Subtests,
) -> None:
    """Not JSON; JSON that is no event; an id or a time that no event of Stripe's can have."""
    whole = json.dumps(good).encode()

    def without(name: str) -> bytes:
        return json.dumps({key: value for key, value in good.items() if key != name}).encode()

    cases = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "text": b"hello",
        "null": b"null",
        "number": b"1",
        "list": b"[" + whole + b"]",
        "no field": b"{}",
        "two in one": whole + whole,
        "deep list": b"[" * 100_000,
        "deep object": b'{"a":' * 100_000,
        "without id": without("id"),
        "without type": without("type"),
        "without created": without("created"),
        "without livemode": without("livemode"),
        "another object": json.dumps({**good, "object": "customer"}).encode(),
        "id empty": json.dumps({**good, "id": ""}).encode(),
        "id of 256": json.dumps({**good, "id": "evt_" + "x" * 252}).encode(),
        "id with NUL": json.dumps({**good, "id": "evt_\0"}).encode(),
        "id a number": json.dumps({**good, "id": 5}).encode(),
        "type with NUL": json.dumps({**good, "type": "a\0"}).encode(),
        "created before time": json.dumps({**good, "created": -1}).encode(),
        "created in 10000": json.dumps({**good, "created": 253_402_300_800}).encode(),
        "created beyond 64 bits": json.dumps({**good, "created": 2**70}).encode(),
        "created no number": json.dumps({**good, "created": "today"}).encode(),
        "livemode no boolean": json.dumps({**good, "livemode": "true"}).encode(),
    }
    before = world(connection)
    for name, body in cases.items():
        with subtests.test(name):
            answer = endpoint.post(body)
            assert (answer.status_code, answer.json) == (400, {"error": "not_an_event"})
            assert endpoint.logged()[-1]["event"] == "event.refused"
    for name, body in {"latin 1": "\xe9".encode("latin-1"), "not UTF-8": b"\xff\xfe{}"}.items():
        with subtests.test(name):
            assert endpoint.post(body).status_code == 400
    assert world(connection) == before
    assert_silent(endpoint)


def test_object_that_cannot_be_kept_fails_and_is_kept_for_another_try(
    endpoint: Endpoint,
    good: dict[str, Any],
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    subtests: pytest.Subtests,
) -> None:
    """200 and one failed ledger row with the bytes as they came; not a trace anywhere else.

    Of an object that Stripe has not, or that cannot be asked for: else its answer counts.
    """

    def on(**fields: Any) -> Change:
        return lambda body: body["data"]["object"].update(fields)

    def item(**fields: Any) -> Change:
        return lambda body: body["data"]["object"]["items"]["data"][0].update(fields)

    cases: dict[str, Change] = {
        "without data": lambda body: body.pop("data"),
        "without object": lambda body: body["data"].pop("object"),
        "object null": lambda body: body["data"].update(object=None),
        "object a string": lambda body: body["data"].update(object="sub_1"),
        "object without id": lambda body: body["data"]["object"].pop("id"),
        "id of 256": on(id="sub_" + "x" * 252),
        "id empty": on(id=""),
        "id with NUL": on(id="sub_\0"),
        "id with a blank": on(id="sub_ 1"),
        "customer of 10000": on(customer="c" * 10_000),
        "customer a number": on(customer=5),
        "status missing": lambda body: body["data"]["object"].pop("status"),
        "NUL in metadata": on(metadata={"canary-metadata": "a\0b"}),
        "NUL in a key": on(metadata={"a\0": "canary-metadata"}),
        "NUL in a status": on(status="act\0ive"),
        "NUL in JSON": on(pause_collection={"behavior": "\0"}),
        "lone surrogate": on(metadata={"note": "canary-metadata \ud83d"}),
        "lone surrogate in a key": on(metadata={"\udc00": "canary-metadata"}),
        "number beyond 64 bits": on(days_until_due=2**64),
        "number just beyond": on(days_until_due=2**63),
        "number far below": on(days_until_due=-(2**80)),
        "quantity beyond 64 bits": item(quantity=10**30),
        "amount no number": lambda body: body["data"]["object"]["items"]["data"][0]["price"].update(
            unit_amount_decimal="canary-metadata"
        ),
        "time beyond the calendar": on(cancel_at=10**15),
        "time beyond 64 bits": on(cancel_at=10**20),
        "time before the calendar": on(cancel_at=-(10**15)),
        "fraction": on(days_until_due=1.5),
        "two items of one id": lambda body: body["data"]["object"]["items"]["data"].append(
            body["data"]["object"]["items"]["data"][0]
        ),
        "item without price": item(price=None),
    }
    before = world(connection, "events", "account")
    for name, change in cases.items():
        with subtests.test(name):
            bad = deepcopy(good)
            gone = {"id": "sub_1Gone", "object": "subscription"}
            bad["id"] = stripe_double.control.emit_object("customer.subscription.updated", gone)
            bad["data"]["object"]["id"] = "sub_1Gone"
            change(bad)
            body = json.dumps(bad).encode()
            answer = endpoint.post(body)
            assert (answer.status_code, answer.json) == (200, {"outcome": "failed"})
            line = endpoint.logged()[-1]
            assert (line["event"], line["level"]) == ("event.failed", "error")
            assert line["event_id"] == bad["id"]
            kept = connection.execute(
                "SELECT outcome, payload, error FROM stripe.events WHERE id = %s", (bad["id"],)
            ).fetchone()
            assert kept is not None
            assert (kept[0], kept[1]) == ("failed", body)
            reasons = kept[2].split(", and ")
            assert len(reasons) == len(set(reasons)), kept[2]
            assert_silent(endpoint, answer.text, kept[2])
    assert world(connection, "events", "account") == before
    good["id"] = "evt_good"
    assert endpoint.post(json.dumps(good).encode()).json == {"outcome": "applied"}


# Where a value lies, and how many levels lie around it.
PLACES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str, int]] = {
    "a column": (lambda body: body["data"]["object"], "pause_collection", 3),
    "unknown to us": (lambda body: body["data"]["object"], "unknown", 3),
    "an item": (lambda body: body["data"]["object"]["items"]["data"][0], "unknown", 6),
    "the envelope": (lambda body: body, "request", 1),
}
# What opens some levels, how many they are, and what closes them.
NESTS = [("[", 1, "]"), ('{"a":', 1, "}"), ('[{"]}":', 2, "}]"), ('["\\\\\\"[{",', 1, "]")]
DEPTHS = (10, MOST - 1, MOST, MOST + 1, MOST + 2, 300, 500, 800, 1_000, 3_000, 50_000)


def test_json_nested_beyond_our_own_bound_fails_the_same_on_every_interpreter(
    endpoint: Endpoint,
    good: dict[str, Any],
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """Of an object that Stripe has not: else its answer would count."""
    gone = {"id": "sub_1Gone", "object": "subscription"}
    good["data"]["object"]["id"] = gone["id"]
    cases = itertools.product(PLACES.values(), NESTS, DEPTHS)
    for number, ((within, name, around), (opening, levels, closing), depth) in enumerate(cases):
        body = deepcopy(good)
        name_of_event = stripe_double.control.emit_object("customer.subscription.updated", gone)
        body.update(id=name_of_event, created=good["created"] + number)
        within(body)[name] = "\0"
        times = (depth - around) // levels
        nested = opening * times + "null" + closing * times
        whole = json.dumps(body).replace('"\\u0000"', nested).encode()
        answer = endpoint.post(whole)
        assert answer.status_code == 200
        has_failed = answer.json == {"outcome": "failed"}
        assert has_failed == (around + times * levels > MOST), (name, opening, depth)
        row = connection.execute(
            "SELECT payload FROM stripe.events WHERE id = %s", (body["id"],)
        ).fetchone()
        assert row == (whole,)
