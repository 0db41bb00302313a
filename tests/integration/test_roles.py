"""What `migrate --roles` prints: each program does its work under its own role, none does more."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from shared.database.roles import roles as roles_script
from shared.objects.catalogue import MIRRORED
from tests.builders import TABLES, Endpoint, event, reconcile, world
from tests.integration.witness import count, one
from tests.objects import ALL_TABLES

PROGRAMS = ("webhook", "job", "report")
NAMES = (*PROGRAMS, "application")
OBJECTS = ALL_TABLES
ITEMS = {mirrored.items.table for mirrored in MIRRORED if mirrored.items}
WRITTEN = ("runs", "drifts", "fingerprints", "compared")
RUNS = (*WRITTEN, "progress", "nights")
ALL = (*TABLES, "compared", "fingerprints", "schema_migrations", "progress", "nights")
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")

# Role -> privilege -> tables on which it is held, on some column at least.
EXPECTED: dict[str, dict[str, set[str]]] = {
    "webhook": {
        "SELECT": {*OBJECTS, "events", "account", "changes", "compared", "schema_migrations"},
        "INSERT": {*OBJECTS, "events", "account", "changes"},
        "UPDATE": {*OBJECTS, "events", "account"},
        "DELETE": ITEMS,
    },
    "job": {
        "SELECT": {*OBJECTS, "events", "account", "changes", "schema_migrations", *RUNS},
        "INSERT": {*OBJECTS, "events", "account", "changes", *WRITTEN},
        "UPDATE": {*OBJECTS, "events", "account", *WRITTEN},
        "DELETE": ITEMS,
    },
    "report": {
        "SELECT": {
            *OBJECTS,
            "events",
            "account",
            "changes",
            "schema_migrations",
            "runs",
            "compared",
            "fingerprints",
            "progress",
            "nights",
        }
    },
    "application": {"SELECT": {*OBJECTS}},
}


@pytest.fixture
def roles(database_url: str, connection: psycopg.Connection) -> Iterator[dict[str, str]]:
    """A connection string for each role; the server is shared, so their names are the test's."""
    prefix = f"sync_{uuid.uuid4().hex[:8]}_"
    script = roles_script().replace("subscription_sync_", prefix)
    for _ in range(2):
        connection.execute(script.encode())
    urls = {}
    for name in NAMES:
        user = f"{prefix}{name}_user"
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x' IN ROLE {}").format(
                sql.Identifier(user), sql.Identifier(prefix + name)
            )
        )
        urls[name] = make_conninfo(database_url, user=user, password="x")
    yield urls
    for name in NAMES:
        for role in (f"{prefix}{name}_user", f"{prefix}{name}"):
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def held(url: str, privilege: str) -> set[str]:
    """The tables on which a role holds a privilege, whole or for some column."""
    with psycopg.connect(url) as connection:
        some = privilege in {"SELECT", "INSERT", "UPDATE", "REFERENCES"}
        question = "has_any_column_privilege" if some else "has_table_privilege"
        return {
            table
            for table in ALL
            if one(connection, f"SELECT {question}(%s, %s)", f"stripe.{table}", privilege)
        }


def signed_bodies(control: Control) -> list[bytes]:
    return [control.event_body(made["id"]) for made in control.events()]


@pytest.mark.parametrize("name", NAMES)
def test_each_role_holds_these_privileges_and_no_others(roles: dict[str, str], name: str) -> None:
    assert {p: tables for p in PRIVILEGES if (tables := held(roles[name], p))} == EXPECTED[name]
    with psycopg.connect(roles[name]) as connection:
        assert not one(connection, "SELECT has_schema_privilege('stripe', 'CREATE')")


def test_what_anybody_was_granted_is_taken_back_on_every_table_of_ours_and_on_no_other(
    connection: psycopg.Connection,
) -> None:
    """The schema may be another application's too."""
    connection.execute(
        """
        CREATE TABLE stripe.of_somebody_else (id int);
        GRANT USAGE ON SCHEMA stripe TO PUBLIC;
        GRANT SELECT ON ALL TABLES IN SCHEMA stripe TO PUBLIC;
        """
    )
    prefix = f"sync_{uuid.uuid4().hex[:8]}_"
    connection.execute(roles_script().replace("subscription_sync_", prefix).encode())
    try:
        public = connection.execute(
            """
            SELECT relname FROM pg_class, aclexplode(relacl) AS granted
            WHERE relnamespace = 'stripe'::regnamespace AND granted.grantee = 0
            """
        ).fetchall()
        assert public == [("of_somebody_else",)]
        usage = "SELECT has_schema_privilege('public', 'stripe', 'USAGE')"
        assert one(connection, usage) is True
    finally:
        for name in NAMES:
            role = sql.Identifier(prefix + name)
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_webhook_may_not_read_the_salt_of_the_fingerprints(roles: dict[str, str]) -> None:
    readable = "SELECT has_column_privilege('stripe.account', 'fingerprint_salt', 'SELECT')"
    for name in NAMES:
        with psycopg.connect(roles[name]) as connection:
            assert one(connection, readable) == (name in {"job", "report"})


def test_role_that_an_upgrade_left_without_a_grant_is_told_what_to_run(
    roles: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    role = conninfo_to_dict(roles["job"])["user"]
    revoke = sql.SQL("REVOKE ALL ON stripe.fingerprints FROM {}")
    connection.execute(revoke.format(sql.Identifier(str(role).removesuffix("_user"))))
    report = reconcile(roles["job"], stripe_double)
    assert report.run.outcome is RunOutcome.FAILED
    assert "`migrate --roles`" in str(report.run.reason)


def test_webhook_does_all_of_its_work_under_its_role(
    roles: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    customer = control.create_customer()
    name = control.create_subscription(customer=customer, items=[{"price": "pro"}] * 2)
    control.advance(60)
    item = control.add_item(name, price="team")
    control.advance(60)
    control.remove_item(name, item)
    control.advance(60)
    control.cancel(name)
    bodies = signed_bodies(control)
    control.advance(60)
    control.update_customer(customer, name="thin")
    thin = control.thin_body(control.events()[-1]["id"])
    control.emit("customer.updated", customer)
    control.emit("customer.updated", customer)
    same_second = signed_bodies(control)[-2:]
    control.delete_customer(customer)
    poison = event("customer.updated", {"object": "customer"}, id="evt_1Poison")
    with Endpoint(roles["webhook"], stripe_double) as endpoint:
        said = [
            endpoint.post(body).get_json()["outcome"]
            for body in (*bodies, thin, *same_second, bodies[2], poison, poison, bodies[0])
        ]
        said.append(endpoint.post(signed_bodies(control)[-1]).get_json()["outcome"])
        old = json.loads(bodies[2])
        old["id"] = "evt_1Stale"
        assert endpoint.post(json.dumps(old).encode()).get_json() == {"outcome": "stale"}
        assert endpoint._client.get("/readyz").status_code == 200
    assert said[:6] == ["applied"] * 6
    assert said[8:12] == ["duplicate", "failed", "failed", "duplicate"]
    assert "unchanged" in said
    assert stripe_double.control.requests() != [], "the thin one was asked for"
    assert one(connection, "SELECT attempts FROM stripe.events WHERE outcome = 'failed'") == 2
    assert count(connection, "subscription_items") == 2


def test_job_does_all_of_its_work_under_its_role(
    roles: dict[str, str],
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    control.seed(30)
    name = control.create_subscription(items=[{"price": "pro"}] * 2)
    with Endpoint(database_url, stripe_double) as endpoint:
        for body in signed_bodies(control):
            endpoint.post(body)
        endpoint.post(event("customer.updated", {"object": "customer"}, id="evt_1Poison"))
    control.advance(3_600)
    item = control.add_item(name, price="team")
    control.advance(3_600)
    first = reconcile(roles["job"], stripe_double)
    assert first.run.outcome == "success"
    assert first.events.missed == 1
    control.advance(3_600)
    control.remove_item(name, item)
    control.cancel(name)
    control.advance(60)
    connection.execute("UPDATE stripe.events SET received_at = now() - interval '200 days'")
    connection.execute(
        """
        INSERT INTO stripe.customers (id, deleted, metadata, created, as_of, revision)
        VALUES (
            'cus_1Gone', false, '{}', to_timestamp(1),
            tstzrange(to_timestamp(1), to_timestamp(2)), 1
        );
        UPDATE stripe.runs
        SET outcome = NULL, finished_at = NULL, lease_expires_at = now() - interval '1 s'
        """
    )
    second = reconcile(roles["job"], stripe_double)
    assert second.run.outcome == "success"
    assert {row.action for row in second.drift()} == {"repaired"}
    assert {row.kind for row in second.drift()} == {"differs", "missing_in_stripe"}
    assert count(connection, "events", "payload IS NOT NULL AND outcome <> 'failed'") == 2
    assert one(connection, "SELECT attempts FROM stripe.events WHERE outcome = 'failed'") == 3
    control.advance(3_600)
    control.create_subscription()
    assert reconcile(roles["job"], stripe_double, limit="0").run.outcome == "success"
    for subscription in control.ids("subscription")[:3]:
        control.cancel(subscription)
    control.advance(3_600)
    assert reconcile(roles["job"], stripe_double, limit="0").run.outcome == "refused"


def test_report_does_all_of_its_work_under_its_role_and_writes_nothing(
    roles: dict[str, str],
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    control.seed(30)
    reconcile(database_url, stripe_double)
    with Endpoint(database_url, stripe_double) as endpoint:
        endpoint.post(event("customer.updated", {"object": "customer"}, id="evt_1Poison"))
    for subscription in control.ids("subscription")[:5]:
        control.cancel(subscription)
    control.create_subscription()
    control.advance(3_600)
    before = world(connection)
    report = reconcile(roles["report"], stripe_double, writes=False)
    assert report.run.outcome == "success"
    assert (len(list(report.drift())), report.failed) == (7, 1)
    assert report.events.missed is not None
    assert world(connection) == before


def test_application_reads_every_row_of_the_mirror_under_its_role(
    roles: dict[str, str], database_url: str, stripe_double: StripeDouble
) -> None:
    stripe_double.control.seed(5)
    reconcile(database_url, stripe_double)
    with psycopg.connect(roles["application"]) as connection:
        for mirrored in MIRRORED:
            names = ", ".join(f'"{name}"' for name in mirrored.decoded.names)
            text = f"SELECT {names} FROM stripe.{mirrored.table}"  # noqa: S608 (declared names)
            connection.execute(text.encode())
        assert count(connection, "subscriptions") == 5


FORBIDDEN: dict[str, tuple[str, ...]] = {
    "webhook": (
        "SELECT 1 FROM stripe.runs",
        "SELECT 1 FROM stripe.drifts",
        "SELECT 1 FROM stripe.progress",
        "SELECT fields FROM stripe.changes",
        "SELECT event_id FROM stripe.changes",
        "SELECT received_at FROM stripe.events",
        "UPDATE stripe.account SET livemode = true",
        "UPDATE stripe.events SET id = 'evt_2', source = 'reconcile'",
        "DELETE FROM stripe.events",
        "DELETE FROM stripe.subscriptions",
        "DELETE FROM stripe.customers",
        "INSERT INTO stripe.runs (id) VALUES (gen_random_uuid())",
    ),
    "job": (
        "SELECT event_id FROM stripe.changes",
        "UPDATE stripe.changes SET fields = '{}'",
        "DELETE FROM stripe.changes",
        "TRUNCATE stripe.changes",
        "INSERT INTO stripe.changes (changed_at) VALUES (to_timestamp(0))",
        "DELETE FROM stripe.events",
        "DELETE FROM stripe.runs",
        "DELETE FROM stripe.subscriptions",
        "UPDATE stripe.account SET livemode = true",
        "ALTER TABLE stripe.changes DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DROP FUNCTION stripe.changes_are_append_only() CASCADE",
    ),
    "report": (
        "INSERT INTO stripe.customers (id) VALUES ('cus_1')",
        "UPDATE stripe.subscriptions SET status = 'active'",
        "DELETE FROM stripe.subscription_items",
        "SELECT payload FROM stripe.events",
        "SELECT 1 FROM stripe.drifts",
        "SELECT run_id FROM stripe.changes",
        "SELECT holder FROM stripe.runs",
        "UPDATE stripe.account SET id = 'acct_1'",
    ),
    "application": (
        "SELECT 1 FROM stripe.events",
        "SELECT 1 FROM stripe.changes",
        "SELECT 1 FROM stripe.runs",
        "SELECT 1 FROM stripe.drifts",
        "SELECT 1 FROM stripe.account",
        "SELECT 1 FROM stripe.nights",
        "SELECT 1 FROM stripe.schema_migrations",
        *(f"TRUNCATE stripe.{table}" for table in OBJECTS),
        *(f"DELETE FROM stripe.{table}" for table in OBJECTS),  # noqa: S608 (declared names)
        "INSERT INTO stripe.customers (id) VALUES ('cus_1')",
        "UPDATE stripe.subscriptions SET status = 'active'",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_role_is_refused_what_its_program_need_not_do(
    roles: dict[str, str], connection: psycopg.Connection, name: str
) -> None:
    before: Any = world(connection)
    every = ("DELETE FROM stripe.schema_migrations", "CREATE TABLE stripe.mine ()")
    with psycopg.connect(roles[name], autocommit=True) as refused:
        for statement in (*FORBIDDEN[name], *every, "DROP TABLE stripe.customers"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                refused.execute(statement.encode())
    assert world(connection) == before
