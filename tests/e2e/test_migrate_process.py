"""`migrate` as an operator types it."""

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sandbox import product
from tests.integration.network import Fate, network


def tables(url: str) -> int:
    with psycopg.connect(url) as connection:
        query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'stripe'"
        return int(connection.execute(query).fetchall()[0][0])


def migrate(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return product.run("migrate", *arguments, environ=product.environment(DATABASE_URL=url))


def test_check_says_what_is_pending_then_migrate_does_it_once(empty_database_url: str) -> None:
    pending = migrate(empty_database_url, "--check")
    assert pending.returncode == 1
    assert "run `migrate`" in pending.stderr
    assert tables(empty_database_url) == 0
    first = migrate(empty_database_url)
    assert first.returncode == 0
    assert "applied 0001_initial.sql" in first.stdout
    made = tables(empty_database_url)
    assert made >= 8
    again = migrate(empty_database_url)
    assert again.returncode == 0
    assert "applied" not in again.stdout
    assert migrate(empty_database_url, "--check").returncode == 0
    assert tables(empty_database_url) == made


def test_several_at_once_all_succeed_and_each_file_is_applied_once(
    empty_database_url: str,
) -> None:
    environ = product.environment(DATABASE_URL=empty_database_url)
    running = [
        subprocess.Popen(
            product.command("migrate"),
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]
    words = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4, words
    assert sum(word.count("applied 0001_initial.sql") for word in words) == 1


def test_file_that_fails_leaves_nothing_and_exits_1(empty_database_url: str) -> None:
    """Trap 21: migrations that fail, exit 0 and leave no tables."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA stripe")
        # In the way of a later statement of the first file.
        connection.execute("CREATE TABLE stripe.drifts (mine integer)")
    failed = migrate(empty_database_url)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "nothing was changed" in failed.stderr
    assert "drifts" in failed.stderr
    assert tables(empty_database_url) == 1
    assert migrate(empty_database_url, "--check").returncode == 1


def test_schema_of_a_newer_version_is_left_alone(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO stripe.schema_migrations (name, checksum) VALUES ('9999_later.sql', 'x')"
        )
    for arguments in ((), ("--check",)):
        refused = migrate(database_url, *arguments)
        assert refused.returncode == 1
        assert "9999_later.sql" in refused.stderr


@pytest.fixture
def powerless(empty_database_url: str) -> Iterator[str]:
    """A role that may connect and nothing else."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE e2e_powerless LOGIN PASSWORD 'none'")
        yield psycopg.conninfo.make_conninfo(
            empty_database_url, user="e2e_powerless", password="none"
        )
        connection.execute("DROP ROLE e2e_powerless")


def test_role_without_the_privilege_is_told_so(powerless: str) -> None:
    refused = migrate(powerless)
    assert refused.returncode == 1
    assert "permission denied" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_database_that_is_down_exits_1_and_wrong_settings_exit_2(tmp_path: Path) -> None:
    down = migrate(f"postgresql:///x?host={tmp_path}&user=u&password=hunter2")
    assert down.returncode == 1
    wrong = migrate("hunter2 is no url")
    assert wrong.returncode == 2
    usage = migrate("postgresql:///x", "--sideways")
    assert usage.returncode == 2
    for done in (down, wrong, usage):
        assert done.stderr
        assert "hunter2" not in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["slow", "refused"])
@pytest.mark.parametrize("arguments", [(), ("--check",)], ids=["migrate", "check"])
def test_database_that_takes_seconds_to_be_there_is_waited_for(
    empty_database_url: str, arguments: tuple[str, ...], how: str
) -> None:
    if arguments:
        assert migrate(empty_database_url).returncode == 0
    with network(empty_database_url) as way:
        if how == "slow":
            way.delay(4.0)
        else:
            way.refuse()
            threading.Timer(2.0, way.listen).start()
        done = migrate(way.url(connect_timeout="2"), *arguments, "--wait", "60")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "the schema is current")
    assert tables(empty_database_url) >= 8


def test_database_that_does_not_come_is_waited_for_as_long_as_was_said(
    empty_database_url: str,
) -> None:
    with network(empty_database_url) as way:
        way.refuse()
        began = time.monotonic()
        done = migrate(way.url(), "--wait", "2")
        assert 2 <= time.monotonic() - began < 20
        assert done.returncode == 1
        assert "waiting for the database" in done.stderr
    unknown = migrate(f"{empty_database_url}_not", "--wait", "60")
    assert unknown.returncode == 1, "no waiting brings it"


@pytest.mark.parametrize("fate", ["lost", "unanswered"])
def test_commit_that_is_lost_or_not_answered_is_found_out_by_waiting(
    empty_database_url: str, fate: Fate
) -> None:
    with network(empty_database_url) as way:
        way.doom_commit(1, fate)
        assert migrate(way.url(), "--wait", "20").returncode == 0
    assert migrate(empty_database_url, "--check").returncode == 0
