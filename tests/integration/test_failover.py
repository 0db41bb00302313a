"""Connections that lead to a server that only reads, or that are ended at any moment."""

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from sandbox.stripe_double import Control, StripeDouble
from tests.builders import Endpoint, event
from tests.integration.witness import count

ENDED = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'
"""


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


def only_reads(connection: psycopg.Connection, *, new: bool) -> None:
    """Let connections made from now on only read, or no more."""
    database = sql.Identifier(connection.info.dbname)
    text = "ALTER DATABASE {} SET default_transaction_read_only = {}"
    connection.execute("SET default_transaction_read_only = off")
    connection.execute(sql.SQL(text).format(database, sql.Literal("on" if new else "off")))


def bodies(control: Control, number: int) -> list[bytes]:
    known = len(control.events())
    for _ in range(number):
        control.create_customer()
    return [control.event_body(made["id"]) for made in control.events()[known:]]


def test_connections_that_only_read_are_left_and_no_event_is_postponed_for_them(
    endpoint: Endpoint, connection: psycopg.Connection
) -> None:
    """As after a failover: each of the pool's would still be there tomorrow."""
    control = endpoint.double.control
    first, second, third = bodies(control, 8), bodies(control, 8), bodies(control, 8)
    only_reads(connection, new=True)
    with ThreadPoolExecutor(4) as pool:
        refused = list(pool.map(endpoint.post, first))
        assert {answer.status_code for answer in refused} == {503}
        # The database writes again, on new connections; what the pool holds still only reads.
        only_reads(connection, new=False)
        answers = list(pool.map(endpoint.post, [*first, *second]))
    assert {answer.status_code for answer in answers} == {200}
    for body in third:
        assert endpoint.post(body).status_code == 200
    assert count(connection, "events") == 24


def test_connection_that_only_reads_costs_no_event_whatever_becomes_of_it(
    endpoint: Endpoint, connection: psycopg.Connection
) -> None:
    """Also where a look at the event on such a connection, which is a read, came first."""
    control = endpoint.double.control
    control.create_customer()
    control.advance(60)
    control.update_customer(control.ids("customer")[0], name="Ada")
    stale, applied = (control.event_body(made["id"]) for made in control.events()[-2:])
    again = json.loads(applied)
    unchanged = json.dumps({**again, "id": "evt_1TheSameAgain"}).encode()
    failed = event("customer.updated", {"id": "cus_1Poison", "object": "customer", "created": "x"})
    sent = {"applied": applied, "stale": stale, "unchanged": unchanged, "failed": failed}
    for outcome, body in sent.items():
        only_reads(connection, new=True)
        with Endpoint(endpoint.url, endpoint.double) as other:
            hold_all(other)
            only_reads(connection, new=False)
            answer = other.post(body)
            assert (answer.status_code, answer.json) == (200, {"outcome": outcome})


def hold_all(endpoint: Endpoint) -> None:
    """Let the pool have all of its connections, at hand for what comes next."""
    ready = threading.Barrier(endpoint.threads)

    def connect(_: int) -> None:
        with endpoint._database.connection() as lent:
            lent.execute("SELECT 1")
            ready.wait(10)

    with ThreadPoolExecutor(endpoint.threads) as pool:
        list(pool.map(connect, range(endpoint.threads)))


def test_connections_ended_at_any_moment_give_200_or_503_and_lose_nothing(
    endpoint: Endpoint, connection: psycopg.Connection, database_url: str
) -> None:
    control = endpoint.double.control
    sent = bodies(control, 150)
    stop, chance = threading.Event(), random.Random(1)

    def end_all() -> None:
        with psycopg.connect(database_url, autocommit=True) as killer:
            name = "killer"
            killer.execute("SELECT set_config('application_name', %s, false)", [name])
            spared = " AND application_name <> '' AND application_name <> 'killer'"
            # Just time enough for some to be made and to get as far as a statement.
            while not stop.wait(chance.uniform(0.0, 0.03)):
                killer.execute((ENDED + spared).encode())

    connection.execute("SET application_name = ''")
    with ThreadPoolExecutor(5) as pool:
        ending = pool.submit(end_all)
        try:
            answers = list(pool.map(endpoint.post, sent))
        finally:
            stop.set()
        ending.result()
    told = {answer.status_code for answer in answers}
    assert told <= {200, 503}, [line for line in endpoint.logged() if line["status"] == 500][:1]
    stored = {row[0] for row in connection.execute("SELECT payload FROM stripe.events")}
    assert {
        body for body, answer in zip(sent, answers, strict=True) if answer.status_code == 200
    } <= stored
    for body in sent:
        assert endpoint.post(body).status_code == 200
    assert count(connection, "events") == count(connection, "changes") == 150
