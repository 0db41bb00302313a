"""An object that an upgrade adds is filled by the first night that comes to its end."""

import threading

import psycopg
import pytest

from reconcile.report.model import RunOutcome, totals
from reconcile.report.verdict import verdict
from sandbox.stripe_double import StripeDouble
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.wording import counted
from tests.builders import reconcile
from tests.integration.lived import Lived
from tests.integration.witness import once
from tests.objects import each_object, endpoint, tables

HOUR = 3_600


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
    control.create_subscription(events=0)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    for table in tables(mirrored):
        connection.execute(f"DELETE FROM stripe.{table}".encode())  # noqa: S608
    connection.execute("DELETE FROM stripe.compared WHERE object = %s", (mirrored.name,))
    control.advance(HOUR)
    made = [Lived(control, mirrored) for _ in range(3)]
    control.advance(HOUR)
    wanted = len(control.ids(mirrored.name))
    stop = threading.Event()
    if moment == "half-way":
        filled = f"SELECT EXISTS (SELECT FROM stripe.{mirrored.table})"  # noqa: S608
        hook = once(database_url, filled, stop.set)
        control.hook(hook, when="before_read", endpoint="events.list", count=1)
    else:
        for each in MIRRORED:
            place = endpoint(each, "list")
            control.hook(stop.set, when="before_read", endpoint=place, count=None)
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
    connection.execute(f"DELETE FROM stripe.{mirrored.table}".encode())  # noqa: S608
    lost = reconcile(database_url, stripe_double, is_strict=True)
    assert (verdict(lost, totals(lost)).split(":")[0], lost.run.exit_status) == ("REPAIRED", 3)
