"""A run's report and a report's: one order, the same bytes, every difference with its customer."""

import io
import json
import random
import re
import time
import uuid
from contextlib import closing
from typing import Any

import psycopg
import pytest

from reconcile.comparison.compare import compare_one
from reconcile.comparison.findings import Findings
from reconcile.journal.in_file import FileJournal
from reconcile.journal.spool import SortedSpool, Spool
from reconcile.report.model import Report, RunOutcome, totals
from reconcile.report.output import RENDERERS
from reconcile.windows.window import Window
from sandbox.stripe_double import StripeDouble
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.repository import drifts, runs
from shared.repository.drifts import CONSEQUENCES, Customer, DriftRow
from shared.truth import Interval
from tests.builders import ACCESS, reconcile, run, until
from tests.integration.lived import drifted
from tests.integration.test_plans import touched
from tests.objects import each_object
from tests.unit.bodies import subscription

HOUR = 3_600
CURRENCIES = ("eur", "usd", "jpy", "Ümlaut", "x" * 50)


def rows(number: int, seed: int = 1) -> list[DriftRow]:
    """Differences of every kind by chance, of which many are equal in all but their id."""
    chance = random.Random(seed)
    made: list[DriftRow] = []
    for n in range(number):
        amounts = {
            currency: chance.choice((1, 2, 999, 2**63 - 1))
            for currency in chance.sample(CURRENCIES, chance.choice((0, 1, 1, 2)))
        }
        made.append(
            DriftRow(
                object=chance.choice([mirrored.name for mirrored in MIRRORED]),
                object_id=f"{chance.choice(('sub', 'Sub', 'sub-', 'süb', 'sub😀'))}_{n}",
                kind="differs",
                consequence=chance.choice(CONSEQUENCES),
                fields={"status": ("a", "b")},
                customer=Customer(id=f"cus_{n}"),
                monthly_amount=amounts,
                ends_access=False,
                action=chance.choice(("repaired", "in_flight", "refused")),
                spooled=None,
                found_at=1,
            )
        )
    return made


def expected(of: list[DriftRow]) -> list[DriftRow]:
    """By the rule as it is written for people."""

    def key(row: DriftRow) -> Any:
        first = sorted(row.monthly_amount)[:1]
        amount = -row.monthly_amount[first[0]] if first else 0
        has_none = not first
        currency = first[0][:40] if first else ""
        return (
            CONSEQUENCES.index(row.consequence),
            has_none,
            currency,
            amount,
            row.object,
            row.object_id,
        )

    return sorted(of, key=key)


@pytest.mark.parametrize("portion", [1, 33, 250, 10_000])
def test_file_sorts_whatever_the_portion(portion: int) -> None:
    those = [row for row in rows(700) if "Ümlaut" not in row.monthly_amount]
    spool = SortedSpool(portion)
    with closing(spool):
        spool.add(those)
        assert list(spool.read()) == expected(those)
        assert list(spool.read()) == expected(those), "read anew"
        for name in CONSEQUENCES:
            mine = [row for row in expected(those) if row.consequence == name]
            # Several readers of one file are in nobody's way.
            for one, other, row in zip(spool.read(name), spool.read(name), mine, strict=True):
                assert one == other == row
    none = SortedSpool()
    with closing(none):
        assert list(none.read()) == []


def test_file_takes_a_third_of_what_is_written_into_it() -> None:
    """Trap 27: a temporary file may be memory."""
    those = rows(2_000)
    spool = Spool()
    with closing(spool):
        blocks = spool.write(those)
        assert 3 * sum(block.size for block in blocks) < len(drifts.encode(those))
        assert list(spool.read(blocks)) == those


@pytest.mark.parametrize("is_looked_at_again", [False, True])
def test_report_waits_for_nothing_that_a_run_would_insert_at_once(
    *, is_looked_at_again: bool
) -> None:
    content = SUBSCRIPTION.decode(json.dumps(subscription()).encode())
    lacking = compare_one(SUBSCRIPTION, content.id, None, content, Interval(5_000, 5_602))
    assert lacking is not None
    for kind, action in (("missing", "reported"), ("waiting", "pending")):
        again = content.id if is_looked_at_again else None
        found = Findings(mirrored=SUBSCRIPTION, window=Window(0, 9), again=again)
        getattr(found, kind).append(lacking)
        journal = FileJournal(ACCESS, lambda _: {})
        with closing(journal):
            journal.keep(found)
            assert bool(journal.last_waiting) is (action == "pending")
            waiting = [row.action for batch in journal.pending() for row in batch]
            assert waiting == ["pending"] * (action == "pending")
            assert [row.action for row in journal.all()] == ["reported"]


def test_database_and_file_list_in_one_order(connection: psycopg.Connection) -> None:
    name = str(uuid.uuid4())
    connection.execute(
        """
        INSERT INTO stripe.runs (id, scope, holder, lease_expires_at, done, counts)
        VALUES (%s, 'all', 'test', now(), '{}', '{}')
        """,
        [name],
    )
    those = rows(2_500)
    # As a restore leaves them: what a batch costs never depends on when statistics were taken.
    connection.execute("VACUUM ANALYZE")
    connection.execute("ALTER TABLE stripe.drifts SET (autovacuum_enabled = off)")
    connection.execute("SET enable_seqscan = off")
    drifts.record(connection, name, those)
    connection.execute("SELECT pg_stat_reset()")
    spool = SortedSpool()
    with closing(spool):
        spool.add(those)
        for consequence in (None, *CONSEQUENCES):
            found: list[DriftRow] = []
            last = None
            while batch := drifts.after(connection, name, last, consequence):
                assert len(batch) <= drifts.BATCH
                found += batch
                last = batch[-1].place
            assert found == list(spool.read(consequence))
    connection.execute("SELECT pg_stat_force_next_flush()")
    until(lambda: touched(connection)["drifts"][2] > 0, "the server counts what was done")
    assert touched(connection)["drifts"][2] < 3 * len(those)


def told(report: Report) -> dict[str, str]:
    """Both formats, without what names the run and its time."""
    found: dict[str, str] = {}
    for name, render in RENDERERS.items():
        stream = io.StringIO()
        render(report, totals(report), stream)
        text = re.sub(r"[0-9-]{10}[ T][0-9:]{8}( UTC|Z)|, [0-9]+ s\b", "TIME", stream.getvalue())
        text = re.sub(r"[0-9]+( requests to Stripe|(?<=\"stripe_requests\": )[0-9]+)", "N", text)
        found[name] = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "RUN", text)
    return found


def all_wrong(url: str, double: StripeDouble, connection: psycopg.Connection) -> None:
    """Sixty subscriptions, of which nothing is as it was."""
    control = double.control
    control.advance(86_400 * 30)
    now = int(control.now())
    control.seed(60, start=now - 90_000, end=now - 5_000)
    assert reconcile(url, double).run.outcome is RunOutcome.SUCCESS
    control.advance(3_600)
    connection.execute("UPDATE stripe.subscription_items SET quantity = quantity + 1")
    connection.execute('UPDATE stripe.customers SET metadata = \'{"b": "c", "aa": "d"}\'')
    connection.execute(
        """
        UPDATE stripe.subscriptions SET status = CASE status WHEN 'active' THEN 'unpaid'
            ELSE 'active' END
        WHERE id IN (SELECT id FROM stripe.subscriptions ORDER BY id LIMIT 30)
        """
    )
    connection.execute(
        """
        DELETE FROM stripe.subscription_items WHERE subscription_id IN (
            SELECT id FROM stripe.subscriptions ORDER BY id DESC LIMIT 10
        )
        """
    )
    connection.execute(
        """
        DELETE FROM stripe.subscriptions AS s
        WHERE NOT EXISTS (
            SELECT FROM stripe.subscription_items AS i WHERE i.subscription_id = s.id
        )
        """
    )


def test_two_reports_of_one_state_are_the_same_bytes(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> None:
    all_wrong(database_url, stripe_double, connection)
    stripe_double.control.advance(3_600)
    found: list[dict[str, str]] = []
    for _ in range(3):
        # The same rows, in another order on the disk.
        connection.execute("UPDATE stripe.customers SET revision = revision WHERE random() < 0.5")
        connection.execute(
            "UPDATE stripe.subscriptions SET revision = revision WHERE random() < 0.5"
        )
        with (
            run(database_url, stripe_double, writes=False) as one,
            closing(one.execute()) as report,
        ):
            found.append(told(report))
    assert found[0] == found[1] == found[2]
    listed = json.loads(found[0]["json"])["drift"]
    assert len(listed) > 100
    assert {row["consequence"] for row in listed} == set(CONSEQUENCES)
    repaired = reconcile(database_url, stripe_double)
    ids = [(row.object, row.object_id) for row in repaired.drift()]
    assert ids == [(row["object"], row["id"]) for row in listed]


@pytest.mark.parametrize("writes", [False, True])
def test_every_difference_names_its_customer(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble, *, writes: bool
) -> None:
    control = stripe_double.control
    ada = control.create_customer(name="Ada", email="ada@example.com")
    names = {kind: control.create_subscription(customer=ada) for kind in ("differs", "missing")}
    bob = control.create_customer(name="Bob", email="bob@example.com")
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.advance(3_600)
    connection.execute("UPDATE stripe.subscription_items SET quantity = 12")
    connection.execute(
        "DELETE FROM stripe.subscription_items WHERE subscription_id = %s", [names["missing"]]
    )
    connection.execute("DELETE FROM stripe.subscriptions WHERE id = %s", [names["missing"]])
    connection.execute("DELETE FROM stripe.customers WHERE id = %s", [bob])
    connection.execute(
        """
        INSERT INTO stripe.subscriptions
        SELECT (jsonb_populate_record(s, '{"id": "sub_gone"}')).*
        FROM stripe.subscriptions AS s
        WHERE s.id = %s
        """,
        [names["differs"]],
    )
    report = reconcile(database_url, stripe_double, writes=writes)
    found = {row.object_id: row for row in report.drift()}
    kinds = {name: row.kind for name, row in found.items()}
    assert kinds == {
        names["differs"]: "differs",
        names["missing"]: "missing_in_database",
        "sub_gone": "missing_in_stripe",
        bob: "missing_in_database",
    }
    for name in (*names.values(), "sub_gone"):
        assert found[name].customer == Customer(id=ada, email="ada@example.com", name="Ada")
    assert found[bob].customer == Customer(id=bob, email="bob@example.com", name="Bob")


@each_object()
@pytest.mark.parametrize("writes", [False, True])
def test_difference_names_a_customer_where_its_object_is_somebodys(
    database_url: str, stripe_double: StripeDouble, mirrored: MirroredObject, *, writes: bool
) -> None:
    (lived,) = drifted(database_url, stripe_double, mirrored)
    (row,) = reconcile(database_url, stripe_double, writes=writes).drift()
    assert (row.object, row.object_id) == (mirrored.name, lived.name)
    assert (row.customer is not None) == (mirrored.customer is not None)
    assert row.consequence in CONSEQUENCES


@pytest.mark.parametrize("writes", [False, True])
def test_difference_of_a_subscription_without_a_customer_names_none(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, writes: bool
) -> None:
    control = stripe_double.control
    name = control.create_subscription()
    control.advance(HOUR)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    connection.execute(
        "UPDATE stripe.subscriptions SET customer_id = NULL, customer_account = 'acct_1',"
        " revision = revision + 1"
    )
    connection.execute("DELETE FROM stripe.fingerprints")
    control.advance(HOUR)
    report = reconcile(database_url, stripe_double, writes=writes)
    assert [(row.object_id, row.customer) for row in report.drift()] == [(name, None)]


def test_run_never_ends_before_it_began(connection: psycopg.Connection) -> None:
    """The second in which it began is not rounded up to the next one."""
    until(lambda: 0.5 < time.time() % 1 < 0.7, "the second half of a second")
    begun = runs.start(
        connection,
        run_id=str(uuid.uuid4()),
        scope=runs.EVERYTHING,
        holder="here:1",
        lease_seconds=60,
    )
    assert begun.started_at <= time.time()


@pytest.mark.parametrize("limit, outcome", [("0", RunOutcome.REFUSED), ("1", RunOutcome.SUCCESS)])
def test_what_only_fills_is_kept_from_the_rows_by_a_limit_of_zero_alone(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    limit: str,
    outcome: RunOutcome,
) -> None:
    control = stripe_double.control
    for _ in range(3):
        control.create_subscription()
    control.advance(HOUR)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    connection.execute("UPDATE stripe.customers SET name = NULL, revision = revision + 1")
    connection.execute("DELETE FROM stripe.fingerprints")
    control.advance(HOUR)
    assert reconcile(database_url, stripe_double, limit=limit).run.outcome is outcome
    unnamed = connection.execute("SELECT FROM stripe.customers WHERE name IS NULL").rowcount
    assert unnamed == (3 if limit == "0" else 0)


def test_report_of_a_database_that_is_gone_is_told_without_names() -> None:
    journal = FileJournal(frozenset(), lambda _: {})
    with closing(journal):
        journal.amend([], rows(20))
        assert {row.object_id for row in journal.all()} == {row.object_id for row in rows(20)}
        assert sum(tally.differences for tally in journal.tallies()) == 20
