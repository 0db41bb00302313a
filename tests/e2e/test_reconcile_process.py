"""`reconcile` as its scheduler sees it: arguments, exit statuses, streams, files, permissions."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sandbox import product
from sandbox.stripe_double import StripeDouble
from tests.e2e.reconciling import end_of, reconcile, reconciling

TABLES = (
    "subscriptions",
    "subscription_items",
    "customers",
    "events",
    "changes",
    "runs",
    "drifts",
    "account",
)
COUNTS = (
    "stripe",
    "database",
    "in_sync",
    "in_flight",
    "drift",
    "repaired",
    "stripe_requests",
)


def everything(connection: psycopg.Connection) -> dict[str, list[Any]]:
    """Every row of every table."""
    return {
        table: connection.execute(
            sql.SQL("SELECT to_jsonb(t)::text FROM {} t ORDER BY 1").format(
                sql.Identifier("stripe", table)
            )
        ).fetchall()
        for table in TABLES
    }


def status_of(connection: psycopg.Connection, name: str) -> str | None:
    row = connection.execute("SELECT status FROM stripe.subscriptions WHERE id = %s", [name])
    found = row.fetchone()
    return None if found is None else found[0]


@pytest.fixture
def drifted(
    environ: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection
) -> str:
    """Thirty subscriptions in sync but one, whose id this is: the database lets it in, wrongly."""
    control = stripe_double.control
    control.seed(29)
    name = control.create_subscription(price="pro", quantity=2)
    control.advance(3_600)
    assert reconcile(environ).status == 0
    control.cancel(name)
    control.advance(3_600)
    control.clear_requests()
    assert status_of(connection, name) == "active"
    return name


@pytest.fixture
def reader(database_url: str, connection: psycopg.Connection) -> Iterator[str]:
    """A connection string for a role that may only SELECT."""
    role, password = f"reader_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    name = sql.Identifier(role)
    connection.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(password))
    )
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA stripe TO {}").format(name))
    connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA stripe TO {}").format(name))
    yield make_conninfo(database_url, user=role, password=password)
    connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
    connection.execute(sql.SQL("DROP ROLE {}").format(name))


def test_report_finds_drift_then_a_run_repairs_it_then_none_is_left(
    environ: dict[str, str], drifted: str, connection: psycopg.Connection
) -> None:
    found = reconcile(environ, "--report", "--exit-code")
    assert found.status == 3
    assert f"LEAK  subscription {drifted}" in found.stdout
    assert "status: active -> canceled" in found.stdout
    assert status_of(connection, drifted) == "active"
    assert reconcile(environ, "--report").status == 0, "drift alone is no failure"
    repaired = reconcile({**environ, "LOG_LEVEL": "DEBUG"})
    assert repaired.status == 0
    assert status_of(connection, drifted) == "canceled"
    assert repaired.last["event"] == "run.finished"
    assert (repaired.last["drift"], repaired.last["repaired"]) == (1, 1)
    assert all(set(line) >= {"time", "level", "event"} for line in repaired.log)
    for secret in ("sk_test_double", "@example.com"):
        assert secret not in repaired.stderr
    assert reconcile(environ, "--report", "--exit-code").status == 0


def test_role_that_may_only_read_can_report_and_nothing_else(
    environ: dict[str, str], drifted: str, reader: str, connection: psycopg.Connection
) -> None:
    before = everything(connection)
    reading = {**environ, "DATABASE_URL": reader}
    done = reconcile(reading, "--report", "--format", "json")
    assert done.status == 0
    assert [row["id"] for row in done.report["drift"]] == [drifted]
    refused = reconcile(reading)
    assert refused.status == 1
    assert refused.last["event"] == "run.failed"
    assert "InsufficientPrivilege" in json.dumps(refused.last)
    assert everything(connection) == before


def test_json_report_has_the_keys_that_others_build_on_and_is_written_whole(
    environ: dict[str, str], drifted: str, stripe_double: StripeDouble, tmp_path: Path
) -> None:
    target = tmp_path / "a report.json"
    done = reconcile(environ, "--report", "--format", "json", "--output", str(target))
    assert (done.status, done.stdout) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    report = json.loads(target.read_text(encoding="utf-8"))
    assert set(report) >= {"run", "counts", "drift", "events"}
    run = report["run"]
    assert set(run) >= {"id", "started_at", "finished_at", "account", "livemode", "outcome"}
    assert (run["mode"], run["outcome"]) == ("report", "success")
    assert (run["account"], run["livemode"]) == ("acct_1Double000000", False)
    control = stripe_double.control
    objects = len(control.ids("subscription")) + len(control.ids("customer"))
    counts = {name: report["counts"][name] for name in COUNTS}
    assert counts == {
        "stripe": objects,
        "database": objects,
        "in_sync": objects - 1,
        "in_flight": 0,
        "drift": 1,
        "repaired": 0,
        "stripe_requests": len(control.requests()),
    }
    assert set(report["events"]) >= {"listed", "missed", "failed", "oldest_unprocessed"}
    (row,) = report["drift"]
    assert (row["object"], row["id"]) == ("subscription", drifted)
    assert (row["kind"], row["consequence"]) == ("differs", "leak")
    assert row["fields"]["status"] == ["active", "canceled"]
    assert (row["action"], list(row["monthly_amount"])) == ("reported", ["eur"])


def test_output_of_a_run_that_cannot_begin_leaves_the_old_file(
    environ: dict[str, str], empty_database_url: str, tmp_path: Path
) -> None:
    target = tmp_path / "report.json"
    target.write_text("yesterday's", encoding="utf-8")
    behind = {**environ, "DATABASE_URL": empty_database_url}
    done = reconcile(behind, "--report", "--output", str(target))
    assert done.status == 1
    assert "run `migrate`" in done.last["error"]
    assert target.read_text(encoding="utf-8") == "yesterday's"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_reader_that_goes_away_costs_no_repair_and_no_raw_traceback(
    environ: dict[str, str], drifted: str, connection: psycopg.Connection
) -> None:
    with reconciling(environ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        done = end_of(process)
    assert status_of(connection, drifted) == "canceled"
    assert done.status == 1
    assert done.last["exit_status"] == 1


def test_one_subscription_is_repaired_alone(
    environ: dict[str, str],
    drifted: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    other = next(
        one["id"]
        for one in stripe_double.control.truths("subscription")
        if one["status"] == "active"
    )
    stripe_double.control.cancel(other)
    assert reconcile(environ, "--subscription", drifted).status == 0
    assert status_of(connection, drifted) == "canceled"
    assert status_of(connection, other) == "active"
    assert "subscriptions.list" not in stripe_double.control.request_counts()


def test_too_many_repairs_are_refused_and_none_is_written(
    environ: dict[str, str], drifted: str, connection: psycopg.Connection
) -> None:
    done = reconcile(environ, "--max-repairs", "0", "--format", "json")
    assert done.status == 1
    assert done.last["outcome"] == "refused"
    assert "--max-repairs 0" in done.last["reason"]
    assert [row["action"] for row in done.report["drift"]] == ["refused"]
    assert status_of(connection, drifted) == "active"


def test_key_of_another_mode_is_refused_before_anything_is_read(
    environ: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Trap 9: the key of another account or mode makes everything look missing."""
    control = stripe_double.control
    control.realm(livemode=True).seed(5)
    live = {**environ, "STRIPE_SECRET_KEY": "sk_live_double"}
    assert reconcile(live).status == 0
    before = everything(connection)
    control.clear_requests()
    for arguments in ((), ("--report",)):
        done = reconcile(environ, *arguments)
        assert done.status == 1
        assert done.last["event"] == "run.failed"
        assert "WrongAccount" in done.last["error"]
        assert "test mode" in done.last["error"]
        assert "live mode" in done.last["error"]
    assert control.requests() == []
    assert everything(connection) == before


@pytest.mark.parametrize("key", ["sk_test_other", "rk_test_other"])
def test_key_of_another_account_is_refused(
    environ: dict[str, str], drifted: str, connection: psycopg.Connection, key: str
) -> None:
    """Trap 9: a restricted key cannot name its account, but it knows none of our rows."""
    before = everything(connection)
    done = reconcile({**environ, "STRIPE_SECRET_KEY": key})
    assert done.status == 1
    assert "WrongAccount" in done.last["error"]
    assert everything(connection) == before
    assert drifted not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("--format", "xml"),
        ("--deadline", "soon"),
        ("--report", "--output", "no such folder/report.json"),
        # Nothing would be found under these, and that would pass for being in sync.
        ("--subscription", ""),
        ("--subscription", "../customers"),
        ("--subscription", "cus_1"),
        ("--subscription", "sub_1?expand=x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    environ = product.environment(
        DATABASE_URL="postgresql:///x", STRIPE_SECRET_KEY="sk_test_double"
    )
    done = reconcile(environ, *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith(("usage: reconcile", "reconcile: 1 setting is wrong:"))
    assert "Traceback" not in done.stderr


def test_wrong_settings_exit_2_with_all_faults_and_no_secret() -> None:
    done = reconcile(
        product.environment(
            DATABASE_URL="postgresql://u:hunter2@db.example.com/x?sslmode=disable",
            STRIPE_SECRET_KEY="pk_test_hunter2",
            LEASE_SECONDS="soon",
            HEARTBEAT_URL="hunter2",
        )
    )
    assert done.status == 2
    for name in ("DATABASE_URL", "STRIPE_SECRET_KEY", "LEASE_SECONDS", "HEARTBEAT_URL"):
        assert name in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_help_tells_settings_and_exit_statuses() -> None:
    done = reconcile(product.environment(), "--help")
    assert (done.status, done.stderr) == (0, "")
    for word in ("--report", "--output", "--exit-code", "HEARTBEAT_URL", "exit status"):
        assert word in done.stdout


def test_database_that_is_down_fails_the_run_with_a_clear_line(
    environ: dict[str, str], stripe_double: StripeDouble, tmp_path: Path
) -> None:
    down = f"postgresql:///x?host={tmp_path}&user=nobody"
    done = reconcile({**environ, "DATABASE_URL": down}, "--deadline", "4")
    assert (done.status, done.stdout) == (1, "")
    assert done.last["event"] == "run.failed"
    assert "no connection to the database" in done.last["error"]
    assert "database.waiting" in [line["event"] for line in done.log], "it says so meanwhile"
    assert stripe_double.control.requests() == []


def test_sigterm_while_stripe_is_down_ends_the_run_at_once(environ: dict[str, str]) -> None:
    nowhere = f"http://127.0.0.1:{product.free_port()}"
    with reconciling({**environ, "STRIPE_API_BASE": nowhere, "LOG_LEVEL": "INFO"}) as process:
        # The first word of its log is of the first retry, after the handler is in place.
        assert process.stderr is not None
        first = process.stderr.readline()
        process.terminate()
        done = end_of(process, seconds=10.0)
    assert first
    assert done.status == 1
    assert done.last["exit_status"] == 1
