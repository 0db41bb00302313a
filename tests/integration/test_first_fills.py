"""An object that an upgrade adds is filled by the first night that comes to its end."""

import threading

import psycopg
import pytest

from reconcile.report.model import RunOutcome, totals
from reconcile.report.verdict import verdict
from sandbox.stripe_double import Control, StripeDouble
from sandbox.stripe_double.http.keys import PERMISSIONS
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.wording import counted
from tests.builders import reconcile
from tests.integration.lived import LONG_AGO, Lived
from tests.integration.witness import count, once
from tests.objects import each_object, endpoint, tables

HOUR = 3_600
KEY = "rk_test_old"


def add_by_upgrade(
    mirrored: MirroredObject, url: str, double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Let the objects be compared, but for this one, which the version before did not know."""
    double.control.create_subscription(events=0)
    double.control.advance(HOUR)
    reconcile(url, double)
    for table in tables(mirrored):
        connection.execute(f"DELETE FROM stripe.{table}".encode())  # noqa: S608
    connection.execute("DELETE FROM stripe.compared WHERE object = %s", (mirrored.name,))
    double.control.advance(HOUR)


def make(control: Control, mirrored: MirroredObject, number: int) -> int:
    """Make some, an hour apart and long enough ago, and return how many there are."""
    for place in range(number):
        Lived(control, mirrored, created=LONG_AGO + place * HOUR, events=place % 2)
    control.advance(HOUR)
    return len(control.ids(mirrored.name))


def stop_before_the_first_window(control: Control, stop: threading.Event) -> None:
    for each in MIRRORED:
        place = endpoint(each, "list")
        control.hook(stop.set, when="before_read", endpoint=place, count=None)


def stop_once_some_are_filled(
    control: Control, mirrored: MirroredObject, url: str, stop: threading.Event
) -> None:
    filled = f"SELECT EXISTS (SELECT FROM stripe.{mirrored.table})"  # noqa: S608
    hook = once(url, filled, stop.set)
    control.hook(hook, when="before_read", endpoint="events.list", count=1)


@each_object(lambda mirrored: mirrored.access is None)
@pytest.mark.parametrize("moment", ["before its first window", "half-way"])
def test_object_that_an_upgrade_adds_is_a_first_fill_still_when_its_first_night_was_stopped(
    mirrored: MirroredObject,
    moment: str,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    add_by_upgrade(mirrored, database_url, stripe_double, connection)
    made = [Lived(control, mirrored) for _ in range(3)]
    control.advance(HOUR)
    wanted = len(control.ids(mirrored.name))
    stop = threading.Event()
    if moment == "half-way":
        stop_once_some_are_filled(control, mirrored, database_url, stop)
    else:
        stop_before_the_first_window(control, stop)
    stopped = reconcile(database_url, stripe_double, stop=stop)
    assert stopped.run.outcome is RunOutcome.INCOMPLETE
    control.clear_interventions()
    report = reconcile(database_url, stripe_double, is_strict=True)
    assert verdict(report, totals(report)).startswith(
        f"IN SYNC: no drift; first fill: {counted(wanted, mirrored.name)}"
    )
    # Whatever told of them was no event that the webhook had to bring.
    assert (report.run.exit_status, report.events.webhook_missed) == (0, 0)
    assert {lived.held(connection) for lived in made} == {0}
    assert_nothing_is_new(mirrored, database_url, stripe_double, connection)


@each_object(lambda mirrored: mirrored.access is None)
@pytest.mark.parametrize("limit", ["10%", "0"], ids=["went through", "refused"])
@pytest.mark.parametrize("nights", [1, 2])
def test_object_that_the_key_could_not_read_is_a_first_fill_once_it_can(
    mirrored: MirroredObject,
    limit: str,
    nights: int,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    add_by_upgrade(mirrored, database_url, stripe_double, connection)
    wanted = make(control, mirrored, 3)
    control.add_key(KEY, permissions=PERMISSIONS - {mirrored.table})
    for _ in range(nights):
        connection.execute("UPDATE stripe.subscriptions SET status = 'canceled'")
        failed = reconcile(database_url, stripe_double, key=KEY, limit=limit)
        outcome = RunOutcome.REFUSED if limit == "0" else RunOutcome.FAILED
        assert (failed.run.outcome, failed.run.not_compared) == (outcome, (mirrored.name,))
        control.advance(HOUR)
    connection.execute("UPDATE stripe.subscriptions SET status = 'active'")
    first_fill = f"first fill: {counted(wanted, mirrored.name)}"
    seen = reconcile(database_url, stripe_double, is_strict=True, writes=False)
    assert verdict(seen, totals(seen)) == f"IN SYNC: no drift; {first_fill} missing"
    report = reconcile(database_url, stripe_double, is_strict=True)
    assert verdict(report, totals(report)) == f"IN SYNC: no drift; {first_fill}"
    assert (seen.run.exit_status, report.run.exit_status) == (0, 0)
    assert (totals(report).drifted, report.events.webhook_missed) == (0, 0)
    assert_nothing_is_new(mirrored, database_url, stripe_double, connection)


@each_object(lambda mirrored: mirrored.access is None)
def test_half_of_a_first_fill_that_no_run_goes_on_from_is_a_first_fill_still(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """What a run has compared is too old two days later, so all is compared anew."""
    control = stripe_double.control
    add_by_upgrade(mirrored, database_url, stripe_double, connection)
    make(control, mirrored, 3)
    stop = threading.Event()
    stop_once_some_are_filled(control, mirrored, database_url, stop)
    stopped = reconcile(database_url, stripe_double, stop=stop)
    assert stopped.run.outcome is RunOutcome.INCOMPLETE
    control.clear_interventions()
    filled = count(connection, mirrored.table)
    wanted = make(control, mirrored, 2)
    assert 0 < filled < wanted
    connection.execute("UPDATE stripe.runs SET started_at = started_at - interval '2 days'")
    first_fill = f"first fill: {counted(wanted - filled, mirrored.name)}"
    seen = reconcile(database_url, stripe_double, is_strict=True, writes=False)
    assert verdict(seen, totals(seen)) == f"IN SYNC: no drift; {first_fill} missing"
    # Another one that is stopped takes nothing away.
    stop.clear()
    stop_before_the_first_window(control, stop)
    assert reconcile(database_url, stripe_double, stop=stop).run.outcome is RunOutcome.INCOMPLETE
    control.clear_interventions()
    assert count(connection, mirrored.table) == filled
    report = reconcile(database_url, stripe_double, is_strict=True)
    assert report.run.compared_since is None
    assert verdict(report, totals(report)) == f"IN SYNC: no drift; {first_fill}"
    assert (seen.run.exit_status, report.run.exit_status) == (0, 0)
    assert (totals(report).drifted, report.events.webhook_missed) == (0, 0)
    assert_nothing_is_new(mirrored, database_url, stripe_double, connection)


def assert_nothing_is_new(
    mirrored: MirroredObject, url: str, double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Somebody empties the table now: that is to alarm."""
    connection.execute(f"DELETE FROM stripe.{mirrored.table}".encode())  # noqa: S608
    lost = reconcile(url, double, is_strict=True)
    assert (verdict(lost, totals(lost)).split(":")[0], lost.run.exit_status) == ("REPAIRED", 3)
