"""Customers that are Accounts of Stripe's second API: nothing of theirs fails, nothing is lost."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from tests.builders import Endpoint, reconcile, world
from tests.integration.witness import count, one

ACCOUNT = "acct_1Customer"
OWNER = "SELECT customer_id, customer_account FROM stripe.subscriptions"

FORMS: dict[str, tuple[dict[str, Any], tuple[str | None, str | None]]] = {
    "a customer": ({"customer": "cus_1"}, ("cus_1", None)),
    "a customer, no account": (
        {"customer": "cus_1", "customer_account": None},
        ("cus_1", None),
    ),
    "both": ({"customer": "cus_1", "customer_account": ACCOUNT}, ("cus_1", ACCOUNT)),
    "an account alone": ({"customer": None, "customer_account": ACCOUNT}, (None, ACCOUNT)),
    "both expanded": (
        {
            "customer": {"id": "cus_1", "object": "customer"},
            "customer_account": {"id": ACCOUNT, "object": "v2.core.account"},
        },
        ("cus_1", ACCOUNT),
    ),
}


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


def owned(control: Control, fields: dict[str, Any]) -> bytes:
    """A subscription that Stripe itself shows with these owners, and its event."""
    extra = {name: value for name, value in fields.items() if name != "customer"}
    name = control.create_subscription(customer="cus_1", events=1, **extra)
    body = json.loads(control.event_body(control.events()[-1]["id"]))
    assert body["data"]["object"]["id"] == name
    body["data"]["object"] |= fields
    return json.dumps(body).encode()


@pytest.mark.parametrize("form", FORMS)
def test_subscription_keeps_whoever_owns_it(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection, form: str
) -> None:
    fields, expected = FORMS[form]
    body = owned(stripe_double.control, fields)
    assert endpoint.post(body).json == {"outcome": "applied"}
    assert connection.execute(OWNER).fetchall() == [expected]
    assert endpoint.post(body).json == {"outcome": "duplicate"}
    assert count(connection, "changes", "fields ? 'customer_account'") == int(bool(expected[1]))


@pytest.mark.parametrize(
    "fields", [{"customer": None, "customer_account": None}, {"customer": None}]
)
def test_subscription_that_names_no_owner_is_asked_for(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    fields: dict[str, Any],
) -> None:
    """A body from before `customer_account` leaves it out; the pinned version has it."""
    control = stripe_double.control
    control.create_subscription(customer="cus_1", customer_account=ACCOUNT)
    body = json.loads(control.event_body(control.events()[-1]["id"]))
    del body["data"]["object"]["customer_account"]
    body["data"]["object"] |= fields
    assert endpoint.post(json.dumps(body).encode()).json == {"outcome": "applied"}
    assert connection.execute(OWNER).fetchall() == [("cus_1", ACCOUNT)]


def test_event_that_leaves_the_account_out_does_not_empty_it(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    name = control.create_subscription(customer="cus_1", customer_account=ACCOUNT)
    assert endpoint.post(control.event_body(control.events()[-1]["id"])).status_code == 200
    control.advance(60)
    control.update_subscription(name, metadata={"a": "1"})
    body = json.loads(control.event_body(control.events()[-1]["id"]))
    del body["data"]["object"]["customer_account"]
    assert endpoint.post(json.dumps(body).encode()).json == {"outcome": "applied"}
    assert connection.execute(OWNER).fetchall() == [("cus_1", ACCOUNT)]
    assert one(connection, "SELECT metadata ->> 'a' FROM stripe.subscriptions") == "1"


def test_rows_from_before_the_column_are_filled_by_one_night_whatever_their_number(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """As after the migration, or when Stripe gave the field to all: every row differs."""
    control = stripe_double.control
    number = 60
    for place in range(number):
        control.create_subscription(customer=f"cus_{place}", customer_account=f"acct_{place}")
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    for _ in range(2):
        control.advance(86_400)
        assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    connection.execute("UPDATE stripe.subscriptions SET customer_account = NULL")
    control.advance(86_400)
    report = reconcile(database_url, stripe_double, limit="10%")
    assert report.run.outcome is RunOutcome.SUCCESS
    assert {row.consequence for row in report.drift()} == {"cosmetic"}
    rows = connection.execute("SELECT customer_id, customer_account FROM stripe.subscriptions")
    assert sorted(rows) == sorted((f"cus_{place}", f"acct_{place}") for place in range(number))
    control.advance(86_400)
    assert list(reconcile(database_url, stripe_double).drift()) == []


def test_values_that_are_not_empty_are_held_against_the_limit_as_ever(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    for place in range(60):
        control.create_subscription(customer=f"cus_{place}", customer_account=f"acct_{place}")
    control.advance(3_600)
    reconcile(database_url, stripe_double)
    connection.execute("UPDATE stripe.subscriptions SET customer_account = 'acct_wrong'")
    control.advance(86_400)
    before = world(connection, "runs", "drifts", "events")
    report = reconcile(database_url, stripe_double, limit="10%")
    assert report.run.outcome is RunOutcome.REFUSED
    assert world(connection, "runs", "drifts", "events") == before


@pytest.mark.parametrize(
    "kind",
    [
        "v2.core.account.created",
        "v2.core.account.updated",
        "v2.core.account.closed",
        "v2.core.account[identity].updated",
        "v2.core.account[configuration.customer].updated",
        "v2.core.account[configuration.customer].capability_status_updated",
        "v2.core.account_person.created",
    ],
)
@pytest.mark.parametrize("context", [None, "acct_1Somebody", "org_1/acct_1Double000000"])
def test_events_of_accounts_are_ignored_and_never_failed(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    kind: str,
    context: str | None,
) -> None:
    body = {
        "id": "evt_65Account",
        "object": "v2.core.event",
        "type": kind,
        "created": "2026-09-21T12:00:00.000Z",
        "livemode": False,
        "context": context,
        "reason": None,
        "related_object": {
            "id": ACCOUNT,
            "type": "v2.core.account",
            "url": f"/v2/core/accounts/{ACCOUNT}",
        },
    }
    with Endpoint(database_url, stripe_double, key="rk_test_double") as endpoint:
        answer = endpoint.post(json.dumps(body).encode())
        assert (answer.status_code, answer.json) == (200, {"outcome": "ignored"})
        assert endpoint.logged()[-1]["level"] == "info"
    assert count(connection, "events") == 0
    assert stripe_double.control.request_counts().keys() <= {"account.retrieve"}


def test_access_is_found_by_either_name_of_the_owner_through_an_index(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    body = owned(stripe_double.control, {"customer": None, "customer_account": ACCOUNT})
    assert endpoint.post(body).status_code == 200
    query = f"{OWNER} WHERE customer_account = '{ACCOUNT}' AND status IN ('active', 'trialing')"
    assert connection.execute(query).fetchall() == [(None, ACCOUNT)]
    connection.execute("SET enable_seqscan = off")
    plan = connection.execute(f"EXPLAIN {query}").fetchall()
    assert any("subscriptions_customer_account_idx" in line[0] for line in plan)
