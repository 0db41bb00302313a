"""A webhook with the key of another account or mode: what needs a question is not answered 2xx."""

import json
from collections.abc import Callable

import psycopg
import pytest

from sandbox.stripe_double import MAIN_ACCOUNT, Control, StripeDouble
from tests.builders import Endpoint, event, world
from tests.integration.witness import count, one

WRONG = ["sk_test_other", "rk_test_other", "sk_live_double", "sk_live_other"]
RIGHT = ["sk_test_double", "rk_test_double"]

Question = Callable[[Control], bytes]


def thin(control: Control) -> bytes:
    control.create_subscription(customer=control.create_customer())
    return control.thin_body(control.events()[-1]["id"])


def thin_without_a_twin(control: Control) -> bytes:
    return json.dumps({**json.loads(thin(control)), "snapshot_event": None}).encode()


def same_second(control: Control) -> bytes:
    name = control.create_subscription(customer=control.create_customer())
    control.advance(60)
    control.update_subscription(name, metadata={"a": "1"})
    control.update_subscription(name, metadata={"a": "2"})
    return control.event_body(control.events()[-1]["id"])


def many_items(control: Control) -> bytes:
    items = [{"price": "basic"}] * 12
    control.create_subscription(customer=control.create_customer(), items=items)
    return control.event_body(control.events()[-1]["id"])


def unreadable(control: Control) -> bytes:
    control.create_subscription(customer=control.create_customer())
    body = json.loads(control.event_body(control.events()[-1]["id"]))
    del body["data"]["object"]["items"]["data"][0]["price"]
    return json.dumps(body).encode()


def half_a_character(control: Control) -> bytes:
    control.create_customer()
    body = json.loads(control.event_body(control.events()[-1]["id"]))
    body["data"]["object"]["name"] = "\ud800"
    return json.dumps(body).encode()


def named_after_us(control: Control) -> bytes:
    control.create_customer()
    body = json.loads(control.event_body(control.events()[-1]["id"]))
    return json.dumps({**body, "context": "org_1Group"}).encode()


QUESTIONS: list[Question] = [
    thin,
    thin_without_a_twin,
    same_second,
    many_items,
    unreadable,
    half_a_character,
    named_after_us,
]


UNREADABLE = (unreadable, half_a_character)


def enter_account(connection: psycopg.Connection) -> None:
    """Enter whose the database is, as the first nightly run does."""
    connection.execute(
        """
        INSERT INTO stripe.account (id, livemode) VALUES (%s, false)
        ON CONFLICT (singleton) DO UPDATE SET id = EXCLUDED.id
        """,
        (MAIN_ACCOUNT,),
    )


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("key", WRONG)
@pytest.mark.parametrize("question", QUESTIONS)
def test_event_that_the_wrong_key_cannot_ask_for_is_sent_again_and_applied_with_the_right_one(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    question: Question,
    key: str,
    is_known: bool,
) -> None:
    """Where our account is not known yet, one that nobody can read is kept for the night."""
    control = stripe_double.control
    control.create_customer(email="first@example.com")
    is_kept = question in UNREADABLE and not is_known and "_test_" in key
    with Endpoint(database_url, stripe_double) as right:
        first = control.event_body(control.events()[-1]["id"])
        assert right.post(first).json == {"outcome": "applied"}
        asked = len(control.events())
        body = question(control)
        if question is same_second:
            earlier = control.event_body(control.events()[asked + 2]["id"])
            assert right.post(earlier).json == {"outcome": "applied"}
    if is_known:
        enter_account(connection)
    before = world(connection, "events")
    with Endpoint(database_url, stripe_double, key=key) as wrong:
        answer = wrong.post(body)
        if is_kept:
            assert answer.json == {"outcome": "failed"}
        elif question is named_after_us and "_test_" in key:
            assert answer.status_code == 400
        else:
            assert (answer.status_code, answer.json) == (503, {"error": "wrong_key"})
            assert int(answer.headers["Retry-After"]) > 0
            line = wrong.logged()[-1]
            assert (line["event"], line["level"]) == ("event.postponed", "error")
            assert "set the key of the account" in line["error"].lower()
            assert "STRIPE_SECRET_KEY" in line["error"]
            assert key not in wrong.lines.getvalue()
    assert world(connection, "events") == before
    assert count(connection, "events", "outcome = 'failed'") == int(is_kept)
    for good in RIGHT:
        with Endpoint(database_url, stripe_double, key=good) as right:
            assert right.post(body).json in ({"outcome": "applied"}, {"outcome": "duplicate"})
    assert count(connection, "events", "outcome = 'failed'") == 0


@pytest.mark.parametrize("key", WRONG)
def test_what_needs_no_question_is_applied_under_any_key(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, key: str
) -> None:
    control = stripe_double.control
    first, second = (control.create_customer() for _ in range(2))
    with Endpoint(database_url, stripe_double) as right:
        assert right.post(control.event_body(control.events()[0]["id"])).status_code == 200
    with Endpoint(database_url, stripe_double, key=key) as wrong:
        assert wrong.post(control.event_body(control.events()[1]["id"])).status_code == 200
    rows = connection.execute("SELECT id FROM stripe.customers").fetchall()
    assert sorted(rows) == sorted([(first,), (second,)])


@pytest.mark.parametrize("thin", [False, True], ids=["snapshot", "thin"])
def test_object_that_is_gone_is_failed_where_the_key_knows_its_event(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, thin: bool
) -> None:
    """Test data can be deleted; then 404 is the truth, and it costs one request more to know it."""
    control = stripe_double.control
    name = control.emit_object("customer.updated", {"id": "cus_1Gone", "object": "customer"})
    body = control.event_body(name)
    if thin:
        made = json.loads(control.thin_body(name))
        body = json.dumps({**made, "snapshot_event": None}).encode()
    else:
        body = body.replace(b'"cus_1Gone"', b'"cus_1Gone", "email": 5')
    enter_account(connection)
    with Endpoint(database_url, stripe_double, key="rk_test_double") as endpoint:
        assert endpoint.post(body).json == {"outcome": "failed"}
    assert "Stripe has no object cus_1Gone" in one(connection, "SELECT error FROM stripe.events")
    assert sorted(control.request_counts()) == sorted(
        [
            "account.retrieve",
            "customers.retrieve",
            "thin_events.retrieve" if thin else "events.retrieve",
        ]
    )
    assert sum(control.request_counts().values()) == 3


def test_object_that_is_gone_is_failed_where_its_event_is_too_old_to_be_asked_for(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    name = control.emit_object("customer.updated", {"id": "cus_1Gone", "email": 5})
    body = control.event_body(name)
    enter_account(connection)
    with Endpoint(database_url, stripe_double, key="rk_test_other") as endpoint:
        control.advance(30 * 86_400 - 60)
        assert endpoint.post(body).status_code == 503
        control.advance(120)
        assert endpoint.post(body).json == {"outcome": "failed"}
    assert count(connection, "events", "payload IS NOT NULL") == 1


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_event_is_sent_again_where_nobody_can_say_whether_its_object_is_gone(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, status: int
) -> None:
    control = stripe_double.control
    name = control.emit_object("customer.updated", {"id": "cus_1Gone", "email": 5})
    control.fault("status", endpoint="events.retrieve", status=status, count=None)
    enter_account(connection)
    with Endpoint(database_url, stripe_double, key="rk_test_double") as endpoint:
        assert endpoint.post(control.event_body(name)).status_code == 503
        assert count(connection, "events") == 0
        control.clear_faults()
        assert endpoint.post(control.event_body(name)).json == {"outcome": "failed"}


@pytest.mark.parametrize("age", [0, 40 * 86_400])
def test_made_up_event_fails_where_the_key_is_known_to_be_ours_and_blocks_nothing(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, age: int
) -> None:
    """No question about the event: 404 is the truth, whoever made it up."""
    enter_account(connection)
    made = event(
        "customer.updated",
        {"id": "cus_1Made", "object": "customer", "email": 5},
        created=int(stripe_double.control.now()) - age,
    )
    with Endpoint(database_url, stripe_double) as endpoint:
        assert endpoint.post(made).json == {"outcome": "failed"}
    assert "events.retrieve" not in stripe_double.control.request_counts()
