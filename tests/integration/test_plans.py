"""What a statement costs never depends on when the server took its statistics."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from shared.database.connection import conninfo
from shared.database.pool import Database
from shared.mirror import Mirror, Outcome
from shared.objects.catalogue import MIRRORED
from shared.objects.column import Column, Type
from shared.repository.__main__ import statements
from shared.stripe.api import StripeApi
from shared.stripe.http import WEBHOOK_PATIENCE, StripeHttp
from tests.builders import KEY, apply, event, reconcile, until
from tests.integration.lived import Lived
from tests.objects import ALL_TABLES, event_type

WHOLE = {"rows.boundaries", "rows.number", "rows.newest_ids"}
"""Statements that are to read a whole table, once a run: by an index all the same."""

VALUES = {
    Type.TEXT: "'x'",
    Type.REFERENCE: "'x'",
    Type.BOOLEAN: "false",
    Type.INTEGER: "1",
    Type.DECIMAL: "1",
    Type.TIMESTAMP: "to_timestamp(n)",
    Type.REFERENCES: "'[]'",
    Type.METADATA: "'{}'",
    Type.JSON: "'{}'",
}


def grown(table: str, columns: Sequence[Column], prefix: str, **others: str) -> str:
    """Return SQL that adds 4,000 rows to a table, of all that must be said of one."""
    values = {
        column.name: VALUES[column.type]
        for column in columns
        if column.required or column.type not in {Type.TEXT, Type.REFERENCE}
    }
    values |= {"id": f"'{prefix}_grown' || n", **others}
    names = ", ".join(f'"{name}"' for name in values)
    return (
        f"INSERT INTO stripe.{table} ({names}) SELECT {', '.join(values.values())}"  # noqa: S608
        " FROM generate_series(1, 4000) AS n;"
    )


OWN = {"as_of": "'[2001-01-01,2001-01-02)'", "revision": "1"}
GROWN = "".join(
    [
        """
        INSERT INTO stripe.events (id, type, created, source, outcome)
        SELECT 'evt_grown' || n, 'x', now(), 'webhook', 'applied'
        FROM generate_series(1, 4000) AS n;
        INSERT INTO stripe.changes (object, object_id, revision, event_id, fields)
        SELECT 'x', 'x_grown' || n, 1, 'evt_grown' || n, '{}' FROM generate_series(1, 4000) AS n;
        """,
        *(grown(one.table, one.columns, one.prefix, **OWN) for one in MIRRORED),
        *(
            grown(
                one.items.table,
                one.items.columns,
                one.items.prefix,
                **{one.items.parent: f"'{one.prefix}_grown' || n"},
            )
            for one in MIRRORED
            if one.items is not None
        ),
    ]
)

BEFORE = {
    "never analysed": "SELECT 1",
    "analysed while empty": "VACUUM ANALYZE",
    "analysed when grown": f"{GROWN}",
}


@pytest.fixture
def unobserved(connection: psycopg.Connection) -> None:
    """No autovacuum: the statistics are what the test makes them."""
    for table in tables(connection):
        connection.execute(f"ALTER TABLE stripe.{table} SET (autovacuum_enabled = off)".encode())


def tables(connection: psycopg.Connection) -> list[str]:
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'stripe'")
    return [row[0] for row in found]


def analyse(url: str, before: str) -> None:
    """In a session of its own: what it did is counted by its end."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BEFORE[before].encode())
        if before == "analysed when grown":
            connection.execute("VACUUM ANALYZE")


def from_end_to_end(plan: Any) -> Iterator[str]:
    """Yield each scan of a table of ours that no condition leads to its rows."""
    kind = plan["Node Type"]
    table = plan.get("Relation Name") or plan.get("Index Name")
    is_scan = kind == "Seq Scan" or ("Index" in kind and "Index Cond" not in plan)
    if table is not None and is_scan and kind != "ModifyTable":
        yield f"{kind} on {table}"
    for inner in plan.get("Plans", ()):
        yield from from_end_to_end(inner)


def explained(connection: psycopg.Connection, name: str, parameters: int) -> list[str]:
    given = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
    found = connection.execute(
        f'EXPLAIN (FORMAT JSON) EXECUTE "{name}"{given}'.encode(), prepare=False
    ).fetchone()
    assert found is not None
    return list(from_end_to_end(found[0][0]["Plan"]))


def texts() -> dict[str, str]:
    """Every statement on a mirrored object's tables, as the server gets it."""
    rooms = {"rows", "window", "write", "apply_event"}
    return {name: one.sent for name, one in statements().items() if name.split(".")[0] in rooms}


@pytest.mark.usefixtures("unobserved")
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("plan_once", [True, False])
def test_no_statement_on_an_objects_tables_reads_one_from_end_to_end(
    database_url: str, before: str, *, plan_once: bool
) -> None:
    analyse(database_url, before)
    wrong: dict[str, list[str]] = {}
    url = conninfo(database_url, 30, "plans", plan_once=plan_once)
    with psycopg.connect(url, autocommit=True) as one:
        one.execute("SET plan_cache_mode = force_generic_plan")
        for name, text in texts().items():
            one.execute(f'PREPARE "{name}" AS {text}'.encode())
            scans = explained(one, name, parameters(one, name))
            if name.rpartition(".")[0] in WHOLE:
                assert all("Seq" not in scan for scan in scans)
            elif scans:
                wrong[name] = scans
    assert wrong == {}


def parameters(connection: psycopg.Connection, name: str) -> int:
    found = connection.execute(
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = %s", (name,)
    ).fetchone()
    assert found is not None
    return int(found[0])


@contextmanager
def webhook(url: str, double: StripeDouble) -> Iterator[tuple[Mirror, Database]]:
    """The heart on one connection, on which every statement is prepared at its first use."""
    database = Database(url, max_connections=1, plan_once=True)
    http = StripeHttp(double.url, KEY, patience=WEBHOOK_PATIENCE)
    try:
        with database.connection() as one:
            one.prepare_threshold = 0
        yield Mirror(database, StripeApi(http, livemode=False)), database
    finally:
        database.close()
        http.close()


def live(control: Control, to: Mirror, number: int) -> list[Outcome]:
    """Let an event of each object come to every end that it can come to."""
    control.advance(3_600)
    found: list[Outcome] = []
    for mirrored in MIRRORED:
        lived = Lived(control, mirrored)
        before = len(control.events())
        control.advance(60)
        if mirrored.items is not None:
            control.remove_item(lived.name, control.add_item(lived.name, price="team"))
            for _ in range(11):
                control.add_item(lived.name, price="pro", events=0)
            control.advance(60)
        lived.same_again()
        lived.become(1)
        control.advance(60)
        thin = control.thin_body(control.emit(event_type(mirrored, "updated"), lived.name))
        control.advance(60)
        lived.end()
        created, *_ = lived.bodies()
        bodies = [control.event_body(one["id"]) for one in control.events()[before:]]
        poison = {"object": mirrored.name}
        kind = event_type(mirrored, "updated")
        failed = event(kind, poison, id=f"evt_poison{mirrored.name}{number}")
        stale = {**json.loads(created), "id": f"evt_stale{mirrored.name}{number}"}
        bodies = [created, thin, *bodies, failed, json.dumps(stale).encode(), created, failed]
        found += [apply(to, body).outcome for body in bodies]
    return found


@pytest.mark.usefixtures("unobserved")
@pytest.mark.parametrize("before", BEFORE)
def test_no_statement_that_an_event_runs_reads_a_table_from_end_to_end(
    database_url: str, stripe_double: StripeDouble, before: str
) -> None:
    """Whatever it is: the server tells which were prepared."""
    stripe_double.control.advance(86_400)
    analyse(database_url, before)
    with webhook(database_url, stripe_double) as (to, database):
        outcomes = {one for n in (1, 2) for one in live(stripe_double.control, to, n)}
        with database.connection() as one:
            one.prepare_threshold = None
            prepared = one.execute(
                "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements"
            ).fetchall()
            wrong = {
                text: scans
                for name, text, count in prepared
                if (scans := explained(one, name, count))
            }
    assert wrong == {}
    assert outcomes == set(Outcome) - {Outcome.IGNORED}
    assert len(prepared) >= 7


@pytest.mark.usefixtures("unobserved")
@pytest.mark.parametrize("before", BEFORE)
def test_event_reads_as_little_when_its_tables_have_grown_since_they_were_analysed(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble, before: str
) -> None:
    stripe_double.control.advance(86_400)
    analyse(database_url, before)
    with webhook(database_url, stripe_double) as (to, _):
        live(stripe_double.control, to, 1)
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute(GROWN.replace("_grown", "_grown_more").encode())
        # What another session did is counted some time after its end.
        rows = 8_000 if before == "analysed when grown" else 4_000
        until(lambda: touched(connection)["subscription_items"][3] >= rows, "the rows are counted")
        connection.execute("SELECT pg_stat_reset()")
        events = sum(len(live(stripe_double.control, to, number)) for number in range(2, 5))
    until(lambda: touched(connection)["events"][2] > 0, "the server counts what was done")
    for table, (scans, rows, by_index, _) in touched(connection).items():
        assert (scans, rows) == (0, 0), table
        assert by_index < 12 * events, table


@pytest.mark.usefixtures("unobserved")
def test_first_run_into_tables_that_were_analysed_while_empty_reads_none_from_end_to_end(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    control.advance(86_400 * 3)
    now = int(control.now())
    control.seed(3_000, start=now - 180_000, end=now - 5_000)
    connection.execute("VACUUM ANALYZE")
    connection.execute("SELECT pg_stat_reset()")
    for _ in range(2):
        assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
        control.advance(3_600)
    until(lambda: touched(connection)["subscriptions"][2] > 0, "the server counts what was done")
    found = touched(connection)
    for table in (*ALL_TABLES, "changes", "fingerprints"):
        scans, _, by_index, _ = found[table]
        assert scans == 0, table
        # What is read with each window, and again where it is written.
        assert by_index < 3_000 * 12, table


def touched(connection: psycopg.Connection) -> dict[str, tuple[int, int, int, int]]:
    """By table: scans from end to end, rows that these read, rows that indexes named, inserts."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    found = connection.execute(
        """
        SELECT
            t.relname, t.seq_scan, t.seq_tup_read, sum(i.idx_tup_read)::bigint, t.n_tup_ins
        FROM pg_stat_user_tables AS t
        JOIN pg_stat_user_indexes AS i USING (relid)
        WHERE t.schemaname = 'stripe' AND t.relname <> 'schema_migrations'
        GROUP BY t.relid, t.relname, t.seq_scan, t.seq_tup_read, t.n_tup_ins
        """
    )
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in found}
