"""A mirrored object is declared once: decoder, tables' statements and comparison follow from it."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconcile.comparison.compare import Listed, compare_window
from reconcile.deliveries.events import Events
from reconcile.journal.drift import drift, tallied
from reconcile.report import as_json
from reconcile.report.model import Report, RunFacts, RunOutcome, totals
from sandbox.stripe_double import StripeDouble
from shared.database.pool import Database
from shared.objects.column import Column, Concern, Row, Type, Value, canonical_json
from shared.objects.declaration import Content, Held, Items, MirroredObject
from shared.repository.apply_event import look, write_for_event
from shared.repository.ledger import Entry
from shared.repository.rows import read_held
from shared.repository.write import Write
from shared.truth import Interval
from tests import builders

ROOT = Path(__file__).parents[2]

TABLES = """
CREATE TABLE stripe.parcels (
    id text PRIMARY KEY,
    sender text,
    fragile boolean,
    grams bigint,
    postage numeric,
    created timestamptz NOT NULL,
    address jsonb,
    street text,
    metadata jsonb NOT NULL,
    missing_in_stripe_since timestamptz,
    as_of tstzrange NOT NULL,
    revision bigint NOT NULL
);
CREATE TABLE stripe.stamps (
    id text PRIMARY KEY,
    parcel_id text NOT NULL REFERENCES stripe.parcels (id),
    "order" bigint,
    motif text
);
"""

PARCEL = MirroredObject(
    name="parcel",
    table="parcels",
    prefix="parcel",
    path="/v1/parcels",
    columns=(
        Column("id", Type.TEXT, required=True),
        Column("sender", Type.REFERENCE),
        Column("fragile", Type.BOOLEAN),
        Column("grams", Type.INTEGER, "weight.grams", concern=Concern.MONEY),
        Column("postage", Type.DECIMAL),
        Column("created", Type.TIMESTAMP, required=True),
        Column("address", Type.JSON),
        Column("street", Type.TEXT, "label.address.street"),
        Column("metadata", Type.METADATA),
    ),
    items=Items(
        table="stamps",
        parent="parcel_id",
        prefix="stamp",
        path="/v1/stamps",
        columns=(
            Column("id", Type.TEXT, required=True),
            Column("order", Type.INTEGER),
            Column("motif", Type.TEXT, "print.motif"),
        ),
    ),
)

BODY: dict[str, Any] = {
    "id": "parcel_1",
    "object": "parcel",
    "sender": {"id": "cus_1", "object": "customer"},
    "fragile": True,
    "weight": {"grams": 250, "ounces": 9},
    "postage": "1.250",
    "created": 1_700_000_000,
    "address": {"zip": "20095", "city": "Hamburg", "lines": ["a", None]},
    "label": {"address": {"street": "Kai 1"}},
    "metadata": {"b": "2", "aa": "1"},
    "items": {
        "data": [
            {"id": "stamp_2", "order": 2, "print": {"motif": "owl"}},
            {"id": "stamp_1", "order": 1},
        ],
        "has_more": False,
    },
}


def decoded(**fields: Any) -> Content:
    return PARCEL.decode(json.dumps({**BODY, **fields}).encode())


def entry(number: int) -> Entry:
    return Entry(
        event_id=f"evt_{number}",
        type="parcel.updated",
        object_id="parcel_1",
        created=1_700_000_000,
        api_version=None,
        source="webhook",
        outcome="applied",
        error=None,
        payload=b"{}",
    )


def read(connection: psycopg.Connection) -> Held:
    found = read_held(connection, PARCEL, ["parcel_1"]).get("parcel_1")
    assert found is not None
    return found


def test_declared_object_goes_the_whole_way(connection: psycopg.Connection) -> None:
    connection.execute(TABLES.encode())
    first = decoded()
    write = Write(first, Interval(100, 101), None, {})
    assert write_for_event(connection, PARCEL, write, entry(1))
    row = read(connection)
    assert (row.as_of, row.revision, row.items) == (Interval(100, 101), 1, first.items)
    assert PARCEL.differences(row, first) == {}
    assert connection.execute(
        'SELECT id, "order", motif FROM stripe.stamps ORDER BY id'
    ).fetchall() == [
        ("stamp_1", 1, None),
        ("stamp_2", 2, "owl"),
    ]

    changed = decoded(
        weight={"grams": 300},
        label=None,
        items={
            "data": [{"id": "stamp_2", "order": 3, "print": {"motif": "owl"}}],
            "has_more": False,
        },
    )
    listed = {"parcel_1": Listed(changed, Interval(500, 502))}
    (difference,) = compare_window(PARCEL, {"parcel_1": row}, listed).differences
    assert difference.fields == {
        "grams": (250, 300),
        "street": ("Kai 1", None),
        "items.stamp_1": ({"id": "stamp_1", "order": 1}, None),
        "items.stamp_2.order": (2, 3),
    }
    found = drift(PARCEL, difference, builders.ACCESS)
    assert found.consequence == "money"
    assert reported(found)["fields"] == {k: list(v) for k, v in difference.fields.items()}

    write = Write(changed, Interval(500, 502), 1, difference.fields)
    assert write_for_event(connection, PARCEL, write, entry(2))
    assert not write_for_event(connection, PARCEL, write, entry(3))
    row = read(connection)
    assert (row.revision, row.items) == (2, changed.items)
    assert PARCEL.differences(row, changed) == {}
    changes = connection.execute(
        "SELECT object, object_id, revision, event_id FROM stripe.changes ORDER BY id"
    ).fetchall()
    assert changes == [("parcel", "parcel_1", 1, "evt_1"), ("parcel", "parcel_1", 2, "evt_2")]


def reported(row: Any) -> dict[str, Any]:
    facts = RunFacts(
        id="x",
        mode="report",
        started_at=1,
        finished_at=2,
        account=None,
        livemode=False,
        outcome=RunOutcome.SUCCESS,
        reason=None,
    )
    report = Report(
        run=facts,
        counts={},
        stripe_requests=0,
        drift=lambda _=None: iter([row]),
        tallies=lambda: tallied([row]),
        events=Events(),
        failed=0,
        failures=[],
    )
    stream = io.StringIO()
    as_json.write(report, totals(report), stream)
    (found,) = json.loads(stream.getvalue())["drift"]
    return dict(found)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the product's packages, to be changed as a developer would."""
    for package in ("shared", "reconcile"):
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=without)
    return tmp_path


def test_one_migration_and_one_line_fill_a_new_field_for_every_row(
    house: Path, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    names = [control.create_subscription(remark=f"about {n}") for n in range(5)]
    control.advance(700)
    assert builders.reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS

    objects = house / "shared" / "objects" / "subscription.py"
    line = '    money("days_until_due", Type.INTEGER),\n'
    assert objects.read_text().count(line) == 1
    objects.write_text(
        objects.read_text().replace(line, f'{line}    Column("remark", Type.TEXT),\n')
    )
    migration = house / "shared" / "migrations" / "9000_remark.sql"
    migration.write_text("ALTER TABLE stripe.subscriptions ADD COLUMN remark text;\n")

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "STRIPE_SECRET_KEY": builders.KEY,
            "STRIPE_API_BASE": stripe_double.url,
            "GRACE_SECONDS": "0",
        }
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=house,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    behind = command("reconcile.cli")
    assert (behind.returncode, "9000_remark.sql" in behind.stderr) == (1, True), behind.stderr
    assert command("shared.migrate").returncode == 0
    filled = command("reconcile.cli", "--format", "json")
    assert filled.returncode == 0, filled.stderr
    drifts = {row["id"]: row for row in json.loads(filled.stdout)["drift"]}
    assert {name: drifts[name]["fields"] for name in names} == {
        name: {"remark": [None, f"about {n}"]} for n, name in enumerate(names)
    }
    rows = connection.execute("SELECT id, remark FROM stripe.subscriptions").fetchall()
    assert sorted(rows) == sorted((name, f"about {n}") for n, name in enumerate(names))
    again = command("reconcile.cli", "--report", "--format", "json", "--exit-code")
    assert (again.returncode, json.loads(again.stdout)["drift"]) == (0, [])


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
whole_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)
finite = st.floats(allow_nan=False, allow_infinity=False)
any_values = st.recursive(
    finite | whole_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
over_one_database = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def from_jsonb(connection: psycopg.Connection, text: str) -> str:
    row = connection.execute("SELECT %s::jsonb::text", (text,)).fetchone()
    assert row is not None
    return str(row[0])


@over_one_database
@given(whole_values)
def test_canonical_json_is_how_postgresql_prints_jsonb(
    connection: psycopg.Connection, value: Any
) -> None:
    """So that rows are compared as text, without parsing a million objects."""
    assert from_jsonb(connection, json.dumps(value)) == canonical_json(value)
    assert from_jsonb(connection, canonical_json(value)) == canonical_json(value)


ONE_FIELD = MirroredObject(
    name="thing",
    table="things",
    prefix="thing",
    path="/v1/things",
    columns=(Column("id", Type.TEXT, required=True), Column("value", Type.JSON)),
)


@over_one_database
@given(any_values.filter(lambda value: value is not None))
def test_spelling_of_numbers_is_no_difference(connection: psycopg.Connection, value: Any) -> None:
    content = ONE_FIELD.decode(json.dumps({"id": "x", "value": value}).encode())
    stored: Value = from_jsonb(connection, str(content.row[1]))
    row: Row = ("x", stored)
    assert ONE_FIELD.differences(Held(row, (), Interval(1, 2), 1, None), content) == {}


def test_column_that_the_table_lacks_is_an_error_and_writes_nothing(
    connection: psycopg.Connection, database_url: str
) -> None:
    connection.execute(TABLES.encode())
    connection.execute("ALTER TABLE stripe.parcels DROP COLUMN street")
    database = Database(database_url)
    try:
        with database.connection() as lent, pytest.raises(psycopg.errors.UndefinedColumn):
            look(lent, PARCEL, "parcel_1", None)
    finally:
        database.close()
