"""Any body at all, through the whole application to a real database: never a 5xx for a body."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from sandbox.stripe_double import StripeDouble
from shared.objects.subscription import SUBSCRIPTION
from tests.builders import Endpoint, event
from tests.integration.witness import count
from tests.unit.test_fuzz_targets import JSON, mutated

NASTY = st.sampled_from(
    [
        2**63,
        2**64,
        -(2**63) - 1,
        10**400,
        1e308,
        253_402_300_800,
        -(10**15),
        "\x00",
        "\ud800",
        "x" * 100_000,
        "1" * 50,
        {"a": "\x00"},
        {"\x00": "a"},
        {"k" * 5_000: "v"},
        [[[[[]]]]],
        {"id": "x" * 5_000},
    ]
)
FIELDS = [*(column.source for column in SUBSCRIPTION.columns), "items", "discount"]


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


def strays(connection: psycopg.Connection) -> int:
    """Changes of objects that are not there: half of a write."""
    there = "SELECT id FROM stripe.subscriptions UNION SELECT id FROM stripe.customers"
    return count(connection, "changes", f"object_id NOT IN ({there})")


def is_answered(answer: TestResponse) -> bool:
    """Whether nothing broke: of a made-up event and object another key may know more."""
    return answer.status_code in {200, 400} or answer.json == {"error": "wrong_key"}


def test_no_body_is_answered_with_a_5xx(endpoint: Endpoint, connection: psycopg.Connection) -> None:
    @given(body=mutated() | JSON.map(lambda value: json.dumps(value).encode()))
    @settings(max_examples=250, suppress_health_check=list(HealthCheck))
    def post(body: bytes) -> None:
        answer = endpoint.post(body)
        assert is_answered(answer), answer.data

    post()
    assert strays(connection) == 0


@pytest.mark.parametrize("place", ["subscription", "item", "price", "envelope"])
def test_no_value_of_any_field_is_answered_with_a_5xx(
    endpoint: Endpoint, stripe_double: StripeDouble, place: str, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    control.create_subscription(customer=control.create_customer(events=0))
    whole = control.event_body(control.events()[-1]["id"])
    names = {
        "subscription": FIELDS,
        "item": ["id", "quantity", "metadata", "price", "created", "current_period_end"],
        "price": ["id", "product", "unit_amount", "unit_amount_decimal", "currency", "recurring"],
        "envelope": ["id", "type", "created", "livemode", "account", "api_version", "data"],
    }[place]

    @given(name=st.sampled_from(names), value=NASTY, number=st.integers(0, 10**9))
    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    def post(name: str, value: object, number: int) -> None:
        made = json.loads(whole)
        made["id"] = f"evt_{number}"
        made["created"] += number % 1_000
        carried = made["data"]["object"]
        item = carried["items"]["data"][0]
        inner = {
            "subscription": carried,
            "item": item,
            "price": item["price"],
            "envelope": made,
        }[place]
        inner[name] = value
        answer = endpoint.post(json.dumps(made).encode())
        assert is_answered(answer), (name, value)

    post()
    assert strays(connection) == 0


@pytest.mark.parametrize("depth", [100, 900, 5_000, 100_000])
def test_nesting_beyond_measure_is_kept_or_refused(endpoint: Endpoint, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    body = event("customer.subscription.updated", {"id": "sub_1", "pause_collection": "DEEP"})
    assert is_answered(endpoint.post(body.replace(b'"DEEP"', deep)))
