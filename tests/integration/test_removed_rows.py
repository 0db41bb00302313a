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
from shared.objects.declaration import Content, MirroredObject
from shared.repository.rows import read_held
from shared.repository.write import Write, encode, write_for_run
from shared.truth import Interval
from tests.builders import apply, apply_all, mirror, reconcile, until
from tests.integration import judge
from tests.integration.lived import Lived
from tests.integration.meddling import DELETE_ALL, RENAME_ALL, TRUNCATE_ALL, change_all
from tests.integration.witness import blocked, one
from tests.objects import each_object, tables

REMOVALS = {
    "deleted": DELETE_ALL,
    "deleted in one transaction": f"BEGIN; {DELETE_ALL}; COMMIT",
    "truncated": TRUNCATE_ALL,
    "changed, then deleted": f"{change_all()}; {DELETE_ALL}",
    "changed, then truncated": f"{change_all()}; {TRUNCATE_ALL}",
    "renamed": RENAME_ALL,
}


def by_event(_: str, double: StripeDouble, to: Mirror, those: list[Lived]) -> None:
    """Come back by what an event carries."""
    del double
    for lived in those:
        assert apply(to, lived.same_again()).outcome is Outcome.APPLIED


def by_thin_event(_: str, double: StripeDouble, to: Mirror, those: list[Lived]) -> None:
    """Come back by a question and a write."""
    for lived in those:
        lived.same_again()
        body = double.control.thin_body(double.control.events()[-1]["id"])
        assert apply(to, body).outcome is Outcome.APPLIED


def by_run(url: str, double: StripeDouble, *_: object) -> None:
    """Come back by a run, with the window that lacks it."""
    assert reconcile(url, double).run.outcome is RunOutcome.SUCCESS


RETURNS: dict[str, Callable[[str, StripeDouble, Mirror, list[Lived]], None]] = {
    "event": by_event,
    "thin event": by_thin_event,
    "run": by_run,
}


def with_a_past(control: Control) -> list[Lived]:
    """One object of each kind with a past: states, items that came, changed and went."""
    control.advance(86_400)
    found = []
    for mirrored in MIRRORED:
        lived = Lived(control, mirrored, metadata={"a": "b", "é": "\n"})
        for state in (1, 2, 0):
            control.advance(60)
            lived.become(state)
        if mirrored.items is not None:
            control.advance(60)
            item = control.add_item(lived.name, price="team")
            control.advance(60)
            control.change_item(lived.name, item, quantity=4)
            control.advance(60)
            control.add_item(lived.name, price="decimal")
            control.advance(60)
            control.remove_item(lived.name, item)
        control.advance(60)
        found.append(lived)
    return found


def assert_folds(connection: psycopg.Connection) -> None:
    changes = judge.folded(connection)
    for mirrored in MIRRORED:
        for name, picture in judge.rows(connection, mirrored).items():
            assert changes[name] == picture
    twice = connection.execute(
        "SELECT object_id, revision FROM stripe.changes GROUP BY 1, 2 HAVING count(*) > 1"
    ).fetchall()
    assert twice == []


def revisions(connection: psycopg.Connection, those: list[Lived]) -> dict[str, int]:
    found: dict[str, int] = {}
    for mirrored in MIRRORED:
        query = f"SELECT id, revision FROM stripe.{mirrored.table}"  # noqa: S608
        found.update(connection.execute(query.encode()).fetchall())
    return {lived.name: found[lived.name] for lived in those}


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
    those = with_a_past(control)
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        assert_folds(connection)
        before = revisions(connection, those)
        for come_back in (RETURNS[way], *RETURNS.values()):
            control.advance(3_600)
            for lived in those:
                assert apply(to, lived.same_again()).outcome is Outcome.UNCHANGED
            control.advance(3_600)
            before = {name: before[name] + 1 for name in before}
            assert revisions(connection, those) == before
            connection.execute(REMOVALS[removal].encode())
            folded = judge.folded(connection)
            for lived in those:
                assert folded[lived.name] == ({"items": {}} if lived.mirrored.items else {})
            come_back(database_url, stripe_double, to, those)
            after = revisions(connection, those)
            # One more is the removal's.
            assert all(after[name] >= before[name] + 2 for name in before)
            assert_folds(connection)
            before = after


@each_object()
def test_answer_that_was_asked_for_before_a_removal_replaces_nothing_that_came_after_it(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    those = with_a_past(control)
    (name,) = [lived.name for lived in those if lived.mirrored is mirrored]
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        for come_back in itertools.islice(itertools.cycle(RETURNS.values()), 7):
            held = read_held(connection, mirrored, [name]).get(name)
            assert held is not None
            connection.execute(DELETE_ALL.encode())
            control.advance(3_600)
            come_back(database_url, stripe_double, to, those)
            old = Content(name, held.row, held.items)
            write = Write(old, Interval(1, 2), held.revision, {"id": (None, name)})
            rows = encode([write], mirrored)
            assert write_for_run(connection, mirrored, rows, str(uuid.uuid4())) == set()


@each_object()
def test_row_that_is_removed_while_an_event_replaces_it_gets_a_revision_of_its_own(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    control.advance(86_400)
    lived = Lived(control, mirrored)
    with mirror(database_url, stripe_double) as to, psycopg.connect(database_url) as other:
        apply_all(to, control)
        control.advance(60)
        lived.become(1)
        for table in tables(mirrored):
            other.execute(f"DELETE FROM stripe.{table}".encode())  # noqa: S608
        thread = threading.Thread(target=apply, args=(to, lived.body()))
        thread.start()
        until(lambda: blocked(connection) == 1, "the event waits")
        other.commit()
        thread.join()
    found = connection.execute(
        "SELECT revision FROM stripe.changes WHERE object_id = %s ORDER BY id", [lived.name]
    )
    assert found.fetchall() == [(1,), (2,), (3,)]
    assert revisions(connection, [lived]) == {lived.name: 3}


@each_object()
def test_row_without_any_change_is_removed_and_its_revision_not_used_again(
    database_url: str,
    connection: psycopg.Connection,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
) -> None:
    """As a restore of the rows alone leaves it."""
    control = stripe_double.control
    control.advance(86_400)
    lived = Lived(control, mirrored)
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        connection.execute(
            f"""
            SET session_replication_role = replica;
            UPDATE stripe.{mirrored.table} SET revision = 41;
            TRUNCATE stripe.changes;
            SET session_replication_role = origin;
            """.encode()  # noqa: S608
        )
        for table in tables(mirrored):
            connection.execute(f"DELETE FROM stripe.{table}".encode())  # noqa: S608
        assert apply(to, lived.same_again()).outcome is Outcome.APPLIED
    assert revisions(connection, [lived]) == {lived.name: 43}
    made_by = connection.execute(
        "SELECT revision, event_id IS NULL AND run_id IS NULL FROM stripe.changes"
        " WHERE object_id = %s ORDER BY revision",
        [lived.name],
    )
    assert made_by.fetchall() == [(42, True), (43, False)]


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
