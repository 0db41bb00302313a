"""What looks odd and is right all the same, what is not for us, and what is too large."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble
from tests.builders import Endpoint, event, world
from tests.integration.witness import one


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


@pytest.fixture
def good(stripe_double: StripeDouble) -> dict[str, Any]:
    control = stripe_double.control
    control.create_subscription(metadata={"note": "canary-metadata"})
    made: dict[str, Any] = json.loads(control.event_body(control.events()[-1]["id"]))
    return made


def test_odd_values_that_stripe_may_send_are_kept_as_they_are(
    endpoint: Endpoint, good: dict[str, Any], connection: psycopg.Connection
) -> None:
    """Ids of 255 characters, the year 9999, 63 bits, Unicode, unknown fields, an id expanded."""
    body = good["data"]["object"]
    body["id"] = "sub_" + "Aa_9" * 62 + "xyz"
    body["customer"] = {"id": "cus_" + "z" * 251, "object": "customer", "email": "a@example.com"}
    body["cancel_at"] = 253_402_300_799
    body["days_until_due"] = 2**63 - 1
    body["metadata"] = {
        "emoji 😀": "ümläut \u2028 \\ \" '; DROP TABLE",
        "": "",
        "a" * 40: "b" * 500,
    }
    body["pause_collection"] = {"behavior": "void", "resumes_at": None, "new": [1, 2.5, {"a": {}}]}
    body["something_new"] = {"deep": [{"er": None}]}
    good["id"] = "evt_" + "e" * 251
    good["created"] = 253_402_300_798
    sent = json.dumps(good, ensure_ascii=False).encode()
    assert endpoint.post(sent).json == {"outcome": "applied"}
    row = connection.execute(
        """
        SELECT id, customer_id, extract(epoch FROM cancel_at)::bigint, days_until_due, metadata,
            pause_collection, extract(epoch FROM upper(as_of))::bigint
        FROM stripe.subscriptions
        """
    ).fetchone()
    assert row == (
        body["id"],
        body["customer"]["id"],
        body["cancel_at"],
        body["days_until_due"],
        body["metadata"],
        body["pause_collection"],
        253_402_300_798,
    )
    assert one(connection, "SELECT payload FROM stripe.events") == sent
    assert endpoint.post(sent).json == {"outcome": "duplicate"}
    # Read back and compared, it is the same.
    good["id"] = "evt_again"
    assert endpoint.post(json.dumps(good).encode()).json == {"outcome": "unchanged"}


def test_event_that_is_not_ours_is_refused_and_one_of_no_interest_ignored(
    endpoint: Endpoint,
    good: dict[str, Any],
    connection: psycopg.Connection,
    subtests: pytest.Subtests,
) -> None:
    """Other mode, a connected account, an unknown type: nothing written, whatever is in it."""
    endpoint.post(event("customer.created", {"id": "cus_first", "object": "customer"}))
    before = world(connection)
    refused = (400, {"error": "wrong_account"})
    ignored = (200, {"outcome": "ignored"})
    cases = {
        "other mode": ({**good, "livemode": True}, refused),
        "connected account": ({**good, "account": "acct_1Connected"}, refused),
        "both": ({**good, "livemode": True, "account": "acct_1Connected"}, refused),
        "unknown type": ({**good, "type": "customer.subscription.hibernated"}, ignored),
        "other type": ({**good, "type": "invoice.paid"}, ignored),
        "other type, no object": ({**good, "type": "invoice.paid", "data": {}}, ignored),
        "other type, other mode": ({**good, "type": "invoice.paid", "livemode": True}, refused),
    }
    for name, (body, expected) in cases.items():
        with subtests.test(name):
            answer = endpoint.post(json.dumps(body).encode())
            assert (answer.status_code, answer.json) == expected
    assert world(connection) == before
    assert "canary" not in endpoint.lines.getvalue()


def test_body_at_the_limit_is_taken_and_one_byte_more_is_not(
    endpoint: Endpoint, good: dict[str, Any], connection: psycopg.Connection
) -> None:
    """1 MB is an event like any other."""
    before = world(connection)
    bare = json.dumps(good).encode()
    padding = endpoint.max_body_bytes - len(bare)
    answer = endpoint.post(bare + b" " * (padding + 1))
    assert (answer.status_code, answer.json) == (413, {"error": "too_large"})
    assert world(connection) == before
    good["data"]["object"]["metadata"] = {"note": "x" * 1_000_000}
    large = json.dumps(good).encode()
    assert endpoint.post(large).json == {"outcome": "applied"}
    assert one(connection, "SELECT length(payload) FROM stripe.events") == len(large)
    assert one(connection, "SELECT length(metadata->>'note') FROM stripe.subscriptions") == 10**6
    good["id"] = "evt_2"
    body = json.dumps(good).encode()
    assert endpoint.post(body.ljust(endpoint.max_body_bytes)).json == {"outcome": "unchanged"}
