"""Every row is compared by some window or by its id, and counted once, whatever it claims."""

from typing import Any

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from tests.builders import apply_all, mirror, reconcile
from tests.integration.witness import count

EMPTIED = "deleted = true, email = NULL, name = NULL, metadata = '{}'"
MARKED = "missing_in_stripe_since = now()"
FORGED = """
INSERT INTO stripe.customers (id, email, deleted, metadata, created, as_of, revision)
VALUES (%s, 'a@b.c', false, '{{}}', {}, tstzrange(to_timestamp(1), to_timestamp(2)), 1)
"""
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
ALIVE = {
    **{f"created: {name}": f"created = {value}" for name, value in TIMES.items()},
    "none and a wrong name": "created = NULL, name = 'odd'",
    "none and marked": f"created = NULL, {MARKED}",
    "infinite and marked": f"created = 'infinity', {MARKED}",
    "none and said to be deleted": f"created = NULL, {EMPTIED}",
    "none and half deleted": "created = NULL, deleted = true",
    "long ago and said to be deleted": f"created = '1999-01-01', {EMPTIED}",
    "long ago and marked": f"created = '1999-01-01', {MARKED}",
    "said to be deleted": EMPTIED,
    "half deleted": "deleted = true",
    "marked": MARKED,
}
CLOCKED = {
    name: change
    for name, change in ALIVE.items()
    # What says in all points what Stripe would leave of a deleted one cannot be told from it.
    if "said to be deleted" not in name
}
DELETED = {
    "created none": "created = NULL",
    "created none, a name": "created = NULL, name = 'odd'",
    "a name": "name = 'odd'",
    "a fraction": "created = created + interval '0.3 s'",
    "infinite": "created = 'infinity'",
    "said to be alive": "deleted = false",
    "said to be alive, created none": "deleted = false, created = NULL",
}
QUIET = {"created none"}


def make(control: Control, count: int, *, clock: bool = False) -> list[str]:
    made = []
    for _ in range(count):
        made.append(control.create_customer(test_clock="clock_1" if clock else None))
        control.advance(60)
    return made


def rows(connection: psycopg.Connection) -> dict[str, Any]:
    found = connection.execute(
        "SELECT id, email, name, created::text, deleted, test_clock, metadata FROM stripe.customers"
    )
    return {row[0]: row for row in found}


@pytest.mark.parametrize("every_field", [False, True])
def test_rows_that_no_window_reaches_are_repaired_and_each_is_counted_once(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    *,
    every_field: bool,
) -> None:
    control = stripe_double.control
    control.advance(86_400 * 5)
    alive = dict(zip(ALIVE, make(control, len(ALIVE)), strict=True))
    deleted = dict(zip(DELETED, make(control, len(DELETED)), strict=True))
    make(control, 10)
    clocked = dict(zip(CLOCKED, make(control, len(CLOCKED), clock=True), strict=True))
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    for name in deleted.values():
        control.delete_customer(name)
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.advance(3_600)
    before = rows(connection)
    known = len(before)
    for cases, names in ((ALIVE, alive), (CLOCKED, clocked), (DELETED, deleted)):
        for case, change in cases.items():
            done = connection.execute(
                f"UPDATE stripe.customers SET {change} WHERE id = %s",  # noqa: S608
                (names[case],),
            )
            assert done.rowcount == 1, case
    for number, value in enumerate(TIMES.values()):
        if "created +" not in value:
            connection.execute(FORGED.format(value).encode(), (f"cus_Forged{number}",))
    forged = count(connection, "customers") - known
    control.clear_requests()
    report = reconcile(database_url, stripe_double, every_field=every_field)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    found = {row.object_id: row for row in report.drift()}
    wanted = {
        **dict.fromkeys((*alive.values(), *clocked.values()), "differs"),
        **{name: "differs" for case, name in deleted.items() if case not in QUIET},
        **{f"cus_Forged{number}": "missing_in_stripe" for number in range(forged)},
    }
    assert {name: row.kind for name, row in found.items()} == wanted
    assert {row.action for row in found.values()} == {"repaired"}
    counts = report.counts["customer"]
    assert counts.database == known + forged
    assert counts.in_sync + len(found) == known + forged
    assert counts.stripe == known - len(QUIET)
    after = rows(connection)
    assert {name: row for name, row in after.items() if name in found} == {
        **{name: row for name, row in before.items() if name in found},
        # When a deleted one was created Stripe no longer says.
        **{name: after[name] for name in deleted.values() if name in found},
        **{name: after[name] for name in found if name not in before},
    }
    for name in deleted.values():
        assert (after[name][1:3], after[name][4]) == ((None, None), True)
    assert count(connection, "customers", "missing_in_stripe_since IS NOT NULL") == forged
    control.advance(3_600)
    control.clear_requests()
    again = reconcile(database_url, stripe_double, every_field=every_field)
    assert list(again.drift()) == []
    counts = again.counts["customer"]
    assert (counts.database, counts.in_sync) == (known + forged, known + forged)
    asked = [line for line in control.requests() if line.path.startswith("/v1/customers/")]
    assert len(asked) == len(CLOCKED), "those on test clocks alone"
