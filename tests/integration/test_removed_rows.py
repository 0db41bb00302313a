"""A row that somebody removes comes back: its revisions go on, and its changes fold to it."""

import itertools
import threading
import uuid
from collections.abc import Callable

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror, Outcome
from shared.objects.catalogue import MIRRORED
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import Content, MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.repository import mirror_rows
from shared.repository.mirror_rows import Write
from shared.truth import Interval
from tests.builders import apply, apply_all, mirror, reconcile, until
from tests.integration import judge
from tests.integration.witness import blocked, one

DELETED = """
DELETE FROM stripe.subscription_items;
DELETE FROM stripe.subscriptions;
DELETE FROM stripe.customers
"""
CHANGED = """
UPDATE stripe.subscriptions SET status = 'odd', metadata = '{"odd": "1"}', cancel_at = now();
UPDATE stripe.subscription_items SET quantity = quantity + 7, unit_amount_decimal = 'NaN';
UPDATE stripe.customers SET email = 'odd', created = NULL;
"""
REMOVALS = {
    "deleted": DELETED,
    "deleted in one transaction": f"BEGIN; {DELETED}; COMMIT",
    "truncated": "TRUNCATE stripe.customers, stripe.subscriptions CASCADE",
    "changed, then deleted": CHANGED + DELETED,
    "changed, then truncated": CHANGED + "TRUNCATE stripe.customers, stripe.subscriptions CASCADE",
    "renamed": """
        DELETE FROM stripe.subscription_items;
        UPDATE stripe.subscriptions SET id = 'x_' || gen_random_uuid();
        UPDATE stripe.customers SET id = 'x_' || gen_random_uuid();
        DELETE FROM stripe.subscriptions WHERE id LIKE 'x_%';
        DELETE FROM stripe.customers WHERE id LIKE 'x_%'
    """,
}


def by_event(_: str, double: StripeDouble, to: Mirror, names: list[str]) -> None:
    """Come back by the one statement."""
    for name in names:
        kind = "customer.updated" if name.startswith("cus") else "customer.subscription.updated"
        body = double.control.event_body(double.control.emit(kind, name))
        assert apply(to, body).outcome is Outcome.APPLIED


def by_thin_event(_: str, double: StripeDouble, to: Mirror, names: list[str]) -> None:
    """Come back by a question and a write."""
    for name in names:
        kind = "customer.updated" if name.startswith("cus") else "customer.subscription.updated"
        body = double.control.thin_body(double.control.emit(kind, name))
        assert apply(to, body).outcome is Outcome.APPLIED


def by_run(url: str, double: StripeDouble, *_: object) -> None:
    """Come back by a run, with the window that lacks it."""
    assert reconcile(url, double).run.outcome is RunOutcome.SUCCESS


RETURNS: dict[str, Callable[[str, StripeDouble, Mirror, list[str]], None]] = {
    "event": by_event,
    "thin event": by_thin_event,
    "run": by_run,
}


def life(control: Control) -> list[str]:
    """Two objects with a past: items that came, changed and went, decimals, lists, nested JSON."""
    control.advance(86_400)
    customer = control.create_customer(name="Ada", metadata={"a": "b", "é": "\n"})
    name = control.create_subscription(
        customer=customer, items=[{"price": "pro"}, {"price": "team"}], quantity=3
    )
    control.advance(60)
    item = control.add_item(name, price="team")
    control.advance(60)
    control.change_item(name, item, quantity=4)
    control.advance(60)
    second = control.add_item(name, price="pro")
    control.advance(60)
    control.remove_item(name, item)
    control.change_item(name, second, quantity=9)
    control.advance(60)
    control.update_subscription(name, metadata={"plan": "life"}, cancel_at_period_end=True)
    control.update_customer(customer, name=None)
    control.advance(60)
    return [customer, name]


def assert_folds(connection: psycopg.Connection) -> None:
    changes = judge.folded(connection)
    for mirrored in MIRRORED:
        for name, picture in judge.rows(connection, mirrored).items():
            assert changes[name] == picture
    twice = connection.execute(
        "SELECT object_id, revision FROM stripe.changes GROUP BY 1, 2 HAVING count(*) > 1"
    ).fetchall()
    assert twice == []


def revisions(connection: psycopg.Connection) -> dict[str, int]:
    found = connection.execute(
        "SELECT id, revision FROM stripe.subscriptions"
        " UNION ALL SELECT id, revision FROM stripe.customers"
    )
    return dict(found.fetchall())


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("way", RETURNS)
def test_row_that_comes_back_again_and_again_goes_on_from_its_last_revision(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    removal: str,
    way: str,
) -> None:
    control = stripe_double.control
    names = life(control)
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        assert_folds(connection)
        before = revisions(connection)
        for come_back in (RETURNS[way], *RETURNS.values()):
            control.advance(3_600)
            by_confirmation = [
                control.event_body(control.emit("customer.updated", names[0])),
                control.event_body(control.emit("customer.subscription.updated", names[1])),
            ]
            for body in by_confirmation:
                assert apply(to, body).outcome is Outcome.UNCHANGED
            control.advance(3_600)
            before = {name: before[name] + 1 for name in before}
            assert revisions(connection) == before
            connection.execute(REMOVALS[removal].encode())
            folded = {n: s for n, s in judge.folded(connection).items() if n in names}
            assert folded == {names[0]: {}, names[1]: {"items": {}}}
            come_back(database_url, stripe_double, to, names)
            after = revisions(connection)
            assert after.keys() == before.keys()
            # One more is the removal's.
            assert all(after[name] >= before[name] + 2 for name in names)
            assert_folds(connection)
            before = after


@pytest.mark.parametrize("mirrored", [CUSTOMER, SUBSCRIPTION], ids=lambda made: made.name)
def test_answer_that_was_asked_for_before_a_removal_replaces_nothing_that_came_after_it(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    names = life(control)
    name = names[mirrored is SUBSCRIPTION]
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        for come_back in itertools.islice(itertools.cycle(RETURNS.values()), 7):
            *_, held = mirror_rows.read_held(connection, mirrored, name, None)
            assert held is not None
            connection.execute(DELETED.encode())
            control.advance(3_600)
            come_back(database_url, stripe_double, to, names)
            old = Content(name, held.row, held.items)
            write = Write(old, Interval(1, 2), held.revision, {"id": (None, name)})
            rows = mirror_rows.encode([write], mirrored)
            assert mirror_rows.write_for_run(connection, mirrored, rows, str(uuid.uuid4())) == set()


def test_row_that_is_removed_while_an_event_replaces_it_gets_a_revision_of_its_own(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    control.advance(86_400)
    name = control.create_customer()
    with mirror(database_url, stripe_double) as to, psycopg.connect(database_url) as other:
        apply_all(to, control)
        control.advance(60)
        control.update_customer(name, name="Ada")
        body = control.event_body(control.events()[-1]["id"])
        other.execute("DELETE FROM stripe.customers")
        thread = threading.Thread(target=apply, args=(to, body))
        thread.start()
        until(lambda: blocked(connection) == 1, "the event waits")
        other.commit()
        thread.join()
    found = connection.execute("SELECT revision FROM stripe.changes ORDER BY id").fetchall()
    assert found == [(1,), (2,), (3,)]
    assert one(connection, "SELECT revision FROM stripe.customers") == 3


def test_row_without_any_change_is_removed_and_its_revision_not_used_again(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    control.advance(86_400)
    name = control.create_customer()
    connection.execute(
        """
        INSERT INTO stripe.customers (id, deleted, metadata, as_of, revision)
        VALUES (%s, false, '{}', '[2001-01-01,2001-01-02)', 41)
        """,
        (name,),
    )
    connection.execute("DELETE FROM stripe.customers")
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    assert one(connection, "SELECT revision FROM stripe.customers") == 43
    made_by = connection.execute(
        "SELECT revision, fields = '{}', event_id IS NULL AND run_id IS NULL FROM stripe.changes"
        " ORDER BY revision"
    ).fetchall()
    assert made_by == [(42, True, True), (43, False, False)]


def test_nobody_can_use_the_function_that_notes_removals_for_a_table_of_their_own(
    connection: psycopg.Connection,
) -> None:
    """Who may delete rows needs no right on the changes."""
    connection.execute(
        """
        CREATE ROLE nobody_at_all;
        GRANT USAGE ON SCHEMA stripe TO nobody_at_all;
        GRANT SELECT, DELETE ON stripe.customers TO nobody_at_all;
        INSERT INTO stripe.customers (id, deleted, metadata, as_of, revision)
        VALUES ('cus_1', false, '{}', '[2001-01-01,2001-01-02)', 1)
        """
    )
    try:
        connection.execute("SET ROLE nobody_at_all")
        connection.execute("DELETE FROM stripe.customers")
        connection.execute("RESET ROLE")
        allowed = one(
            connection,
            "SELECT has_function_privilege(%s, 'stripe.note_removed_rows()', 'EXECUTE')",
            "nobody_at_all",
        )
    finally:
        connection.execute("RESET ROLE; DROP OWNED BY nobody_at_all; DROP ROLE nobody_at_all")
    assert allowed is False
    assert one(connection, "SELECT revision FROM stripe.changes") == 2
