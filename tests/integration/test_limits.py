"""The limit on a run's repairs, object by object: what is written, held back, told, found again."""

import psycopg
import pytest
from psycopg import sql

from reconcile.report.model import RunOutcome, totals
from reconcile.report.verdict import verdict
from sandbox.stripe_double import StripeDouble
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from tests.builders import reconcile
from tests.integration.witness import one

HOUR = 3_600


@pytest.mark.parametrize("allowed", [3, 4])
@pytest.mark.parametrize("mirrored", MIRRORED, ids=lambda each: each.name)
def test_objects_beyond_the_limit_hold_back_a_lockout_only_if_they_decide_access(
    mirrored: MirroredObject,
    allowed: int,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """Of each object four rows were written by somebody; one subscription is locked out."""
    control = stripe_double.control
    control.switch(shop="open")
    control.seed(30)
    control.advance(HOUR)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    locked_out = one(connection, "SELECT max(id) FROM stripe.subscriptions WHERE status = 'active'")
    connection.execute(
        "UPDATE stripe.subscriptions SET status = 'canceled' WHERE id = %s", [locked_out]
    )
    text = """
        UPDATE stripe.{table} SET metadata = '{{"whose": "ours"}}'
        WHERE id IN (SELECT id FROM stripe.{table} WHERE id <> %s ORDER BY id LIMIT 4)
    """
    spoiled = sql.SQL(text).format(table=sql.Identifier(mirrored.table))
    connection.execute(spoiled, [locked_out])
    is_alone = mirrored.access is None
    changes = 4 if is_alone else 5
    allowed += changes - 4
    foretold = reconcile(database_url, stripe_double, limit=str(allowed), writes=False)
    report = reconcile(database_url, stripe_double, limit=str(allowed))
    if changes <= allowed:
        assert (report.run.outcome, report.run.exit_status) == (RunOutcome.SUCCESS, 0)
        assert foretold.run.would_be_refused is None
        return
    assert (report.run.outcome, report.run.exit_status) == (RunOutcome.REFUSED, 1)
    refused = foretold.run.would_be_refused
    assert refused is not None
    assert (report.run.reason or "").startswith(refused)
    assert refused.startswith(f"{changes} of ")
    assert f"({mirrored.name}s)" in refused
    assert ("these alone are held back" in refused) is is_alone
    actions = {(row.object, row.action) for row in report.drift()}
    assert actions == {
        (mirrored.name, "refused"),
        ("subscription", "repaired" if is_alone else "refused"),
    }
    status = "SELECT status FROM stripe.subscriptions WHERE id = %s"
    assert one(connection, status, locked_out) == ("active" if is_alone else "canceled")
    changed = "1 existing row was changed" if is_alone else "no existing row was changed"
    assert changed in verdict(report, totals(report))
    # The next run begins anew, and finds it again.
    control.advance(HOUR)
    again = reconcile(database_url, stripe_double, limit="5")
    assert (again.run.outcome, again.run.compared_since) == (RunOutcome.SUCCESS, None)
    assert totals(again).drift == (4 if is_alone else 5)
    assert {row.action for row in again.drift()} == {"repaired"}
