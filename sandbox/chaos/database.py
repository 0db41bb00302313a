"""The database under fire: a real server with fsync, and what the run adds to it to see and to hit.

All of that lies in a schema of its own, `chaos`, and in triggers: the product knows nothing of it.
The witness keeps every committed version of every row. The gates are places in a transaction at
which a process can be made to wait, from outside, by whoever holds the gate's advisory lock. The
quota refuses every new row as a full disk would while somebody holds the lock that stands for it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString, Self

import psycopg

from sandbox.mirrored import MIRRORED
from sandbox.postgres import EmbeddedPostgres
from sandbox.product import free_port, wait_until

GATES, QUOTA = 7001, 7002

BEFORE_OBJECT, BEFORE_LEDGER, BEFORE_COMMIT, BEFORE_CURSOR, IN_REPAIR = range(1, 6)

_WITNESS = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.versions (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object text NOT NULL,
    object_id text NOT NULL,
    revision bigint NOT NULL,
    body text NOT NULL
);
CREATE FUNCTION chaos.witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.versions (object, object_id, revision, body)
    SELECT TG_ARGV[0], NEW.id, NEW.revision, (to_jsonb(NEW) || jsonb_build_object('items', (
        SELECT jsonb_agg(i) FROM stripe.subscription_items AS i WHERE i.subscription_id = NEW.id
    )))::text;
    RETURN NULL;
END $$;
"""

# On the table of every kind of object.
_ON_EACH = """
CREATE CONSTRAINT TRIGGER chaos_witness AFTER INSERT OR UPDATE ON stripe.{table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chaos.witness('{kind}');
CREATE TRIGGER chaos_gate BEFORE INSERT OR UPDATE ON stripe.{table}
    FOR EACH ROW EXECUTE FUNCTION chaos.gate('1', 'subscription-sync webhook');
"""

# The lock is given back at once: who passed a gate must not keep it shut for the next attacker.
_GATES = """
CREATE FUNCTION chaos.gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('application_name') = TG_ARGV[1] THEN
        PERFORM pg_advisory_lock_shared(7001, TG_ARGV[0]::int);
        PERFORM pg_advisory_unlock_shared(7001, TG_ARGV[0]::int);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chaos_gate BEFORE INSERT ON stripe.events
    FOR EACH ROW EXECUTE FUNCTION chaos.gate('2', 'subscription-sync webhook');
CREATE CONSTRAINT TRIGGER chaos_gate_at_commit AFTER INSERT ON stripe.events
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION chaos.gate('3', 'subscription-sync webhook');
CREATE CONSTRAINT TRIGGER chaos_gate_at_commit AFTER UPDATE ON stripe.runs
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION chaos.gate('4', 'subscription-sync reconcile');
CREATE TRIGGER chaos_gate BEFORE INSERT ON stripe.changes
    FOR EACH ROW WHEN (NEW.run_id IS NOT NULL AND NEW.revision > 1)
    EXECUTE FUNCTION chaos.gate('5', 'subscription-sync reconcile');
"""

_QUOTA = """
CREATE FUNCTION chaos.quota() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_lock_shared(7002, 1) THEN
        RAISE disk_full USING MESSAGE = 'could not extend file: No space left on device';
    END IF;
    PERFORM pg_advisory_unlock_shared(7002, 1);
    RETURN NEW;
END $$;
CREATE TRIGGER chaos_quota BEFORE INSERT ON stripe.events
    FOR EACH ROW EXECUTE FUNCTION chaos.quota();
CREATE TRIGGER chaos_quota BEFORE INSERT ON stripe.changes
    FOR EACH ROW EXECUTE FUNCTION chaos.quota();
CREATE TRIGGER chaos_quota BEFORE INSERT ON stripe.subscription_items
    FOR EACH ROW EXECUTE FUNCTION chaos.quota();
"""


class WatchedDatabase:
    """A database of the product's, with the witness, the gates and the quota in it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def prepare(self) -> None:
        """After the migrations."""
        with self.connect() as connection:
            for text in (_WITNESS, _GATES, _QUOTA):
                connection.execute(text)
            for mirrored in MIRRORED:
                text_of_one = _ON_EACH.format(table=mirrored.table, kind=mirrored.kind)
                connection.execute(text_of_one.encode())

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self.url, autocommit=True, application_name="chaos", connect_timeout=10
        )

    def query(self, text: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(text, values).fetchall()

    def cut_connections(self) -> int:
        """End every connection of the product's; how many there were."""
        return len(
            self.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'subscription-sync%%'"
            )
        )

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """While inside, no row of the ledger, the changes or the items finds room."""
        with self.connect() as connection:
            connection.execute("SELECT pg_advisory_lock(%s, 1)", (QUOTA,))
            yield


class DatabaseSide(WatchedDatabase):
    """With a server of its own; TCP, for a TCP connection tells which process is behind it."""

    def __init__(self) -> None:
        port = free_port()
        options = {"fsync": "on", "listen_addresses": "127.0.0.1", "port": str(port)}
        self.server = EmbeddedPostgres.start(options)
        super().__init__(f"postgresql://postgres@127.0.0.1:{port}/postgres")

    def close(self) -> None:
        self.server.thaw()
        self.server.close()


class Gate:
    """A shut gate: whoever comes to this point of a transaction waits until it is opened."""

    def __init__(self, database: WatchedDatabase, number: int) -> None:
        self._connection = database.connect()
        self._number = number
        self._connection.execute("SET lock_timeout = '3s'")
        self._connection.execute("SELECT pg_advisory_lock(%s, %s)", (GATES, number))

    def wait_for_one(self, seconds: float, stop: threading.Event) -> tuple[int, int] | None:
        """The first to come: its server process and the TCP port of its client's end.

        None when none came in time, or when `stop` was set.
        """
        found: list[tuple[int, int]] = []

        def has_come() -> bool:
            found[:] = self._connection.execute(
                """
                SELECT a.pid, a.client_port
                FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
                WHERE l.locktype = 'advisory' AND NOT l.granted
                    AND l.classid = %s AND l.objid = %s
                ORDER BY a.query_start
                LIMIT 1
                """,
                (GATES, self._number),
            ).fetchall()
            return bool(found) or stop.is_set()

        with suppress(TimeoutError):
            wait_until(has_come, "a process at the gate", seconds)
        return found[0] if found else None

    def end_backend(self, pid: int) -> None:
        """As if what the client sent had never come through."""
        self._connection.execute("SELECT pg_terminate_backend(%s, 2000)", (pid,))

    def wait_for_commit(self, pid: int, seconds: float = 3.0) -> None:
        """Returns when the server process is no longer inside a transaction."""

        def is_idle() -> bool:
            (busy,) = self._connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state <> 'idle'", (pid,)
            ).fetchone() or (0,)
            return not busy

        wait_until(is_idle, "a commit", seconds)

    def open(self) -> None:
        self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", (GATES, self._number))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
