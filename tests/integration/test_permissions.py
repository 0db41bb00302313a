"""A key that may not read every kind of object, as after an upgrade: what is done without it."""

import io
import json

import psycopg
import pytest

from reconcile.report import as_json, as_text
from reconcile.report.model import Report, RunOutcome, totals
from sandbox.stripe_double import Control, StripeDouble
from sandbox.stripe_double.http.keys import PERMISSIONS
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from tests.builders import Endpoint, reconcile, world
from tests.integration.witness import one

HOUR = 3_600
KEY = "rk_test_old"
OPTIONAL = [mirrored for mirrored in MIRRORED if mirrored.access is None]
by_name = pytest.mark.parametrize("mirrored", OPTIONAL, ids=lambda each: each.name)


@pytest.fixture
def control(stripe_double: StripeDouble) -> Control:
    control = stripe_double.control
    control.switch(shop="open")
    control.seed(20)
    control.advance(HOUR)
    return control


def lock_out(connection: psycopg.Connection) -> str:
    """Let a subscription be canceled in the database only, and return its id."""
    found = one(connection, "SELECT max(id) FROM stripe.subscriptions WHERE status = 'active'")
    connection.execute("UPDATE stripe.subscriptions SET status = 'canceled' WHERE id = %s", [found])
    return str(found)


def status(connection: psycopg.Connection, name: str) -> object:
    return one(connection, "SELECT status FROM stripe.subscriptions WHERE id = %s", name)


def assert_says_so(report: Report, mirrored: MirroredObject) -> None:
    """It failed, it names the permission, and nothing of the object is said to be in sync."""
    assert (report.run.outcome, report.run.exit_status) == (RunOutcome.FAILED, 1)
    assert f"{mirrored.name}s were not compared" in str(report.run.reason)
    assert f"the key lacks the permission to read {mirrored.path}" in str(report.run.reason)
    text, whole = io.StringIO(), io.StringIO()
    as_text.write(report, totals(report), text)
    as_json.write(report, totals(report), whole)
    lines = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    assert f"{mirrored.name}s not compared" in lines
    said = json.loads(whole.getvalue())
    assert said["run"]["not_compared"] == [mirrored.name]
    assert mirrored.name not in said["counts"]["by_object"]
    assert not [row for row in said["drift"] if row["object"] == mirrored.name]


@by_name
def test_rest_is_compared_and_repaired_and_the_run_fails_until_the_key_may_read_it(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    """Also what vanished and what drifted of it: nothing is said of that, nothing written."""
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    locked_out = lock_out(connection)
    spoiled = f'UPDATE stripe.{mirrored.table} SET metadata = \'{{"whose": "ours"}}\''  # noqa: S608
    connection.execute(spoiled.encode())
    control.add_key(KEY, permissions=PERMISSIONS - {mirrored.table})
    before = world(connection)[mirrored.table]
    control.advance(HOUR)
    assert_says_so(reconcile(database_url, stripe_double, key=KEY, writes=False), mirrored)
    assert status(connection, locked_out) == "canceled"
    assert_says_so(reconcile(database_url, stripe_double, key=KEY), mirrored)
    assert status(connection, locked_out) == "active"
    assert world(connection)[mirrored.table] == before
    control.advance(HOUR)
    night = reconcile(database_url, stripe_double, limit="100%")
    assert night.run.outcome is RunOutcome.SUCCESS
    assert {(row.object, row.action) for row in night.drift()} == {(mirrored.name, "repaired")}
    assert len(list(night.drift())) == len(before)
    assert not totals(reconcile(database_url, stripe_double)).drift


@by_name
def test_lost_events_of_it_wait_until_the_key_may_read_it(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.advance(HOUR)
    name = control.ids(mirrored.name)[0]
    getattr(control, f"update_{mirrored.name}")(name, metadata={"whose": "Stripe's"})
    lost = control.events()[-1]["id"]
    locked_out = lock_out(connection)
    control.add_key(KEY, permissions=PERMISSIONS - {mirrored.table})
    control.advance(HOUR)
    assert_says_so(reconcile(database_url, stripe_double, key=KEY), mirrored)
    assert status(connection, locked_out) == "active"
    ledger = "SELECT outcome FROM stripe.events WHERE id = %s"
    assert one(connection, "SELECT count(*) FROM stripe.events WHERE id = %s", lost) == 0
    control.advance(HOUR)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    assert one(connection, ledger, lost) in {"applied", "stale", "unchanged"}
    metadata = f"SELECT metadata ->> 'whose' FROM stripe.{mirrored.table} WHERE id = %s"  # noqa: S608
    assert one(connection, metadata, name) == "Stripe's"


@by_name
def test_webhook_applies_events_of_it_that_need_no_question(
    mirrored: MirroredObject, database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    control.add_key(KEY, permissions=PERMISSIONS - {mirrored.table})
    name = control.ids(mirrored.name)[0]
    getattr(control, f"update_{mirrored.name}")(name, metadata={"whose": "Stripe's"})
    body = control.event_body(control.events()[-1]["id"])
    with Endpoint(database_url, stripe_double, key=KEY) as endpoint:
        assert endpoint.get("/readyz").status_code == 200
        answer = endpoint.post(body)
    assert (answer.status_code, answer.get_json()) == (200, {"outcome": "applied"})
