"""Whose an event is, end to end: nothing of a stranger is stored, and nothing of ours is lost."""

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import MAIN_ACCOUNT, OTHER_ACCOUNT, Control, StripeDouble
from tests.builders import Endpoint, reconcile, world
from tests.integration.witness import count, one

KEYS = ["sk_test_double", "rk_test_double"]
"""One that may read its account, and one that may not."""

NAMES: dict[str, Callable[[str], dict[str, object]]] = {
    "account": lambda account: {"account": account},
    "context": lambda account: {"context": account},
    "both": lambda account: {"account": account, "context": account},
    "path": lambda account: {"context": f"org_1Group/{account}"},
    "path and account": lambda account: {"account": account, "context": f"org_1Group/{account}"},
    "connected": lambda account: {"account": account, "context": f"acct_1Platform/{account}"},
}
ODD: dict[str, dict[str, object]] = {
    "organization": {"context": "org_1Group"},
    "nothing": {"context": ""},
}

TABLES = ("customers", "subscriptions", "subscription_items", "events", "changes")


@pytest.fixture(params=KEYS)
def endpoint(
    request: pytest.FixtureRequest, database_url: str, stripe_double: StripeDouble
) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double, key=request.param) as made:
        yield made


def bodies(control: Control, *, thin: bool, **names: object) -> list[bytes]:
    """A new customer's and its active subscription's events, naming an account."""
    before = len(control.events())
    control.create_subscription(customer=control.create_customer(email="who@example.com"))
    made = [one["id"] for one in control.events()[before:]]
    assert len(made) == 2
    return [
        json.dumps(
            {**json.loads((control.thin_body if thin else control.event_body)(name)), **names}
        ).encode()
        for name in made
    ]


@pytest.mark.parametrize("thin", [False, True], ids=["snapshot", "thin"])
@pytest.mark.parametrize("form", [*NAMES, *ODD])
def test_strangers_events_are_refused_and_nothing_of_them_is_stored(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    form: str,
    thin: bool,
) -> None:
    names = ODD[form] if form in ODD else NAMES[form](OTHER_ACCOUNT)
    stranger = stripe_double.control.realm(OTHER_ACCOUNT)
    for body in bodies(stranger, thin=thin, **names):
        answer = endpoint.post(body)
        assert (answer.status_code, answer.json) == (400, {"error": "wrong_account"})
    assert {table: count(connection, table) for table in TABLES} == dict.fromkeys(TABLES, 0)


@pytest.mark.parametrize("thin", [False, True], ids=["snapshot", "thin"])
@pytest.mark.parametrize("form", [*NAMES, *ODD])
def test_our_own_events_are_applied_however_they_name_us(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    form: str,
    thin: bool,
) -> None:
    names = ODD[form] if form in ODD else NAMES[form](MAIN_ACCOUNT)
    control = stripe_double.control
    for body in bodies(control, thin=thin, **names):
        assert endpoint.post(body).json == {"outcome": "applied"}
    rows = connection.execute("SELECT id, status FROM stripe.subscriptions").fetchall()
    assert rows == [(one["id"], one["status"]) for one in control.truths("subscription")]
    assert one(connection, "SELECT email FROM stripe.customers") == "who@example.com"
    # Whoever may read the account needs no question more for an account that is named.
    if endpoint.key == "sk_test_double" and form in NAMES and not thin:
        assert control.request_counts() == {"account.retrieve": 1}


def test_after_a_night_names_are_compared_without_a_question(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    control.create_customer()
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    assert one(connection, "SELECT id FROM stripe.account") == MAIN_ACCOUNT
    before = world(connection)
    control.clear_requests()
    with Endpoint(database_url, stripe_double, key="rk_test_double") as endpoint:
        for name in NAMES.values():
            for body in bodies(control.realm(OTHER_ACCOUNT), thin=False, **name(OTHER_ACCOUNT)):
                assert endpoint.post(body).status_code == 400
        assert world(connection) == before
        for name in NAMES.values():
            for body in bodies(control, thin=False, **name(MAIN_ACCOUNT)):
                assert endpoint.post(body).json == {"outcome": "applied"}
    assert control.request_counts() == {}


@pytest.mark.parametrize("key", KEYS)
def test_night_after_many_strangers_is_not_refused(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, key: str
) -> None:
    """21 rows of a stranger were one more than a night may mark as missing."""
    control = stripe_double.control
    control.create_subscription(customer=control.create_customer())
    with Endpoint(database_url, stripe_double, key=key) as endpoint:
        for _ in range(25):
            for body in bodies(
                control.realm(OTHER_ACCOUNT), thin=False, context=f"org_1/{OTHER_ACCOUNT}"
            ):
                assert endpoint.post(body).status_code == 400
    control.advance(3_600)
    for _ in range(2):
        report = reconcile(database_url, stripe_double, key=key, limit="10%")
        assert report.run.outcome is RunOutcome.SUCCESS
        assert count(connection, "subscriptions") == 1
        control.advance(86_400)


@pytest.mark.parametrize("spoil", ["unreadable", "without an id", "half a character"])
def test_strangers_event_that_cannot_be_read_is_not_kept_either(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection, spoil: str
) -> None:
    stranger = stripe_double.control.realm(OTHER_ACCOUNT)
    for body in bodies(stranger, thin=False, context=OTHER_ACCOUNT):
        bad = json.loads(body)
        if spoil == "unreadable":
            bad["data"]["object"]["created"] = "yesterday"
        elif spoil == "without an id":
            del bad["data"]["object"]["id"]
        else:
            bad["data"]["object"]["metadata"] = {"note": "\ud800"}
        assert endpoint.post(json.dumps(bad).encode()).status_code == 400
    assert count(connection, "events") == 0


def test_our_object_that_is_gone_is_failed_though_its_event_names_us(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """A key that may not read its account: the object tells nothing, the event does."""
    control = stripe_double.control
    name = control.emit_object(
        "customer.updated",
        {"id": "cus_1Gone", "object": "customer", "created": 5},
        extra={"context": MAIN_ACCOUNT},
    )
    with Endpoint(database_url, stripe_double, key="rk_test_double") as endpoint:
        assert endpoint.post(control.event_body(name)).json == {"outcome": "failed"}
    assert one(connection, "SELECT error FROM stripe.events") == "Stripe has no object cus_1Gone"


@pytest.mark.parametrize("thin", [False, True], ids=["snapshot", "thin"])
def test_type_of_no_interest_is_ignored_without_a_question(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, thin: bool
) -> None:
    control = stripe_double.control
    with Endpoint(database_url, stripe_double, key="rk_test_double") as endpoint:
        for body in bodies(control, thin=thin, context="acct_1Somebody"):
            other = json.loads(body) | {"type": "invoice.paid", "related_object": None}
            assert endpoint.post(json.dumps(other).encode()).json == {"outcome": "ignored"}
    assert control.request_counts().keys() <= {"account.retrieve"}
    assert count(connection, "events") == 0


def test_event_of_another_mode_than_key_claims_no_empty_database(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Else one event under a wrong key would make the database that key's for good."""
    for body in bodies(stripe_double.control.realm(livemode=True), thin=False):
        assert endpoint.post(body).status_code == 400
    assert count(connection, "account") == 0
