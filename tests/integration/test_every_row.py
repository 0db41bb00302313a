"""Every row is compared by some window or by its id, and counted once, whatever it claims."""

import json
from typing import Any, NamedTuple

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from shared.objects.column import AS_JSON, Type
from shared.objects.declaration import MirroredObject
from shared.repository.rows import read_held
from tests.builders import apply_all, mirror, reconcile
from tests.integration.lived import Lived
from tests.integration.meddling import OTHER
from tests.integration.witness import count
from tests.objects import each_object, has_test_clock

MARKED = "missing_in_stripe_since = now()"
TIMES = {
    "none": "NULL",
    "infinite": "'infinity'",
    "infinitely long ago": "'-infinity'",
    "before 1970": "'1950-01-01'",
    "of the next day": "now() + interval '12 hours'",
    "of the year 3000": "'3000-01-01'",
    "of long ago": "'1999-01-01'",
    "a moment later": "created + interval '0.3 s'",
}
QUIET = "created none"


class Cases(NamedTuple):
    """By name, what is done to rows of objects that are alive, deleted, or on a test clock."""

    alive: dict[str, str]
    deleted: dict[str, str]
    clocked: dict[str, str]
    forged: list[str]


def cases(mirrored: MirroredObject) -> Cases:
    """What can be done to an object's rows, by what its declaration lets them say."""
    wrong = f"metadata = {OTHER[Type.METADATA].format('metadata')}"
    times = {
        name: value
        for name, value in TIMES.items()
        if value != "NULL" or not mirrored.columns[mirrored.decoded.index["created"]].required
    }
    alive = {
        **{f"created: {name}": f"created = {value}" for name, value in times.items()},
        "infinite and a wrong value": f"created = 'infinity', {wrong}",
        "infinite and marked": f"created = 'infinity', {MARKED}",
        "long ago and marked": f"created = '1999-01-01', {MARKED}",
        "marked": MARKED,
    }
    if "none" in times:
        alive["none and a wrong value"] = f"created = NULL, {wrong}"
        alive["none and marked"] = f"created = NULL, {MARKED}"
    deleted: dict[str, str] = {}
    clocked = dict(alive)
    if mirrored.is_deletable:
        half = {
            "half deleted": "deleted = true",
            "none and half deleted": "created = NULL, deleted = true",
        }
        alive |= half
        # What says in all points what Stripe would leave of a deleted one cannot be told from it.
        clocked |= half
        alive |= {
            "said to be deleted": emptied(mirrored),
            "none and said to be deleted": f"created = NULL, {emptied(mirrored)}",
            "long ago and said to be deleted": f"created = '1999-01-01', {emptied(mirrored)}",
        }
    if mirrored.is_deletable and mirrored.known_when_deleted:
        deleted = {
            QUIET: "created = NULL",
            "created none, a value": f"created = NULL, {wrong}",
            "a value": wrong,
            "a fraction": "created = created + interval '0.3 s'",
            "infinite": "created = 'infinity'",
            "said to be alive": "deleted = false",
            "said to be alive, created none": "deleted = false, created = NULL",
        }
    forged = [value for value in times.values() if "created +" not in value]
    return Cases(alive, deleted, clocked if has_test_clock(mirrored) else {}, forged)


def emptied(mirrored: MirroredObject) -> str:
    """What makes a row say what Stripe would leave of a deleted object."""
    body = json.dumps({"id": "x_1", "object": mirrored.name, "deleted": True})
    row = mirrored.decode(body.encode()).row
    values = {
        column.name: "NULL" if value is None else f"'{value}'" if column.type in AS_JSON else value
        for column, value in zip(mirrored.columns, row, strict=True)
        if column.name != "id" and not column.keeps
    }
    return ", ".join(f'"{name}" = {value}' for name, value in values.items())


def make(control: Control, mirrored: MirroredObject, count: int, **fields: Any) -> list[Lived]:
    made = []
    for _ in range(count):
        made.append(Lived(control, mirrored, **fields))
        control.advance(60)
    return made


def rows(connection: psycopg.Connection, mirrored: MirroredObject) -> dict[str, Any]:
    """Every row, but for what is the database's own."""
    query = f"SELECT id, (to_jsonb(t) - 'as_of' - 'revision') FROM stripe.{mirrored.table} AS t"  # noqa: S608
    return dict(connection.execute(query.encode()).fetchall())


def meddle(connection: psycopg.Connection, mirrored: MirroredObject, done: dict[str, str]) -> None:
    """Change rows by their ids."""
    for name, change in done.items():
        statement = f"UPDATE stripe.{mirrored.table} SET {change} WHERE id = %s"  # noqa: S608
        assert connection.execute(statement.encode(), (name,)).rowcount == 1, change


def forge(connection: psycopg.Connection, mirrored: MirroredObject, times: list[str]) -> None:
    """Add rows of what Stripe never had."""
    table = f"stripe.{mirrored.table}"
    for number, created in enumerate(times):
        connection.execute(
            f"""
            INSERT INTO {table}
            SELECT (jsonb_populate_record(t, jsonb_build_object(
                'id', 'x_forged' || %s, 'created', {created},
                'as_of', tstzrange(to_timestamp(1), to_timestamp(2))
            ))).*
            FROM {table} AS t WHERE created < '2100-01-01' AND missing_in_stripe_since IS NULL
                AND id NOT LIKE 'x_forged%%'
            ORDER BY revision, id LIMIT 1
            """.encode(),  # noqa: S608
            (number,),
        )


@each_object()
@pytest.mark.parametrize("every_field", [False, True])
def test_rows_that_no_window_reaches_are_repaired_and_each_is_counted_once(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
    *,
    every_field: bool,
) -> None:
    control = stripe_double.control
    control.advance(86_400 * 5)
    of = cases(mirrored)
    alive = dict(zip(of.alive, make(control, mirrored, len(of.alive)), strict=True))
    deleted = dict(zip(of.deleted, make(control, mirrored, len(of.deleted)), strict=True))
    make(control, mirrored, 10)
    on_clocks = make(control, mirrored, len(of.clocked), test_clock="clock_1") if of.clocked else []
    clocked = dict(zip(of.clocked, on_clocks, strict=True))
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    for lived in deleted.values():
        lived.end()
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.advance(3_600)
    before = rows(connection, mirrored)
    known = len(before)
    forge(connection, mirrored, of.forged)
    for changes, those in ((of.alive, alive), (of.clocked, clocked), (of.deleted, deleted)):
        meddle(connection, mirrored, {those[case].name: changes[case] for case in changes})
    forged = count(connection, mirrored.table) - known
    assert forged == len(of.forged)
    report = reconcile(database_url, stripe_double, every_field=every_field)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    found = {row.object_id: row for row in report.drift()}
    wanted = {
        **{lived.name: "differs" for lived in (*alive.values(), *clocked.values())},
        **{lived.name: "differs" for case, lived in deleted.items() if case != QUIET},
        **{f"x_forged{number}": "missing_in_stripe" for number in range(forged)},
    }
    assert {name: row.kind for name, row in found.items()} == wanted
    assert {row.action for row in found.values()} == {"repaired"}
    counts = report.counts[mirrored.name]
    assert counts.database == known + forged
    assert counts.in_sync + len(found) == known + forged
    assert counts.stripe == known - (QUIET in deleted)
    after = rows(connection, mirrored)
    for lived in (*alive.values(), *clocked.values()):
        assert after[lived.name] == before[lived.name]
    for lived in deleted.values():
        held = read_held(connection, mirrored, [lived.name]).get(lived.name)
        assert held is not None
        assert mirrored.is_emptied(held.row)
    assert count(connection, mirrored.table, "missing_in_stripe_since IS NOT NULL") == forged
    control.advance(3_600)
    control.clear_requests()
    again = reconcile(database_url, stripe_double, every_field=every_field)
    assert list(again.drift()) == []
    counts = again.counts[mirrored.name]
    assert (counts.database, counts.in_sync) == (known + forged, known + forged)
    asked = {line.path.rpartition("/")[2] for line in control.requests()}
    mine = asked & before.keys()
    assert {lived.name for lived in clocked.values()} <= mine
    assert len(mine - {lived.name for lived in clocked.values()}) <= 1, "whose key it is"
