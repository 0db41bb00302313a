"""Values that Stripe never says, written by hand into any column, are seen, told and repaired."""

import io
import json
from typing import Any

import psycopg
import pytest

from reconcile.report import as_json, as_text
from reconcile.report.model import RunOutcome, totals
from sandbox.stripe_double import StripeDouble
from shared.mirror import Outcome
from shared.objects.catalogue import MIRRORED
from shared.objects.column import Column, Type
from shared.objects.customer import CUSTOMER
from shared.objects.subscription import SUBSCRIPTION
from shared.repository import column_sql, mirror_rows
from shared.repository.event_rows import apply_if_newer
from shared.repository.ledger import Entry
from shared.truth import Interval
from tests.builders import apply, mirror, reconcile

JSON_NULL = "'null'"
ODD: dict[Type, tuple[str, ...]] = {
    Type.TEXT: ("''", "'odd'", "repeat('x', 300)", "E'\\x01'", "'\U0001f41f'"),
    Type.REFERENCE: ("''", "'odd'", "repeat('x', 300)"),
    Type.BOOLEAN: ("NOT coalesce({0}, true)",),
    Type.INTEGER: ("-1", "0", "9223372036854775807", "-9223372036854775808"),
    Type.DECIMAL: ("'NaN'", "'Infinity'", "'-Infinity'", "12345678901234567890.0123456789", "-0.5"),
    Type.TIMESTAMP: (
        *("{0} + interval '0.2 s'", "{0} - interval '0.3 s'", "{0} + interval '0.5 s'"),
        *("{0} + interval '1 microsecond'", "{0} - interval '1 microsecond'"),
        *("'infinity'", "'-infinity'", "to_timestamp(-1.5)", "'0044-03-15 BC'", "'20000-01-01'"),
        *("'3000-01-01 00:00:00.000001+00'", "'9999-12-31 00:00:00.000001+00'"),
    ),
    Type.METADATA: (
        *(JSON_NULL, "'\"odd\"'", "'5'", "'[]'", "'{{\"a\": 1}}'", "'{{\"a\": null}}'"),
        *('\'{{"a": {{"b": "c"}}}}\'', '\'{{"a": "b"}}\''),
    ),
    Type.REFERENCES: (
        *(JSON_NULL, "'\"odd\"'", "'{{}}'", "'[null]'", "'[\"odd\"]'", '\'[{{"id": "odd"}}]\''),
    ),
    Type.JSON: (JSON_NULL, "'5'", "'\"null\"'", "'[]'", "'{{}}'", "'{{\"behavior\": 1.0}}'"),
}
WHOLE = "'2026-03-04 05:06:07+00'"
"""What a time is in Stripe and in the database before it is changed, where it would be none."""

ITEMS = SUBSCRIPTION.items
assert ITEMS is not None
COLUMNS = {
    "customers": CUSTOMER.columns,
    "subscriptions": SUBSCRIPTION.columns,
    "subscription_items": ITEMS.columns,
}


def cases(columns: tuple[Column, ...]) -> list[tuple[Column, str]]:
    """Each column with each odd value of its type; ids name the row."""
    return [
        (column, f"({value})".format(f'coalesce("{column.name}", {WHOLE})'))
        if column.type is Type.TIMESTAMP
        else (column, f"({value})".format(f'"{column.name}"'))
        for column in columns
        if column.name != "id"
        for value in ODD[column.type]
    ]


CASES = {table: cases(columns) for table, columns in COLUMNS.items()}
ID_OF = {"customers": "id", "subscriptions": "id", "subscription_items": "subscription_id"}


def content(connection: psycopg.Connection) -> dict[str, list[Any]]:
    """Every mirrored row, as the database prints it, but for what is its own."""
    return {
        table: connection.execute(
            # Not as JSON, in which two kinds of null are one.
            f"SELECT ROW({column_sql.names(columns)})::text FROM stripe.{table} ORDER BY id"  # noqa: S608
        ).fetchall()
        for table, columns in COLUMNS.items()
    }


def seeded(url: str, double: StripeDouble, count: int) -> list[str]:
    double.control.advance(86_400 * 30)
    now = int(double.control.now())
    double.control.seed(count, start=now - 90_000, end=now - 5_000)
    assert reconcile(url, double).run.outcome is RunOutcome.SUCCESS
    double.control.advance(3_600)
    # So that the rows are known by their fingerprints.
    assert not list(reconcile(url, double).drift())
    double.control.advance(3_600)
    return double.control.ids("subscription")


def meddle(connection: psycopg.Connection, table: str, names: list[str]) -> dict[str, str]:
    """Write each case of a table into a row of its own; which column it is, by the object's id."""
    done: dict[str, str] = {}
    for name, (column, value) in zip(names, CASES[table], strict=False):
        before = connection.execute(
            f"SELECT t::text FROM stripe.{table} AS t WHERE {ID_OF[table]} = %s",  # noqa: S608
            (name,),
        ).fetchone()
        after = connection.execute(
            f'UPDATE stripe.{table} AS t SET "{column.name}" = {value}'  # noqa: S608
            f" WHERE {ID_OF[table]} = %s RETURNING t::text",
            (name,),
        ).fetchone()
        assert before != after, (column.name, value)
        done[name] = column.name
    return done


def told_truly(fields: dict[str, Any], name: str) -> bool:
    (pair,) = (pair for field, pair in fields.items() if field.split(".")[-1] == name)
    before, after = (json.dumps(value, sort_keys=True) for value in pair)
    return before != after


@pytest.mark.parametrize("table", CASES)
@pytest.mark.parametrize("every_field", [False, True])
def test_odd_value_in_any_column_is_told_and_repaired_by_one_run(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    *,
    every_field: bool,
) -> None:
    names = seeded(database_url, stripe_double, len(CASES[table]))
    if table == "customers":
        names = stripe_double.control.ids("customer")
    before = content(connection)
    done = meddle(connection, table, names)
    report = reconcile(database_url, stripe_double, every_field=every_field)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    found = {row.object_id: row for row in report.drift()}
    missed = {name: column for name, column in done.items() if name not in found}
    assert missed == {}
    untrue = [row for name, row in found.items() if not told_truly(row.fields, done[name])]
    assert untrue == []
    assert {row.action for row in found.values()} == {"repaired"}
    assert content(connection) == before
    monkeypatch.setattr(as_text, "_MOST_ROWS", 10_000)
    for renderer in (as_text, as_json):
        renderer.write(report, totals(report), stream := io.StringIO())
        assert all(name in stream.getvalue() for name in found)
    counts = report.counts
    for kind in MIRRORED:
        of = counts[kind.name]
        drift = sum(row.object == kind.name for row in found.values())
        assert (of["database"], of["stripe"]) == (len(names), len(names)), kind.name
        assert of["in_sync"] + drift == len(names), kind.name
    stripe_double.control.advance(3_600)
    again = reconcile(database_url, stripe_double)
    assert list(again.drift()) == []


@pytest.mark.parametrize("table", CASES)
def test_odd_value_in_any_column_is_told_and_replaced_by_an_event(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble, table: str
) -> None:
    names = seeded(database_url, stripe_double, len(CASES[table]))
    kind = "customer.subscription.updated"
    if table == "customers":
        names, kind = stripe_double.control.ids("customer"), "customer.updated"
    before = content(connection)
    done = meddle(connection, table, names)
    with mirror(database_url, stripe_double) as to:
        for name in done:
            event_id = stripe_double.control.emit(kind, name)
            receipt = apply(to, stripe_double.control.event_body(event_id))
            assert receipt.outcome is Outcome.APPLIED, done[name]
    assert content(connection) == before
    for name, fields in connection.execute(
        "SELECT DISTINCT ON (object_id) object_id, fields FROM stripe.changes"
        " WHERE event_id IS NOT NULL ORDER BY object_id, revision DESC"
    ).fetchall():
        assert told_truly(fields, done[name]), fields
    stripe_double.control.advance(3_600)
    assert list(reconcile(database_url, stripe_double).drift()) == []


INSERTED = """
INSERT INTO stripe.customers (id, deleted, metadata, test_clock, created, as_of, revision)
VALUES ('cus_1', false, '{{}}', 'clock_1', {}, '[2001-01-01,2001-01-02)', 1)
"""


@pytest.mark.parametrize(
    "created, stays",
    [
        ("to_timestamp(1700000000)", 1_700_000_000),
        ("to_timestamp(1700000000) + interval '0.2 s'", 1_700_000_000),
        ("to_timestamp(1700000000) - interval '0.3 s'", 1_700_000_000),
        ("to_timestamp(-1.5)", -2),
        ("'infinity'", None),
        ("'-infinity'", None),
        ("NULL", None),
    ],
)
def test_what_stays_of_a_deleted_customer_is_what_stripe_may_have_said(
    connection: psycopg.Connection, created: str, stays: int | None
) -> None:
    """The one statement and the rule in Python say the same; so does the test clock."""
    connection.execute(INSERTED.format(created).encode())
    answer = CUSTOMER.decode(b'{"id": "cus_1", "object": "customer", "deleted": true}')
    *_, held = mirror_rows.read_held(connection, CUSTOMER, "cus_1", None)
    content = CUSTOMER.completed(answer, held)
    assert (CUSTOMER.created(content.row), CUSTOMER.value(content.row, "test_clock")) == (
        stays,
        "clock_1",
    )
    entry = Entry(
        event_id="evt_1",
        type="customer.deleted",
        object_id="cus_1",
        created=1_700_000_000,
        api_version=None,
        source="webhook",
        outcome="applied",
        error=None,
        payload=b"{}",
    )
    at = Interval(1_700_000_000, 1_700_000_001)
    attempt = apply_if_newer(connection, CUSTOMER, answer, at, entry)
    assert attempt.outcome == "applied"
    *_, after = mirror_rows.read_held(connection, CUSTOMER, "cus_1", None)
    assert after is not None
    assert after.row == content.row
    fields = connection.execute("SELECT fields::text FROM stripe.changes").fetchone()
    assert fields is not None
    assert json.loads(fields[0]) == {
        name: list(pair) for name, pair in CUSTOMER.differences(held, content).items()
    }


WHOLE_ROWS = {
    "an item moved to another subscription": (
        "UPDATE stripe.subscription_items SET subscription_id = %(other)s"
        " WHERE subscription_id = %(name)s"
    ),
    "two items exchanged": (
        "UPDATE stripe.subscription_items SET subscription_id ="
        " CASE subscription_id WHEN %(name)s THEN %(other)s ELSE %(name)s END"
        " WHERE subscription_id IN (%(name)s, %(other)s)"
    ),
    "an item renamed": (
        "UPDATE stripe.subscription_items SET id = 'si_1.quantity' WHERE subscription_id = %(name)s"
    ),
    "an item removed": "DELETE FROM stripe.subscription_items WHERE subscription_id = %(name)s",
    "a mark with a fraction": (
        "UPDATE stripe.subscriptions SET missing_in_stripe_since = to_timestamp(1700000000.25)"
        " WHERE id = %(name)s"
    ),
}


@pytest.mark.parametrize("case", WHOLE_ROWS)
def test_item_or_mark_that_somebody_changes_is_put_right_by_one_run(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble, case: str
) -> None:
    name, other, *_ = seeded(database_url, stripe_double, 20)
    before = content(connection)
    marks = connection.execute(
        "SELECT count(*) FROM stripe.subscriptions WHERE missing_in_stripe_since IS NOT NULL"
    )
    assert marks.fetchone() == (0,)
    connection.execute(WHOLE_ROWS[case].encode(), {"name": name, "other": other})
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    found = {row.object_id: row for row in report.drift()}
    assert name in found
    if case == "a mark with a fraction":
        assert found[name].fields == {"missing_in_stripe_since": ("1700000000.25", None)}
    assert content(connection) == before
    stripe_double.control.advance(3_600)
    assert list(reconcile(database_url, stripe_double).drift()) == []


@pytest.mark.parametrize("path", ["run", "event"])
def test_interval_with_fractions_is_rounded_outwards_and_holds_up_nobody(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble, path: str
) -> None:
    name, *_ = seeded(database_url, stripe_double, 20)
    connection.execute(
        """
        UPDATE stripe.subscriptions SET status = 'unpaid',
            as_of = tstzrange(lower(as_of) + interval '0.6 s', upper(as_of) + interval '0.4 s')
        WHERE id = %s
        """,
        (name,),
    )
    row = connection.execute(
        "SELECT extract(epoch FROM lower(as_of)), extract(epoch FROM upper(as_of))"
        " FROM stripe.subscriptions WHERE id = %s",
        (name,),
    ).fetchone()
    assert row is not None
    *_, held = mirror_rows.read_held(connection, SUBSCRIPTION, name, None)
    assert held is not None
    assert held.as_of.lower <= row[0] < held.as_of.lower + 1
    assert held.as_of.upper - 1 < row[1] <= held.as_of.upper
    if path == "event":
        with mirror(database_url, stripe_double) as to:
            event_id = stripe_double.control.emit("customer.subscription.updated", name)
            receipt = apply(to, stripe_double.control.event_body(event_id))
            assert receipt.outcome is Outcome.APPLIED
    else:
        assert [one.object_id for one in reconcile(database_url, stripe_double).drift()] == [name]
    stripe_double.control.advance(3_600)
    assert list(reconcile(database_url, stripe_double).drift()) == []
