"""Crashes at a named point: from the middle of a statement on nothing more can be done.

The server says that the database was dropped, for which nobody waits: so a run stops there as if
it had been killed. (A connection that only breaks costs a run time: see `test_lost_connections`.)
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.builders import TABLES
from tests.objects import ALL_TABLES

CRASHES = (
    *ALL_TABLES,
    "changes",
    "events",
    "drifts",
    "runs",
    "compared",
)
"""Where it can end: while a row of that table is written."""

_LEASE = "finish"


class Crashes:
    """Triggers that end all once they are armed."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def install(self) -> None:
        """Set a trap on each table. A sequence counts, since it outlives the rollback."""
        self._connection.execute(
            """
            CREATE TABLE armed (place text, skip bigint);
            CREATE SEQUENCE steps;
            CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF EXISTS (SELECT FROM armed WHERE place = TG_ARGV[0] AND nextval('steps') > skip)
                THEN
                    RAISE EXCEPTION USING ERRCODE = 'database_dropped';
                END IF;
                RETURN NULL;
            END $$;
            """
        )
        for table in CRASHES:
            self._connection.execute(
                f"""
                CREATE TRIGGER crash AFTER INSERT OR UPDATE OR DELETE ON stripe.{table}
                FOR EACH ROW EXECUTE FUNCTION crash('{table}')
                """.encode()
            )
        self._connection.execute(
            f"""
            CREATE TRIGGER crash_at_the_end AFTER UPDATE ON stripe.runs
            FOR EACH ROW WHEN (NEW.outcome IS NOT NULL) EXECUTE FUNCTION crash('{_LEASE}')
            """.encode()
        )

    @contextmanager
    def armed(self, place: str, skip: int, *, lease_stays: bool = False) -> Iterator[None]:
        """Let every write to a table after the first `skip` crash.

        `lease_stays`: a run cannot give its lease back either, as after kill -9.
        """
        self._connection.execute("ALTER SEQUENCE steps RESTART")
        self._connection.execute("INSERT INTO armed VALUES (%s, %s)", (place, skip))
        if lease_stays:
            self._connection.execute("INSERT INTO armed VALUES (%s, 0)", (_LEASE,))
        try:
            yield
        finally:
            self._connection.execute("TRUNCATE armed")

    def hang_up(self) -> None:
        """End every other connection to this database."""
        self._connection.execute(
            """
            SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND backend_type = 'client backend'
            """
        )

    def expire_the_lease(self) -> None:
        """Let the time pass after which a run may be taken over."""
        self._connection.execute(
            "UPDATE stripe.runs SET lease_expires_at = now() - interval '1 second'"
            " WHERE outcome IS NULL"
        )

    def empty_the_world(self) -> None:
        """Forget everything; `changes` refuses that to all but a replica's role."""
        ours = ", ".join(f"stripe.{table}" for table in (*TABLES, "compared"))
        self._connection.execute(
            f"""
            SET session_replication_role = replica;
            TRUNCATE {ours}, witness, done_again, armed;
            SET session_replication_role = origin;
            """.encode()
        )
