"""The common event's one statement does what the rule and the comparison in Python say."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared import truth
from shared.objects.catalogue import MIRRORED
from shared.objects.column import Column, Type
from shared.objects.declaration import Content, Held, Items, MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.repository.apply_event import Attempt, apply_if_newer
from shared.repository.ledger import Entry
from shared.repository.rows import read_held
from shared.truth import Interval, Verdict
from tests.builders import until

ENTRY = Entry(
    event_id="evt_1",
    type="thing.updated",
    object_id="thing_1",
    created=1_700_000_000,
    api_version=None,
    source="webhook",
    outcome="applied",
    error=None,
    payload=b"{}",
)

SUBSCRIBED: dict[str, Any] = {
    "id": "sub_1",
    "customer": "cus_1",
    "status": "active",
    "currency": "eur",
    "collection_method": "charge_automatically",
    "cancel_at_period_end": False,
    "created": 1_700_000_000,
    "start_date": 1_700_000_000,
    "livemode": False,
    "items": {"data": [], "has_more": False},
}


def content(mirrored: MirroredObject, *, terminal: bool, note: str) -> Content:
    if mirrored.is_deletable:
        body: dict[str, Any] = {"id": "x_1", "created": 1, "deleted": terminal}
        # Nothing is left of a deleted object that could differ but what is kept.
        kept = (c.source for c in mirrored.columns if c.keeps and c.type is Type.REFERENCE)
        body[next(kept) if terminal else "metadata"] = note if terminal else {"note": note}
    else:
        status = "canceled" if terminal else "active"
        body = {**SUBSCRIBED, "status": status, "metadata": {"note": note}}
    return mirrored.decode(json.dumps(body).encode())


def held(connection: psycopg.Connection, mirrored: MirroredObject, name: str) -> Held | None:
    return read_held(connection, mirrored, [name]).get(name)


INTERVALS = [Interval(low, high) for low, high in itertools.combinations(range(98, 104), 2)]


@pytest.mark.parametrize("mirrored", MIRRORED, ids=lambda made: made.name)
def test_the_statement_writes_what_the_rule_calls_simply_newer_and_nothing_else(
    connection: psycopg.Connection, mirrored: MirroredObject
) -> None:
    """The rule stands in `shared.truth`; the statement knows one case of it."""
    at = Interval(100, 102)
    for number, held_is_terminal in enumerate((False, True)):
        before = content(mirrored, terminal=held_is_terminal, note="a")
        tables = ", ".join(f"stripe.{one.table}" for one in MIRRORED)
        connection.execute(f"TRUNCATE {tables} CASCADE".encode())
        first = replace(ENTRY, event_id=f"evt_first_{number}")
        attempt = apply_if_newer(connection, mirrored, before, at, first)
        assert attempt.outcome == "applied"
        row = held(connection, mirrored, before.id)
        assert row is not None
        for incoming, is_terminal, note in itertools.product(INTERVALS, (False, True), "ab"):
            after = content(mirrored, terminal=is_terminal, note=note)
            verdict = truth.decide(
                at,
                incoming,
                equal=not mirrored.differences(row, after),
                held_is_terminal=held_is_terminal,
                incoming_is_terminal=is_terminal,
            )
            simply = at.upper <= incoming.lower and verdict in {Verdict.REPLACE, Verdict.CONFIRM}
            with connection.transaction(force_rollback=True):
                attempt = apply_if_newer(connection, mirrored, after, incoming, ENTRY)
                now = held(connection, mirrored, before.id)
            case = (incoming, held_is_terminal, is_terminal, note)
            assert now is not None
            if simply:
                wanted = "unchanged" if verdict is Verdict.CONFIRM else "applied"
                assert (attempt.outcome, now.revision) == (wanted, row.revision + 1), case
                assert now.as_of == truth.after_event(at, incoming), case
            else:
                assert attempt == (None, False, (None, None, row)), case
                assert now == row, case


def test_the_statement_knows_which_state_of_each_object_is_terminal() -> None:
    for mirrored in MIRRORED:
        assert mirrored.is_terminal(content(mirrored, terminal=True, note="a").row)
        assert not mirrored.is_terminal(content(mirrored, terminal=False, note="a").row)


@pytest.mark.parametrize("done, writes", [("failed", True), ("applied", False)])
def test_an_event_that_is_in_the_ledger_is_applied_only_if_it_failed(
    connection: psycopg.Connection, done: str, *, writes: bool
) -> None:
    connection.execute(
        """
        INSERT INTO stripe.events (id, type, created, source, outcome, error)
        VALUES ('evt_1', 'x', now(), 'webhook', %s, 'why')
        """,
        (done,),
    )
    after = content(SUBSCRIPTION, terminal=False, note="a")
    attempt = apply_if_newer(connection, SUBSCRIPTION, after, Interval(5, 6), ENTRY)
    rows = connection.execute("SELECT outcome, attempts, error FROM stripe.events").fetchall()
    if writes:
        assert (attempt.outcome, rows) == ("applied", [("applied", 2, None)])
    else:
        assert (attempt, rows) == ((None, False, (done, None, None)), [(done, 1, "why")])
        assert held(connection, SUBSCRIPTION, "sub_1") is None


@pytest.mark.parametrize("is_held", [True, False])
def test_a_row_that_another_writer_changes_meanwhile_is_lost_not_overwritten(
    connection: psycopg.Connection, database_url: str, *, is_held: bool
) -> None:
    """The statement reads, waits for the other's row lock, and then meets another revision."""

    def apply(on: psycopg.Connection, event_id: str, second: int) -> Attempt:
        after = content(SUBSCRIPTION, terminal=False, note=event_id)
        entry = replace(ENTRY, event_id=event_id)
        return apply_if_newer(on, SUBSCRIPTION, after, Interval(second, second + 1), entry)

    if is_held:
        assert apply(connection, "evt_first", 10).outcome == "applied"
    with (
        psycopg.connect(database_url, autocommit=True) as slower,
        ThreadPoolExecutor(1) as thread,
    ):
        with connection.transaction():
            assert apply(connection, "evt_newer", 30).outcome == "applied"
            waiting = thread.submit(apply, slower, "evt_older", 20)
            until(lambda: _waits(connection, slower), "the older event waits for the newer one")
        assert waiting.result(10) == (None, True, None)
    row = held(connection, SUBSCRIPTION, "sub_1")
    assert row is not None
    assert (row.as_of, row.revision) == (Interval(30, 31), 1 + is_held)
    events = connection.execute("SELECT id FROM stripe.events WHERE id = 'evt_older'").fetchall()
    assert events == []


def _waits(connection: psycopg.Connection, other: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT cardinality(pg_blocking_pids(%s)) > 0", (other.info.backend_pid,)
    ).fetchone()
    return row is not None and bool(row[0])


THING = MirroredObject(
    name="thing",
    table="things",
    prefix="thing",
    path="/v1/things",
    columns=(
        Column("id", Type.TEXT, required=True),
        Column("owner", Type.REFERENCE, keeps=True),
        Column("live", Type.BOOLEAN),
        Column("count", Type.INTEGER),
        Column("amount", Type.DECIMAL),
        Column("due", Type.TIMESTAMP),
        Column("born", Type.TIMESTAMP, keeps=True),
        Column("shape", Type.JSON),
        Column("metadata", Type.METADATA),
    ),
    items=Items(
        table="parts",
        parent="thing_id",
        prefix="part",
        path="/v1/parts",
        columns=(
            Column("id", Type.TEXT, required=True),
            Column("amount", Type.DECIMAL),
            Column("due", Type.TIMESTAMP),
            Column("shape", Type.JSON),
            Column("metadata", Type.METADATA),
        ),
    ),
)

TABLES = """
CREATE TABLE IF NOT EXISTS stripe.things (
    id text PRIMARY KEY, owner text, live boolean, count bigint, amount numeric, due timestamptz,
    born timestamptz, shape jsonb, metadata jsonb NOT NULL, missing_in_stripe_since timestamptz,
    as_of tstzrange NOT NULL, revision bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS stripe.parts (
    id text PRIMARY KEY, thing_id text NOT NULL REFERENCES stripe.things, amount numeric,
    due timestamptz, shape jsonb, metadata jsonb NOT NULL
);
TRUNCATE stripe.things, stripe.parts, stripe.events;
"""

MEDDLING = (
    "missing_in_stripe_since = to_timestamp(1700000001)",
    "shape = 'null', metadata = 'null'",
    "due = 'infinity'",
    "due = '-infinity', amount = 'NaN'",
    "due = to_timestamp(1700000000.4)",
    'metadata = \'{"a": 1, "b": null}\'',
)

seconds = st.sampled_from([None, 0, 1_700_000_000, -62135596800, 253402300799])
amounts = st.sampled_from([None, "12.5", "12.50", "0", "-0.00", "00012.500000000001"])
shapes = st.sampled_from(
    [None, {}, {"a": None}, {"a": 1.1, "b": {"c": "x"}}, {"b": {"c": "x"}, "a": 1.10}, [None, "é"]]
)
metadata = st.sampled_from(
    [{}, {"a": "1"}, {"a": "1", "bb": ""}, {"bb": "", "a": "1"}, {"é": "\n"}]
)
part: dict[str, st.SearchStrategy[Any]] = {
    "amount": amounts,
    "due": seconds,
    "shape": shapes,
    "metadata": metadata,
}
parts = st.lists(
    st.fixed_dictionaries({"id": st.sampled_from(["part_a", "part_B", "part_c"]), **part}),
    max_size=3,
    unique_by=lambda one: str(one["id"]),
)
things = st.fixed_dictionaries(
    {
        "id": st.just("thing_1"),
        "owner": st.sampled_from([None, "cus_1", "cus_2"]),
        "live": st.sampled_from([None, True, False]),
        "count": st.sampled_from([None, 0, 2**63 - 1]),
        "amount": amounts,
        "due": seconds,
        "born": seconds,
        "shape": shapes,
        "metadata": metadata,
        "items": st.builds(lambda data: {"data": data, "has_more": False}, parts),
    }
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(things, things, st.sampled_from(["", *MEDDLING]))
def test_the_change_is_the_one_that_the_comparison_in_python_gives(
    connection: psycopg.Connection,
    before: dict[str, Any],
    after: dict[str, Any],
    meddling: str,
) -> None:
    """Whatever the row says meanwhile: others write it too."""
    connection.execute(TABLES.encode())
    row = None
    # Those of the examples before, whose changes nobody can remove.
    used = connection.execute("SELECT coalesce(max(revision), 0) FROM stripe.changes").fetchone()
    assert used is not None
    for number, body in enumerate((before, after, after), 1):
        incoming = Interval(100 * number, 100 * number + 1)
        snapshot = THING.decode(json.dumps(body).encode())
        expected = THING.completed(snapshot, row)
        fields = THING.differences(row, expected)
        entry = replace(ENTRY, event_id=f"evt_{number}")
        attempt = apply_if_newer(connection, THING, snapshot, incoming, entry)
        assert attempt.outcome == ("applied" if fields else "unchanged")
        written = connection.execute(
            """
            SELECT fields, revision, fields = %s::jsonb
            FROM stripe.changes WHERE object_id = 'thing_1' ORDER BY id DESC LIMIT 1
            """,
            (msgspec.json.encode(fields).decode(),),
        ).fetchone()
        row = held(connection, THING, "thing_1")
        assert written is not None
        assert row is not None
        revision = used[0] + number
        assert (row.as_of, row.revision, row.missing_in_stripe_since) == (incoming, revision, None)
        assert THING.differences(row, expected) == {}
        if fields:
            assert written[1:] == (revision, True), (written[0], fields)
        else:
            assert written[1] < revision
        if number == 1 and meddling:
            connection.execute(f"UPDATE stripe.things SET {meddling}".encode())  # noqa: S608
            row = held(connection, THING, "thing_1")
