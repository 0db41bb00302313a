"""What is recognised is equal on both sides now, whatever it was when it was remembered."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from reconcile.comparison import compare
from reconcile.report.model import Report, RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.repository import fingerprints
from shared.repository.window import read_window
from shared.stripe.recognition import seed
from tests.builders import ACCESS, apply, mirror, reconcile, world
from tests.integration import meddling
from tests.integration.lived import seeded
from tests.integration.witness import count, one
from tests.objects import LIVES, each_object, endpoint, has_items, is_always_listed

FLAGS = "{{" + ", ".join(f'"flag_{number:02}": "{{}}"' for number in range(32)) + "}}"


def both_seeded(url: str, double: StripeDouble, number: int = 12) -> list[str]:
    """Subscriptions with as many customers, which two runs have compared: a third knows them."""
    double.control.advance(86_400)
    now = int(double.control.now())
    double.control.seed(number, start=now - 50_000, end=now - 5_000)
    for _ in range(2):
        assert reconcile(url, double).run.outcome is RunOutcome.SUCCESS
        double.control.advance(3_600)
    return double.control.ids("subscription")


def recognised(report: Report) -> dict[str, int]:
    """How many objects were recognised, of those of which there are any."""
    return {name: counts.recognised for name, counts in report.counts.items() if counts.stripe}


def known(connection: psycopg.Connection, mirrored: MirroredObject, salt: int = 0) -> set[str]:
    """The ids of the rows whose content is what was remembered."""
    salt = salt or fingerprints.read_salt(connection)
    read = read_window(connection, mirrored, 0, 2**40, seed=seed(salt, compare.__file__))
    assert not read.known.keys() & read.rows.keys()
    return set(read.known)


def test_third_run_recognises_everything_and_says_what_the_second_said(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    both_seeded(database_url, stripe_double)
    before = world(connection, "runs")
    third = reconcile(database_url, stripe_double)
    assert recognised(third) == {"customer": 12, "subscription": 12}
    assert world(connection, "runs") == before
    whole = reconcile(database_url, stripe_double, every_field=True)
    assert recognised(whole) == {"customer": 0, "subscription": 0}
    for name in third.counts:
        third.counts[name].recognised = 0
    assert third.counts == whole.counts
    assert third.stripe_requests == whole.stripe_requests


def test_report_recognises_and_remembers_nothing(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    both_seeded(database_url, stripe_double)
    looked = reconcile(database_url, stripe_double, writes=False)
    assert recognised(looked) == {"customer": 12, "subscription": 12}
    connection.execute("DELETE FROM stripe.fingerprints")
    looked = reconcile(database_url, stripe_double, writes=False)
    assert recognised(looked) == {"customer": 0, "subscription": 0}
    assert count(connection, "fingerprints") == 0


@each_object()
def test_row_with_another_value_in_any_column_is_not_recognised(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    made = seeded(database_url, stripe_double, mirrored, 3)
    everything = known(connection, mirrored)
    assert everything == {lived.name for lived in made}
    changes = [(mirrored.table, column, "id") for column in mirrored.columns if column.name != "id"]
    if mirrored.items is not None:
        parent = mirrored.items.parent
        changes += [(mirrored.items.table, column, parent) for column in mirrored.items.columns]
    name = sorted(everything)[1]
    for table, column, key in changes:
        with connection.transaction(force_rollback=True):
            changed = connection.execute(meddling.update(table, column, key), (name,))
            assert changed.rowcount == 1, (table, column.name)
            assert known(connection, mirrored) == everything - {name}, (table, column.name)
    assert known(connection, mirrored) == everything


@pytest.mark.parametrize(
    "column, one_value, other",
    [
        ("unit_amount_decimal", "1.5", "-1.5"),
        ("quantity", "5", str((1 << 32) + 4)),
        ("unit_amount", "-1", str((1 << 32) - 1)),
        ("start_date", "2026-09-29 16:48:43+00", "2028-06-07 21:40:37+00"),
        ("metadata", FLAGS.format(*["true"] * 32), FLAGS.format(*["false"] * 32)),
        ("metadata", FLAGS.format("a", *["b"] * 31), FLAGS.format(*["b"] * 16, "a", *["b"] * 15)),
    ],
    ids=["sign", "quantity", "amount", "time", "all of metadata", "metadata exchanged"],
)
def test_values_that_postgresql_itself_hashes_alike_have_two_hashes(
    column: str,
    one_value: str,
    other: str,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """Its hashes leave out a number's sign, fold eight bytes to four, and let JSON cancel out."""
    (name,) = both_seeded(database_url, stripe_double, 1)
    is_own = column in {own.name for own in SUBSCRIPTION.columns}
    table, key = ("subscriptions", "id") if is_own else ("subscription_items", "subscription_id")
    update = sql.SQL("UPDATE stripe.{} SET {} = %s WHERE {} = %s").format(
        *map(sql.Identifier, (table, column, key))
    )
    hashes = set()
    for value in (one_value, other):
        connection.execute(update, (value, name))
        rows = read_window(connection, SUBSCRIPTION, 0, 2**40, seed=77, recall=False)
        hashes.add(rows.rows[name].hash)
    assert len(hashes) == 2


ITEMS = {
    "item gone": "DELETE FROM {items} WHERE {parent} = %(id)s",
    "item elsewhere": "UPDATE {items} SET {parent} = %(other)s WHERE {parent} = %(id)s",
    "item more": """
        INSERT INTO {items}
        SELECT (jsonb_populate_record(i, '{{"id": "x_more"}}')).* FROM {items} AS i
        WHERE i.{parent} = %(id)s
    """,
}


@each_object(has_items)
@pytest.mark.parametrize("case", ITEMS)
def test_row_with_other_items_is_not_recognised(
    mirrored: MirroredObject,
    case: str,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    assert mirrored.items is not None
    name, other, third = (lived.name for lived in seeded(database_url, stripe_double, mirrored, 3))
    assert known(connection, mirrored) == {name, other, third}
    items, parent = f"stripe.{mirrored.items.table}", mirrored.items.parent
    statement = ITEMS[case].format(items=items, parent=parent)
    connection.execute(statement.encode(), {"id": name, "other": other})
    left = {other, third} - ({other} if "%(other)s" in statement else set())
    assert known(connection, mirrored) == left
    report = reconcile(database_url, stripe_double)
    assert {row.action for row in report.drift()} == {"repaired"}
    assert name in {row.object_id for row in report.drift()}
    assert not list(reconcile(database_url, stripe_double, every_field=True).drift())


@each_object()
def test_row_with_a_mark_is_not_recognised(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    lived, *others = seeded(database_url, stripe_double, mirrored, 3)
    mark = f"UPDATE stripe.{mirrored.table} SET missing_in_stripe_since = now() WHERE id = %s"  # noqa: S608
    connection.execute(mark.encode(), [lived.name])
    assert known(connection, mirrored) == {other.name for other in others}
    report = reconcile(database_url, stripe_double)
    assert [(row.object_id, row.action) for row in report.drift()] == [(lived.name, "repaired")]
    assert not list(reconcile(database_url, stripe_double, every_field=True).drift())


def test_fingerprints_of_another_salt_recognise_nothing(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    both_seeded(database_url, stripe_double, 3)
    assert known(connection, CUSTOMER, salt=1) == set()
    connection.execute("UPDATE stripe.account SET fingerprint_salt = fingerprint_salt + 1")
    again = reconcile(database_url, stripe_double)
    assert recognised(again) == {"customer": 0, "subscription": 0}
    assert count(connection, "fingerprints") == 6
    again = reconcile(database_url, stripe_double)
    assert recognised(again) == {"customer": 3, "subscription": 3}


@each_object()
def test_change_that_no_event_told_of_is_found_although_its_row_was_recognised(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    made = seeded(database_url, stripe_double, mirrored, 12)
    lived = made[4]
    lived.become(1, events=0)
    stripe_double.control.advance(3_600)
    report = reconcile(database_url, stripe_double)
    (row,) = report.drift()
    assert (row.object_id, row.kind, row.action) == (lived.name, "differs", "repaired")
    changed = LIVES[mirrored.name].states[1].keys()
    assert {field.split(".")[-1] for field in row.fields} == changed
    assert lived.held(connection) == 1
    assert recognised(report)[mirrored.name] == 11
    assert recognised(reconcile(database_url, stripe_double))[mirrored.name] == 11
    assert recognised(reconcile(database_url, stripe_double))[mirrored.name] == 12


def item_of(control: Control, name: str) -> str:
    body = control.truth(name)
    assert body is not None
    return str(body["items"]["data"][0]["id"])


@each_object()
def test_change_of_what_is_not_mirrored_is_in_sync_and_remembered_anew(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    made = seeded(database_url, stripe_double, mirrored, 12)
    made[2].touch(events=0)
    stripe_double.control.advance(3_600)
    before = world(connection, "runs")
    report = reconcile(database_url, stripe_double)
    assert not list(report.drift())
    assert report.counts[mirrored.name].in_sync == 12
    assert recognised(report)[mirrored.name] == 11
    assert recognised(reconcile(database_url, stripe_double))[mirrored.name] == 12
    assert world(connection, "runs") == before


@pytest.mark.parametrize("is_late", [False, True])
def test_row_that_a_webhook_writes_while_its_page_is_listed_is_asked_for(
    is_late: bool,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """Trap 3: its content is read again after the page, so its revision must be the one before."""
    control = stripe_double.control
    names = both_seeded(database_url, stripe_double)
    control.change_item(names[3], item_of(control, names[3]), quantity=5, events=0)
    control.advance(3_600)
    with (
        ThreadPoolExecutor(1) as pool,
        mirror(database_url, stripe_double) as to,
        control.hold("after_read", endpoint="subscriptions.list") as hold,
    ):
        run = pool.submit(reconcile, database_url, stripe_double)
        hold.wait_reached()
        if is_late:  # one that confirms an older state
            connection.execute(
                "UPDATE stripe.subscriptions SET revision = revision + 1 WHERE id = %s", [names[3]]
            )
        else:
            control.advance(60)
            control.change_item(names[3], item_of(control, names[3]), quantity=6)
            apply(to, control.event_body(control.events()[-1]["id"]))
        control.clear_requests()
        hold.release()
        report = run.result(20)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert len(list(report.drift())) == is_late
    assert [line.path for line in control.requests() if names[3] in line.path] != []
    counts = report.counts["subscription"]
    assert (counts.stripe, counts.database) == (12, 12)
    granting = "SELECT count(*) FROM stripe.subscriptions WHERE status = ANY(%s)"
    assert counts.granting == one(connection, granting, list(ACCESS))
    quantity = "SELECT quantity FROM stripe.subscription_items WHERE subscription_id = %s"
    assert one(connection, quantity, names[3]) == (5 if is_late else 6)


@each_object(is_always_listed)
def test_recognisable_row_that_the_list_leaves_out_is_asked_for(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """Trap 8: its fingerprint says nothing where there is no body."""
    control = stripe_double.control
    made = seeded(database_url, stripe_double, mirrored, 12)
    control.fault("truncated_list", keep=11, endpoint=endpoint(mirrored, "list"), count=None)
    control.clear_requests()
    before = world(connection, "runs")
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.REFUSED
    paths = [line.path for line in control.requests()]
    asked = {path.rpartition("/")[2] for path in paths if f"{mirrored.path}/" in path}
    assert len(asked & {lived.name for lived in made}) == 1
    assert world(connection, "runs") == before


@each_object(lambda mirrored: LIVES[mirrored.name].shelved)
def test_object_that_lists_show_only_where_asked_is_a_row_like_others_once_one_has(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    made = seeded(database_url, stripe_double, mirrored, 12, **LIVES[mirrored.name].shelved)
    third = reconcile(database_url, stripe_double)
    assert (third.counts[mirrored.name].recognised, list(third.drift())) == (12, [])
    made[5].become(1, events=0)
    made[7].end(events=0)
    control.advance(3_600)
    control.clear_requests()
    report = reconcile(database_url, stripe_double)
    assert {row.object_id: row.action for row in report.drift()} == {
        made[5].name: "repaired",
        made[7].name: "repaired",
    }
    assert made[5].held(connection) == 1
    # Only the one that is in no list any more is asked for, and it is in no row any more.
    assert control.request_counts()[endpoint(mirrored, "retrieve")] == 1
    counts = report.counts[mirrored.name]
    assert (counts.recognised, counts.database, counts.stripe) == (10, 12, 11)
    control.advance(3_600)
    assert not list(reconcile(database_url, stripe_double).drift())


def test_pages_of_another_layout_are_compared_field_by_field(
    database_url: str, stripe_double: StripeDouble
) -> None:
    both_seeded(database_url, stripe_double)
    stripe_double.control.switch(compact=True)
    report = reconcile(database_url, stripe_double)
    assert recognised(report) == {"customer": 0, "subscription": 0}
    in_sync = {name: counts.in_sync for name, counts in report.counts.items() if counts.stripe}
    assert in_sync == {"customer": 12, "subscription": 12}


@pytest.mark.parametrize("moment", ["1960-01-01", None])
def test_row_that_is_moved_while_its_page_is_listed_hides_no_other(
    moment: str | None,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """Two customers are deleted without an event, and somebody moves the row of the newer."""
    control = stripe_double.control
    both_seeded(database_url, stripe_double)
    query = "SELECT array_agg(id ORDER BY created DESC) FROM stripe.customers"
    newer, older, *_ = one(connection, query)
    for name in (newer, older):
        control.delete_customer(name, events=0)
    control.advance(3_600)
    move = "UPDATE stripe.customers SET created = %s, revision = revision + 1 WHERE id = %s"
    control.hook(lambda: connection.execute(move, [moment, newer]), endpoint="customers.list")
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert older in {row.object_id for row in report.drift()}
