"""STRIPE_SCHEMA: every command works in the schema that it names, and in no other."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sandbox import product
from sandbox.product import Webhook
from sandbox.stripe_double import StripeDouble
from tests.e2e.conftest import SECRET
from tests.e2e.reconciling import reconcile

# One is a word of SQL's own.
SCHEMAS = ("billing", "order")


def rows(connection: psycopg.Connection, schema: str, text: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql.SQL(text).format(sql.Identifier(schema))).fetchall()


def live(
    environ: dict[str, str], double: StripeDouble, connection: psycopg.Connection, log: Path
) -> str:
    """All that a mirror goes through, in the schema of `environ`; returns a subscription's id."""
    schema, control = environ["STRIPE_SCHEMA"], double.control
    assert product.run("migrate", "--check", environ=environ).returncode == 1
    assert product.run("migrate", environ=environ).returncode == 0
    assert product.run("migrate", "--check", environ=environ).returncode == 0
    checked = product.run("webhook", "--check", environ=environ)
    assert checked.returncode == 0, checked.stderr
    customer = control.create_customer(email="ada@example.com")
    name = control.create_subscription(customer=customer, price="pro")
    control.advance(60)
    control.update_subscription(name, metadata={"step": "1"})
    control.update_subscription(name, metadata={"step": "2"})
    with Webhook(environ, log) as webhook:
        assert webhook.get("/readyz") == (200, {"ready": True})
        sent = control.send([made["id"] for made in control.events()], webhook.url, [SECRET])
        assert {answer.status for one in sent for answer in one.answers} == {200}
    lost = control.create_subscription(customer=customer, price="pro")
    control.seed(5)
    control.advance(3_600)
    assert reconcile(environ).status == 0
    control.cancel(lost)
    control.advance(3_600)
    found = reconcile(environ, "--report", "--exit-code", "--format", "json")
    assert found.status == 3, found.stderr
    assert [row["id"] for row in found.report["drift"]] == [lost]
    assert reconcile(environ, "--max-repairs", "100%").status == 0
    assert reconcile(environ, "--report", "--exit-code", "--every-field").status == 0
    assert reconcile(environ, "replay").status == 0
    assert reconcile(environ, "--subscription", name, "--report").status == 0
    statuses = dict(rows(connection, schema, "SELECT id, status FROM {}.subscriptions"))
    assert (statuses[name], statuses[lost], len(statuses)) == ("active", "canceled", 7)
    # By hand: the triggers mean the same schema.
    rows(connection, schema, "DELETE FROM {}.subscription_items RETURNING id")
    rows(connection, schema, "DELETE FROM {}.subscriptions RETURNING id")
    (noted,) = rows(
        connection,
        schema,
        "SELECT count(*) FROM {}.changes WHERE event_id IS NULL AND run_id IS NULL",
    )
    assert noted == (7,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(connection, schema, "DELETE FROM {}.changes RETURNING id")
    assert reconcile(environ, "--max-repairs", "100%").status == 0
    assert rows(connection, schema, "SELECT count(*) FROM {}.subscriptions") == [(7,)]
    return name


def test_every_command_lives_in_the_schema_that_is_named_and_two_share_a_database(
    environ: dict[str, str], empty_database_url: str, stripe_double: StripeDouble, tmp_path: Path
) -> None:
    with (
        psycopg.connect(empty_database_url, autocommit=True) as connection,
        StripeDouble.start() as other,
    ):
        for schema, double in zip(SCHEMAS, (stripe_double, other), strict=True):
            named = {
                **environ,
                "DATABASE_URL": empty_database_url,
                "STRIPE_SCHEMA": schema,
                "STRIPE_API_BASE": double.url,
            }
            live(named, double, connection, tmp_path / schema)
        found = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1"
        ).fetchall()
        assert [row[0] for row in found] == ["billing", "information_schema", "order", "public"]
        assert connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone() == (0,)


def test_roles_are_printed_for_the_schema_that_is_named_without_a_database() -> None:
    done = product.run("migrate", "--roles", environ=product.environment(STRIPE_SCHEMA="billing"))
    assert done.returncode == 0
    assert 'GRANT USAGE ON SCHEMA "billing"' in done.stdout
    assert "stripe." not in done.stdout


def test_schema_that_another_command_does_not_name_is_told_as_not_migrated(
    environ: dict[str, str],
) -> None:
    elsewhere = {**environ, "STRIPE_SCHEMA": "elsewhere"}
    for command in ("migrate --check", "webhook --check", "reconcile"):
        done = product.run(*command.split(), environ=elsewhere)
        assert done.returncode == 1
        assert "pending): run `migrate`" in done.stderr
