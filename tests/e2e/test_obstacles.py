"""Ready means that an event could be applied now; of one obstacle all commands say the same."""

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from sandbox import product
from sandbox.stripe_double import StripeDouble
from sandbox.stripe_double.http.keys import PERMISSIONS
from tests.builders import SECRET
from tests.e2e.saying import OK, READYZ, said_by, said_by_all

WRITERS = {"webhook --check", READYZ, "reconcile"}
STRIPES = {*WRITERS, "reconcile --report", "reconcile replay"}
ALL = {*STRIPES, "migrate", "migrate --check"}
LOOKERS = ALL - {"migrate"}

# What is done to the database, who says so, and what is said. `{role}` is an ordinary role that may
# do everything with our tables; it runs the commands.
IN_DATABASE: dict[str, tuple[str, set[str], str]] = {
    "nothing": ("SELECT 1", set(), ""),
    "no grant to write": (
        "REVOKE INSERT ON stripe.account, stripe.events FROM {role}",
        WRITERS,
        "lacks a grant",
    ),
    "no grant on the schema": ("REVOKE ALL ON SCHEMA stripe FROM {role}", ALL, "lacks a grant"),
    "row security on a mirror table": (
        "ALTER TABLE stripe.subscriptions ENABLE ROW LEVEL SECURITY",
        ALL,
        "row level security",
    ),
    "row security that lets all pass": (
        (
            "ALTER TABLE stripe.customers ENABLE ROW LEVEL SECURITY;"
            " CREATE POLICY everything ON stripe.customers USING (true)"
        ),
        ALL,
        "row level security",
    ),
    "row security on the ledger": (
        "ALTER TABLE stripe.events ENABLE ROW LEVEL SECURITY",
        ALL,
        "row level security",
    ),
    "row security on the list of migrations": (
        "ALTER TABLE stripe.schema_migrations ENABLE ROW LEVEL SECURITY",
        ALL,
        "row level security",
    ),
    "view in place of a table": (
        (
            "ALTER TABLE stripe.customers RENAME TO hidden;"
            " CREATE VIEW stripe.customers AS SELECT * FROM stripe.hidden WHERE false;"
            " GRANT ALL ON stripe.customers TO {role}"
        ),
        ALL,
        "customers is a view",
    ),
    "table gone": ("DROP TABLE stripe.compared", ALL, "lacks compared"),
    "schema behind": (
        "DELETE FROM stripe.schema_migrations WHERE name LIKE '0007%'",
        LOOKERS,
        "run `migrate`",
    ),
    "schema of a newer version": (
        "INSERT INTO stripe.schema_migrations VALUES ('9999_later.sql', 'x')",
        ALL,
        "deploy the version that made it",
    ),
    "read-only": (
        "ALTER ROLE {role} SET default_transaction_read_only = on",
        {*WRITERS, "migrate"},
        "takes no writes",
    ),
    "trigger that refuses": (
        (
            "CREATE FUNCTION stripe.no() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE 'no'; END $$;"
            " CREATE TRIGGER no BEFORE INSERT ON stripe.subscription_items"
            " FOR EACH ROW EXECUTE FUNCTION stripe.no()"
        ),
        {"webhook --check", READYZ},
        "trigger",
    ),
    "trigger that swallows": (
        (
            "CREATE FUNCTION stripe.no() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN NULL; END $$;"
            " CREATE TRIGGER no BEFORE INSERT ON stripe.customers"
            " FOR EACH ROW EXECUTE FUNCTION stripe.no()"
        ),
        {"webhook --check", READYZ},
        "does not keep it",
    ),
    "trigger that swallows the ledger's rows": (
        (
            "CREATE FUNCTION stripe.no() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN NULL; END $$;"
            " CREATE TRIGGER no BEFORE INSERT ON stripe.events"
            " FOR EACH ROW EXECUTE FUNCTION stripe.no()"
        ),
        {"webhook --check", READYZ},
        "does not keep it",
    ),
    "trigger that keeps items": (
        (
            "CREATE FUNCTION stripe.no() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN NULL; END $$;"
            " CREATE TRIGGER no BEFORE DELETE ON stripe.subscription_items"
            " FOR EACH ROW EXECUTE FUNCTION stripe.no()"
        ),
        {"webhook --check", READYZ},
        "does not keep it",
    ),
    "column that nobody fills": (
        "ALTER TABLE stripe.customers ADD COLUMN theirs text NOT NULL",
        {"webhook --check", READYZ},
        "theirs",
    ),
    "row security for the role in the end": (
        "ALTER TABLE stripe.changes ENABLE ROW LEVEL SECURITY",
        ALL,
        "row level security",
    ),
    "another mode": (
        "INSERT INTO stripe.account (livemode) VALUES (true)",
        STRIPES,
        "the key is of test mode",
    ),
    "another account": (
        "INSERT INTO stripe.account (id, livemode) VALUES ('acct_theirs', false)",
        STRIPES,
        "the database mirrors acct_theirs",
    ),
}


@pytest.fixture
def role(connection: psycopg.Connection) -> Iterator[str]:
    """A role that may do all that our programs do."""
    name = f"obstacle_{uuid.uuid4().hex[:8]}"
    connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'".encode())
    connection.execute(
        f"GRANT ALL ON SCHEMA stripe TO {name}; GRANT ALL ON ALL TABLES IN SCHEMA stripe TO {name};"
        f" GRANT ALL ON ALL SEQUENCES IN SCHEMA stripe TO {name};".encode()
    )
    yield name
    connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


def environment(url: str, double: StripeDouble, key: str = "sk_test_double") -> dict[str, str]:
    return product.environment(
        DATABASE_URL=url,
        STRIPE_API_BASE=double.url,
        STRIPE_SECRET_KEY=key,
        STRIPE_WEBHOOK_SECRET=SECRET,
        GRACE_SECONDS="0",
        DEADLINE_SECONDS="20",
    )


def assert_said(said: dict[str, str], who: set[str], words: str) -> None:
    told = {one for name, one in said.items() if name in who}
    assert len(told) <= 1, said
    assert all(words in one and one != OK for one in told), said
    assert {name for name, one in said.items() if one != OK} == who, said


# Of each kind one; the others with `make test-long`.
QUICK = {
    *("nothing", "no grant to write", "row security on a mirror table", "schema behind"),
    *("trigger that swallows", "another account", "Supabase's sync engine", "an application"),
}


def cases(names: Iterable[str]) -> list[Any]:
    """The names as parameters, all but the quick ones marked as long."""
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in names]


@pytest.mark.parametrize("obstacle", cases(IN_DATABASE))
def test_obstacle_in_the_database_is_told_alike_by_all_whom_it_concerns(
    obstacle: str,
    role: str,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    sql, who, words = IN_DATABASE[obstacle]
    connection.execute(sql.format(role=role).encode())
    said, _ = said_by_all(
        environment(make_conninfo(database_url, user=role, password="x"), stripe_double),
        stripe_double,
    )
    if obstacle == "schema behind":
        del said["migrate"]  # which would do something about it
    assert_said(said, who, words)


# What is in the schema before us, and whose it looks like.
STRANGERS: dict[str, tuple[str, str]] = {
    "Supabase's sync engine": (
        (
            "CREATE TABLE stripe.customers (id text, _updated_at timestamptz);"
            " CREATE TABLE stripe.subscriptions (id text);"
            " CREATE TABLE stripe.migrations (id int, name text, hash text, executed_at timestamp)"
        ),
        "sync engine",
    ),
    "its later version": (
        (
            "CREATE TABLE stripe._migrations (id int, hash text);"
            " CREATE TABLE stripe.customers (_raw_data jsonb, _last_synced_at timestamptz)"
        ),
        "sync engine",
    ),
    "Fivetran": (
        "CREATE TABLE stripe.customer (id text, _fivetran_synced timestamptz)",
        "Fivetran",
    ),
    "Airbyte": ("CREATE TABLE stripe.customers (id text, _airbyte_raw_id text)", "Airbyte"),
    "an application": ("CREATE TABLE stripe.schema_migrations (version text)", "an application"),
    "somebody's view": ("CREATE VIEW stripe.customers AS SELECT 1 AS id", "another program"),
    "somebody's table": ("CREATE TABLE stripe.drifts (mine integer)", "another program"),
    "ours without its list": (
        (
            "CREATE TABLE stripe.runs (); CREATE TABLE stripe.drifts ();"
            " CREATE TABLE stripe.changes (); CREATE TABLE stripe.subscription_items ()"
        ),
        "without schema_migrations",
    ),
    "a wrapper": (
        (
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
            " CREATE FOREIGN TABLE stripe.customers (id text) SERVER s"
        ),
        "wrapper",
    ),
}


@pytest.mark.parametrize("whose", cases(STRANGERS))
def test_schema_of_somebody_else_is_named_alike_by_all_and_left_alone(
    whose: str, empty_database_url: str, stripe_double: StripeDouble
) -> None:
    sql, words = STRANGERS[whose]
    listed = "SELECT relname FROM pg_class WHERE relnamespace = 'stripe'::regnamespace ORDER BY 1"
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA stripe; {sql}".encode())
        before = connection.execute(listed.encode()).fetchall()
        said, _ = said_by_all(environment(empty_database_url, stripe_double), stripe_double)
        assert_said(said, ALL, words)
        assert "stripe" in said["migrate"]
        assert whose.startswith("ours") or "STRIPE_SCHEMA" in said["migrate"]
        assert connection.execute(listed.encode()).fetchall() == before


def test_empty_schema_that_somebody_made_for_us_is_used(
    empty_database_url: str, stripe_double: StripeDouble
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA stripe")
    said = said_by(environment(empty_database_url, stripe_double), ["migrate"])
    assert said["migrate"][0] == OK


KEYS: dict[str, tuple[str, set[str], str]] = {
    "right": ("sk_test_double", set(), ""),
    "restricted, which may not read the account": ("rk_test_double", set(), ""),
    "unknown to Stripe": ("sk_test_nobody", STRIPES, "wrong or revoked"),
    "of another account": ("sk_test_other", STRIPES, "the database mirrors acct_1Double"),
    "of another mode": ("sk_live_double", STRIPES, "the key is of live mode"),
    "without subscriptions": (
        "rk_test_blind",
        STRIPES - {"reconcile replay"},
        "lacks the permission to read /v1/subscriptions",
    ),
    "without customers": (
        "rk_test_old",
        {"reconcile", "reconcile --report"},
        "customers were not compared: the key lacks the permission to read /v1/customers",
    ),
}


@pytest.mark.parametrize("key", KEYS)
def test_key_that_cannot_serve_is_told_alike_by_all_that_use_it(
    key: str, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    secret, who, words = KEYS[key]
    stripe_double.control.add_key("rk_test_blind", permissions=PERMISSIONS - {"subscriptions"})
    stripe_double.control.add_key("rk_test_old", permissions=PERMISSIONS - {"customers"})
    stripe_double.control.create_subscription()
    connection.execute(
        "INSERT INTO stripe.account (id, livemode) VALUES ('acct_1Double000000', false)"
    )
    said, _ = said_by_all(environment(database_url, stripe_double, secret), stripe_double)
    assert_said(said, who, words)
