"""Values that Stripe never says, written by hand into any column, are seen, told and repaired."""

import io
import json
from typing import Any, NamedTuple

import psycopg
import pytest

from reconcile.report import as_json, as_text
from reconcile.report.model import RunOutcome, totals
from sandbox.stripe_double import StripeDouble
from shared.mirror import Outcome
from shared.objects.catalogue import MIRRORED
from shared.objects.column import Column, Type
from shared.objects.declaration import MirroredObject
from shared.repository import column_sql as sql
from shared.repository.apply_event import write_for_event
from shared.repository.ledger import Entry
from shared.repository.rows import read_held
from shared.repository.write import Write
from shared.truth import Interval
from tests.builders import apply, apply_all, mirror, reconcile
from tests.integration.lived import Lived, seeded
from tests.objects import LIVES, can_be_deleted, each_object, has_items

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


class Place(NamedTuple):
    """A table of a mirrored object; `key`: the column that names the object."""

    mirrored: MirroredObject
    table: str
    key: str
    columns: tuple[Column, ...]

    @property
    def cases(self) -> list[tuple[Column, str]]:
        """Each column with each odd value of its type; ids name the row."""
        return [
            (column, f"({value})".format(f'coalesce("{column.name}", {WHOLE})'))
            if column.type is Type.TIMESTAMP
            else (column, f"({value})".format(f'"{column.name}"'))
            for column in self.columns
            if column.name != "id"
            for value in ODD[column.type]
        ]


PLACES = [Place(mirrored, mirrored.table, "id", mirrored.columns) for mirrored in MIRRORED] + [
    Place(mirrored, mirrored.items.table, mirrored.items.parent, mirrored.items.columns)
    for mirrored in MIRRORED
    if mirrored.items is not None
]
each_table = pytest.mark.parametrize("place", PLACES, ids=[place.table for place in PLACES])


def content(connection: psycopg.Connection) -> dict[str, list[Any]]:
    """Every mirrored row, as the database prints it, but for what is its own."""
    return {
        place.table: connection.execute(
            # Not as JSON, in which two kinds of null are one.
            f"SELECT ROW({sql.listed(sql.names(place.columns), 0)})::text"  # noqa: S608
            f" FROM stripe.{place.table} ORDER BY id".encode()
        ).fetchall()
        for place in PLACES
    }


def meddle(connection: psycopg.Connection, place: Place, made: list[Lived]) -> dict[str, str]:
    """Write each case of a table into a row of its own; which column it is, by the object's id."""
    done: dict[str, str] = {}
    for lived, (column, value) in zip(made, place.cases, strict=True):
        before = connection.execute(
            f"SELECT t::text FROM stripe.{place.table} AS t WHERE {place.key} = %s".encode(),  # noqa: S608
            (lived.name,),
        ).fetchone()
        after = connection.execute(
            f'UPDATE stripe.{place.table} AS t SET "{column.name}" = {value}'  # noqa: S608
            f" WHERE {place.key} = %s RETURNING t::text".encode(),
            (lived.name,),
        ).fetchone()
        assert before != after, (column.name, value)
        done[lived.name] = column.name
    return done


def told_truly(fields: dict[str, Any], name: str) -> bool:
    (pair,) = (pair for field, pair in fields.items() if field.split(".")[-1] == name)
    before, after = (json.dumps(value, sort_keys=True) for value in pair)
    return before != after


@each_table
@pytest.mark.parametrize("every_field", [False, True])
def test_odd_value_in_any_column_is_told_and_repaired_by_one_run(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    monkeypatch: pytest.MonkeyPatch,
    place: Place,
    *,
    every_field: bool,
) -> None:
    made = seeded(database_url, stripe_double, place.mirrored, len(place.cases))
    before = content(connection)
    done = meddle(connection, place, made)
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
    for kind in MIRRORED:
        number = len(stripe_double.control.ids(kind.name))
        of = report.counts[kind.name]
        drift = sum(row.object == kind.name for row in found.values())
        assert (of.database, of.stripe) == (number, number), kind.name
        assert of.in_sync + drift == number, kind.name
    stripe_double.control.advance(3_600)
    again = reconcile(database_url, stripe_double)
    assert list(again.drift()) == []


@each_table
def test_odd_value_in_any_column_is_told_and_replaced_by_an_event(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble, place: Place
) -> None:
    made = seeded(database_url, stripe_double, place.mirrored, len(place.cases))
    before = content(connection)
    done = meddle(connection, place, made)
    with mirror(database_url, stripe_double) as to:
        for lived in made:
            assert apply(to, lived.same_again()).outcome is Outcome.APPLIED, done[lived.name]
    assert content(connection) == before
    for name, fields in connection.execute(
        "SELECT DISTINCT ON (object_id) object_id, fields FROM stripe.changes"
        " WHERE event_id IS NOT NULL ORDER BY object_id, revision DESC"
    ).fetchall():
        assert told_truly(fields, done[name]), fields
    stripe_double.control.advance(3_600)
    assert list(reconcile(database_url, stripe_double).drift()) == []


@each_object(can_be_deleted)
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
def test_what_stays_of_a_deleted_object_is_what_stripe_may_have_said(
    connection: psycopg.Connection,
    database_url: str,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
    created: str,
    stays: int | None,
) -> None:
    """So do the other columns that stay; the row and its change say the same."""
    lived = Lived(stripe_double.control, mirrored, **dict(LIVES[mirrored.name].whole))
    with mirror(database_url, stripe_double) as to:
        apply_all(to, stripe_double.control)
    change = f"UPDATE stripe.{mirrored.table} SET created = {created} WHERE id = %s"  # noqa: S608
    connection.execute(change.encode(), (lived.name,))
    body = {"id": lived.name, "object": mirrored.name, "deleted": True}
    answer = mirrored.decode(json.dumps(body).encode())
    held = read_held(connection, mirrored, [lived.name]).get(lived.name)
    assert held is not None
    whole = mirrored.completed(answer, held)
    assert mirrored.created(whole.row) == stays
    for column in mirrored.columns:
        if column.name not in {"id", "created", "deleted", "metadata"}:
            kept = mirrored.value(held.row, column.name) if column.keeps else None
            assert mirrored.value(whole.row, column.name) == kept, column.name
    entry = Entry(
        event_id="evt_1",
        type="x",
        object_id=lived.name,
        created=1_800_000_000,
        api_version=None,
        source="webhook",
        outcome="applied",
        error=None,
        payload=b"{}",
    )
    at = Interval(1_800_000_000, 1_800_000_001)
    write = Write(whole, at, held.revision, mirrored.differences(held, whole))
    assert write_for_event(connection, mirrored, write, entry)
    after = read_held(connection, mirrored, [lived.name]).get(lived.name)
    assert after is not None
    assert after.row == whole.row
    fields = connection.execute(
        "SELECT fields::text FROM stripe.changes WHERE event_id = 'evt_1'"
    ).fetchone()
    assert fields is not None
    assert json.loads(fields[0]) == {
        name: list(pair) for name, pair in mirrored.differences(held, whole).items()
    }


ITEMS = {
    "moved to another object": "UPDATE {items} SET {parent} = %(other)s WHERE {parent} = %(name)s",
    "exchanged with another's": (
        "UPDATE {items} SET {parent} = CASE {parent} WHEN %(name)s THEN %(other)s ELSE %(name)s END"
        " WHERE {parent} IN (%(name)s, %(other)s)"
    ),
    "renamed": "UPDATE {items} SET id = 'si_1.quantity' WHERE {parent} = %(name)s",
    "removed": "DELETE FROM {items} WHERE {parent} = %(name)s",
}


@each_object(has_items)
@pytest.mark.parametrize("case", ITEMS)
def test_item_that_somebody_changes_is_put_right_by_one_run(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
    case: str,
) -> None:
    assert mirrored.items is not None
    lived, other, *_ = seeded(database_url, stripe_double, mirrored, 20)
    before = content(connection)
    change = ITEMS[case].format(
        items=f"stripe.{mirrored.items.table}", parent=mirrored.items.parent
    )
    connection.execute(change.encode(), {"name": lived.name, "other": other.name})
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    assert lived.name in {row.object_id for row in report.drift()}
    assert content(connection) == before
    stripe_double.control.advance(3_600)
    assert list(reconcile(database_url, stripe_double).drift()) == []


@each_object()
def test_mark_with_a_fraction_is_put_right_by_one_run(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
) -> None:
    lived, *_ = seeded(database_url, stripe_double, mirrored, 5)
    mark = f"""
        UPDATE stripe.{mirrored.table} SET missing_in_stripe_since = to_timestamp(1700000000.25)
        WHERE id = %s
    """  # noqa: S608
    connection.execute(mark.encode(), (lived.name,))
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    assert [(row.object_id, row.fields) for row in report.drift()] == [
        (lived.name, {"missing_in_stripe_since": ("1700000000.25", None)})
    ]
    assert lived.held(connection) == 0
    stripe_double.control.advance(3_600)
    assert list(reconcile(database_url, stripe_double).drift()) == []


@each_object()
@pytest.mark.parametrize("path", ["run", "event"])
def test_interval_with_fractions_is_rounded_outwards_and_holds_up_nobody(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
    path: str,
) -> None:
    lived, *_ = seeded(database_url, stripe_double, mirrored, 5)
    change = f"""
        UPDATE stripe.{mirrored.table} SET metadata = '{{"odd": "1"}}',
            as_of = tstzrange(lower(as_of) + interval '0.6 s', upper(as_of) + interval '0.4 s')
        WHERE id = %s
        RETURNING extract(epoch FROM lower(as_of)), extract(epoch FROM upper(as_of))
    """  # noqa: S608
    row = connection.execute(change.encode(), (lived.name,)).fetchone()
    assert row is not None
    held = read_held(connection, mirrored, [lived.name]).get(lived.name)
    assert held is not None
    assert held.as_of.lower <= row[0] < held.as_of.lower + 1
    assert held.as_of.upper - 1 < row[1] <= held.as_of.upper
    if path == "event":
        with mirror(database_url, stripe_double) as to:
            assert apply(to, lived.same_again()).outcome is Outcome.APPLIED
    else:
        found = [one.object_id for one in reconcile(database_url, stripe_double).drift()]
        assert found == [lived.name]
    assert lived.held(connection) == 0
    stripe_double.control.advance(3_600)
    assert list(reconcile(database_url, stripe_double).drift()) == []
