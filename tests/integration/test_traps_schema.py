"""Known ways to ruin a schema, each tried on the real thing."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from shared.database.migrations import (
    Migration,
    SchemaState,
    migrate,
    migrations,
    require_current,
    schema_state,
)
from shared.errors import SchemaMismatch
from shared.migrate import main
from tests.builders import until
from tests.integration.witness import blocked, one

BROKEN = Migration(
    name="9999_broken.sql",
    sql="CREATE TABLE stripe.half (id text); INSERT INTO stripe.half VALUES (1/0);",
)
FINE = Migration(name="9998_fine.sql", sql="CREATE TABLE stripe.fine (id text);")


def tables(connection: psycopg.Connection) -> list[str]:
    return [
        row[0]
        for row in connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
    ]


def test_broken_migration_leaves_nothing_half_applied(empty_database_url: str) -> None:
    """Trap 21: it fails in the middle of the second of three files; not even the first stays."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(empty_database_url, [*migrations(), FINE, BROKEN])
        assert tables(connection) == []
        assert one(connection, "SELECT to_regnamespace('stripe')::text") is None
        assert migrate(empty_database_url) == tuple(one.name for one in migrations())
        before = tables(connection)
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(empty_database_url, [*migrations(), FINE, BROKEN])
        assert tables(connection) == before
        assert schema_state(connection) == SchemaState(pending=(), unknown=(), edited=())


def test_command_that_cannot_migrate_exits_1_and_says_so(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trap 21: exit 0 and no tables. Here another table is in the way of the last one."""
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA stripe; CREATE TABLE stripe.changes (id text)")
        assert main(["--check"]) == 1
        assert main([]) == 1
        assert "nothing was changed" in capsys.readouterr().err
        assert tables(connection) == ["stripe.changes"]
        connection.execute("DROP TABLE stripe.changes")
        assert main([]) == 0
        assert main(["--check"]) == 0
        assert main([]) == 0


def test_two_migrations_at_once_are_one(empty_database_url: str) -> None:
    """Trap 21: two containers start and both migrate."""
    racers = 6
    barrier = threading.Barrier(racers)

    def start(_: int) -> int:
        barrier.wait(20)
        return len(migrate(empty_database_url))

    with ThreadPoolExecutor(racers) as pool:
        applied = Counter(pool.map(start, range(racers)))
    assert applied == {0: racers - 1, len(migrations()): 1}
    with psycopg.connect(empty_database_url) as connection:
        require_current(connection)


def test_migration_waits_for_the_one_at_work(empty_database_url: str) -> None:
    """Trap 21: the lock is the transaction's, so a killed migration leaves none behind."""
    with (
        closing(psycopg.connect(empty_database_url)) as holder,
        psycopg.connect(empty_database_url, autocommit=True) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        holder.execute("CREATE SCHEMA stripe")
        waiting = pool.submit(migrate, empty_database_url)
        until(lambda: blocked(connection) == 1, "one waits for the other")
        # Killed in the middle: what it had made is gone.
        connection.execute("SELECT pg_terminate_backend(%s)", (holder.info.backend_pid,))
        assert len(waiting.result(20)) == len(migrations())


def test_migration_lets_go_of_a_table_that_somebody_else_is_using(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else every webhook would wait behind it, for as long as a dump takes."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    with psycopg.connect(database_url) as holder:
        # As before the last migration, which makes a table and then alters one that is in use.
        holder.execute("DELETE FROM stripe.schema_migrations WHERE name LIKE '0004%'")
        holder.execute("ALTER TABLE stripe.account DROP fingerprint_salt")
        holder.execute("DROP TABLE stripe.fingerprints")
        holder.commit()
        holder.execute("SELECT FROM stripe.account")  # and its transaction stays open
        assert main([]) == 1
        assert "run `migrate` again when they are done" in capsys.readouterr().err
        assert one(holder, "SELECT to_regclass('stripe.fingerprints')::text") is None
        holder.rollback()
        assert main([]) == 0


@pytest.mark.parametrize(
    "change, words",
    [
        ("UPDATE stripe.schema_migrations SET checksum = 'other'", "edited"),
        ("INSERT INTO stripe.schema_migrations VALUES ('0999_later.sql', 'x')", "ahead"),
        ("DELETE FROM stripe.schema_migrations", "run `migrate`"),
        ("DROP TABLE stripe.schema_migrations", "run `migrate`"),
    ],
    ids=["edited", "ahead or vanished", "behind", "unknown"],
)
def test_schema_that_is_not_this_versions_is_refused(
    database_url: str, connection: psycopg.Connection, change: str, words: str
) -> None:
    """Trap 21: an edited or vanished file, a schema that is ahead or behind."""
    connection.execute(change.encode())
    with pytest.raises(SchemaMismatch, match=words):
        require_current(connection)
    before = tables(connection)
    with pytest.raises((SchemaMismatch, psycopg.errors.DuplicateTable)):
        migrate(database_url)
    assert tables(connection) == before
