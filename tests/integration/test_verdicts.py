"""What a run says of itself is what it did: refused, stopped, cut, first fill, a dead webhook."""

import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from reconcile.report import as_json, as_text
from reconcile.report.model import Report, RunOutcome, totals
from reconcile.report.verdict import verdict
from sandbox.stripe_double import Control, StripeDouble
from shared.objects.catalogue import MIRRORED
from shared.wording import counted
from tests.builders import apply, mirror, reconcile, until, world
from tests.integration.witness import blocked, count, once, one

HOUR = 3_600
DAY = 24 * HOUR


@pytest.fixture
def control(stripe_double: StripeDouble) -> Control:
    return stripe_double.control


def said(report: Report) -> str:
    """The verdict; it is the same in the text and in JSON."""
    line = verdict(report, totals(report))
    text, whole = io.StringIO(), io.StringIO()
    as_text.write(report, totals(report), text)
    as_json.write(report, totals(report), whole)
    assert text.getvalue().splitlines()[-1] == line
    assert json.loads(whole.getvalue())["run"]["verdict"] == line
    assert not re.search(r"\b1 \w+s\b(?! of)", line.replace(" 1 s", ""))
    return line


def mirrored(url: str, double: StripeDouble, number: int) -> list[str]:
    """Subscriptions that both sides have, an hour old."""
    names = [double.control.create_subscription(events=0) for _ in range(number)]
    double.control.advance(HOUR)
    assert reconcile(url, double).run.outcome is RunOutcome.SUCCESS
    return names


def spoil(control: Control, names: list[str], **fields: Any) -> None:
    for name in names:
        control.update_subscription(name, events=0, **fields)


@pytest.mark.parametrize("missing", [0, 1, 5])
def test_refused_run_says_what_it_wrote_and_what_not(
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    missing: int,
) -> None:
    names = mirrored(database_url, stripe_double, 8)
    spoil(control, names, status="unpaid")
    for _ in range(missing):
        control.create_subscription(customer=control.ids("customer")[0], events=0)
    control.advance(HOUR)
    report = reconcile(database_url, stripe_double, limit="3")
    line = said(report)
    assert (report.run.outcome, totals(report).repaired) == ("refused", missing)
    assert "nothing was written" not in line
    assert "no existing row was changed" in line
    inserted = {0: "none was inserted", 1: "1 missing row was", 5: "5 missing rows were"}
    assert inserted[missing] in line
    assert "--max-repairs 8" in line
    assert count(connection, "subscriptions") == 8 + missing
    assert count(connection, "subscriptions", "status = 'unpaid'") == 0
    kept = one(connection, "SELECT reason FROM stripe.runs ORDER BY started_at DESC LIMIT 1")
    assert kept == report.run.reason


def test_run_that_is_refused_in_the_middle_of_its_repairs_says_which_rows_it_changed(
    database_url: str, stripe_double: StripeDouble, control: Control, connection: psycopg.Connection
) -> None:
    """21 rows lose their race, and what is to be written in their place would end their access."""
    names = mirrored(database_url, stripe_double, 60)
    for name in names[25:]:
        control.cancel(name, events=0)
    control.advance(HOUR)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    spoil(control, names[:25], metadata={"n": "1"})
    control.advance(HOUR)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as holder:
        holder.execute("SELECT 1 FROM stripe.subscriptions FOR UPDATE")
        running = pool.submit(reconcile, database_url, stripe_double, limit="50%")
        until(lambda: blocked(connection) == 1, "the repair waits for the rows")
        spoil(control, names[:21], status="unpaid")
        holder.execute(
            "UPDATE stripe.subscriptions SET revision = revision + 1 WHERE id = ANY(%s)",
            [names[:21]],
        )
        holder.commit()
        report = running.result(20)
    assert report.run.outcome is RunOutcome.REFUSED
    assert "4 existing rows were changed; none was inserted" in said(report)
    assert count(connection, "subscriptions", "metadata <> '{}'") == 4
    assert sorted({row.action for row in report.drift()}) == ["refused", "repaired"]


@pytest.mark.parametrize("limit, is_refused", [("7", True), ("8", False)])
def test_report_says_that_a_repair_would_be_refused_and_what_would_let_it_pass(
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    limit: str,
    is_refused: bool,
) -> None:
    names = mirrored(database_url, stripe_double, 8)
    spoil(control, names, status="unpaid")
    control.advance(HOUR)
    before = world(connection)
    report = reconcile(database_url, stripe_double, writes=False, limit=limit)
    line = said(report)
    assert (report.run.outcome, report.run.exit_status) == ("success", 0)
    assert line.startswith("DRIFT: 8 differences, nothing was written")
    assert ("a repair would be refused: 8 of 8 rows" in line) == is_refused
    assert ("run with --max-repairs 8" in line) == is_refused
    assert world(connection) == before
    needed = "8" if is_refused else limit
    assert reconcile(database_url, stripe_double, limit=needed).run.outcome is RunOutcome.SUCCESS


@pytest.mark.parametrize("mode", ["report", "run", "one subscription"])
@pytest.mark.parametrize("why", ["deadline", "signal"])
def test_what_is_said_to_come_next_is_what_comes(
    database_url: str, stripe_double: StripeDouble, control: Control, why: str, mode: str
) -> None:
    (name,) = mirrored(database_url, stripe_double, 1)
    stop = threading.Event()
    place = "subscriptions.retrieve" if mode == "one subscription" else "events.list"
    if why == "signal":
        control.hook(stop.set, when="before_read", endpoint=place, count=1)
    options: dict[str, Any] = {
        "stop": stop,
        "writes": mode != "report",
        "subscription": name if mode == "one subscription" else None,
    }
    if why == "deadline":
        options["deadline"] = time.monotonic() + 0.6
    stopped = reconcile(database_url, stripe_double, **options)
    control.clear_interventions()
    if stopped.run.outcome is RunOutcome.SUCCESS:
        # It was done already, or this machine is quicker than the deadline.
        assert why == "deadline" or mode == "one subscription"
        return
    assert stopped.run.outcome is RunOutcome.INCOMPLETE
    line = said(stopped)
    assert ("the deadline came" if why == "deadline" else "stopped by a signal") in line
    following = reconcile(database_url, stripe_double)
    goes_on = following.run.compared_since is not None
    assert ("the next run goes on from there" in line) == goes_on
    assert ("a report keeps nothing" in line) == (mode == "report")
    assert ("nothing was written" in line) == (mode == "report")
    assert goes_on <= (mode == "run")


def test_first_fill_locks_nobody_out_and_says_so(
    database_url: str, stripe_double: StripeDouble, control: Control, connection: psycopg.Connection
) -> None:
    for _ in range(3):
        control.create_subscription(events=0)
    control.advance(HOUR)
    empty = reconcile(database_url, stripe_double, writes=False, is_strict=True)
    assert said(empty).startswith("DRIFT: 6 differences, nothing was written")
    assert said(empty).endswith("the database is empty: a run would insert 6 rows")
    assert empty.run.exit_status == 3, "it is as empty as before"
    report = reconcile(database_url, stripe_double, is_strict=True)
    assert said(report) == "FILLED: the database was empty, 6 rows were inserted"
    assert (report.run.exit_status, totals(report).by_consequence) == (0, {})
    assert one(connection, "SELECT totals FROM stripe.runs") == {}
    text = io.StringIO()
    as_text.write(report, totals(report), text)
    assert "locked out, though" not in text.getvalue()
    assert "LOCKOUT" not in text.getvalue()
    control.create_subscription(events=0)
    control.advance(HOUR)
    assert said(reconcile(database_url, stripe_double)) == "REPAIRED: 2 of 2 differences"
    assert said(reconcile(database_url, stripe_double)) == "IN SYNC: no drift"


@pytest.mark.parametrize("drifted", [False, True], ids=["alone", "beside a drift"])
def test_objects_that_an_upgrade_adds_are_filled_without_an_alarm(
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
    drifted: bool,
) -> None:
    subscription = control.create_subscription(events=0)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    made = [control.create_product(f"Plan {number}", events=0) for number in range(3)]
    control.create_price(product=made[0], unit_amount=900, events=0)
    if drifted:
        control.update_subscription(subscription, status="past_due", events=0)
    control.advance(HOUR)
    products = one(connection, "SELECT count(*) FROM stripe.products")
    assert products == 0, "as after an upgrade"
    connection.execute("DELETE FROM stripe.compared WHERE object IN ('product', 'price')")
    empty = reconcile(database_url, stripe_double, writes=False, is_strict=True)
    assert said(empty).endswith("first fill: 3 products, 1 price missing")
    report = reconcile(database_url, stripe_double, is_strict=True)
    begins = "REPAIRED: 1 of 1 difference" if drifted else "IN SYNC: no drift"
    assert said(report) == f"{begins}; first fill: 3 products, 1 price"
    sums = totals(report)
    assert (report.run.exit_status, sum(sums.by_consequence.values())) == (3 * drifted, drifted)
    assert len(list(report.drift())) == sums.drift == 4 + drifted
    text = io.StringIO()
    as_text.write(report, sums, text)
    assert "missing in the database" not in text.getvalue()
    assert said(reconcile(database_url, stripe_double, is_strict=True)) == "IN SYNC: no drift"
    for mirrored in MIRRORED:
        # Somebody has emptied the table of what was there the night before.
        if mirrored.items is not None:
            connection.execute(f"DELETE FROM stripe.{mirrored.items.table}")  # noqa: S608
        connection.execute(f"DELETE FROM stripe.{mirrored.table}")  # noqa: S608
        lost = reconcile(database_url, stripe_double, is_strict=True)
        number = one(connection, f"SELECT count(*) FROM stripe.{mirrored.table}")  # noqa: S608
        assert lost.run.exit_status == 3
        assert said(lost) == f"REPAIRED: {number} of {counted(number, 'difference')}"


def test_first_fill_that_was_stopped_is_a_first_fill_still(
    database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    control.create_subscription(events=0)
    control.advance(HOUR)
    stop = threading.Event()
    filled = "SELECT EXISTS (SELECT FROM stripe.customers JOIN stripe.subscriptions ON true)"
    hook = once(database_url, filled, stop.set)
    control.hook(hook, when="before_read", endpoint="events.list", count=1)
    stopped = said(reconcile(database_url, stripe_double, stop=stop))
    assert "no existing row was changed; 2 missing rows were inserted" in stopped
    control.clear_interventions()
    line = said(reconcile(database_url, stripe_double))
    assert line == "FILLED: the database was empty, 2 rows were inserted"


def happen(url: str, double: StripeDouble, customer: str, came: int, lost: int) -> None:
    """So many events that the webhook takes, and so many that it never sees."""
    control = double.control
    with mirror(url, double) as heart:
        for number in range(came + lost):
            control.advance(60)
            control.update_customer(customer, metadata={"at": f"{time.monotonic()}"})
            if number < came:
                apply(heart, control.event_body(control.events()[-1]["id"]))
    control.advance(DAY - 60 * (came + lost))


@pytest.mark.parametrize(
    "came, lost, words",
    [
        (20, 0, None),
        (0, 0, None),
        (19, 1, "the webhook missed 1 of 20 events since"),
        (1, 19, "the webhook missed 19 of 20 events since"),
        (0, 20, "the webhook missed 20 of 20 events since"),
        (0, 1, "the webhook missed 1 of 1 event since"),
    ],
)
@pytest.mark.parametrize("writes", [True, False], ids=["repair", "report"])
def test_verdict_says_how_many_events_the_webhook_missed(
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    came: int,
    lost: int,
    words: str | None,
    writes: bool,
) -> None:
    customer = control.create_customer(events=0)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    happen(database_url, stripe_double, customer, came, lost)
    report = reconcile(database_url, stripe_double, writes=writes, is_strict=True)
    line = said(report)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert (report.events.webhook_missed, report.events.webhook_expected) == (lost, came + lost)
    assert (words in line) if words else ("webhook" not in line)
    assert report.run.exit_status == (3 if lost else 0)
    again = reconcile(database_url, stripe_double, is_strict=True)
    assert ("webhook" in said(again)) == (bool(lost) and not writes), "it is told once"


def test_webhook_that_is_dead_for_days_is_said_to_miss_all_of_each(
    database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    """The look goes back a day further than the last: what it entered then is no delivery."""
    customer = control.create_customer(events=0)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    happen(database_url, stripe_double, customer, came=7, lost=0)
    assert "webhook" not in said(reconcile(database_url, stripe_double))
    for lost in (5, 3, 4):
        happen(database_url, stripe_double, customer, came=0, lost=lost)
        line = said(reconcile(database_url, stripe_double))
        assert f"the webhook missed {lost} of {lost} events since" in line
    happen(database_url, stripe_double, customer, came=6, lost=0)
    assert "webhook" not in said(reconcile(database_url, stripe_double))


def test_what_was_before_the_first_look_no_webhook_missed(
    database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    """Nor is it missed the night after, which looks back to before the first."""
    customer = control.create_customer()
    happen(database_url, stripe_double, customer, came=0, lost=9)
    for _ in range(2):
        report = reconcile(database_url, stripe_double, is_strict=False)
        assert "webhook" not in said(report)
        assert (report.events.webhook_missed, report.events.webhook_expected) == (0, 0)
        control.advance(HOUR)
    happen(database_url, stripe_double, customer, came=0, lost=2)
    assert "the webhook missed 2 of 2 events" in said(reconcile(database_url, stripe_double))


def test_events_of_objects_that_an_upgrade_adds_no_webhook_missed(
    database_url: str, stripe_double: StripeDouble, control: Control, connection: psycopg.Connection
) -> None:
    """The version before answered `ignored` to them."""
    control.create_customer(events=0)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    connection.execute("DELETE FROM stripe.compared WHERE object IN ('product', 'price')")
    control.advance(HOUR)
    control.create_product("Gold")
    control.create_customer()
    control.advance(HOUR)
    events = reconcile(database_url, stripe_double).events
    assert (events.missed, events.webhook_missed, events.webhook_expected) == (2, 1, 1)
    control.create_product("Silver")
    control.advance(HOUR)
    events = reconcile(database_url, stripe_double).events
    assert (events.webhook_missed, events.webhook_expected) == (1, 1)


def test_list_that_cannot_be_read_leaves_open_what_the_webhook_missed(
    database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    mirrored(database_url, stripe_double, 1)
    control.fault("status", endpoint="events.list", status=401, count=None)
    for writes in (True, False):
        report = reconcile(database_url, stripe_double, writes=writes)
        assert report.run.outcome is RunOutcome.FAILED
        assert "what the webhook missed is not known" in said(report)
        whole = io.StringIO()
        as_json.write(report, totals(report), whole)
        assert json.loads(whole.getvalue())["events"]["webhook"] is None


def test_night_that_is_stopped_in_the_list_counts_on_what_the_webhook_missed(
    database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    customer = control.create_customer(events=0)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    happen(database_url, stripe_double, customer, came=10, lost=650)
    stop = threading.Event()
    control.hook(stop.set, when="after_read", endpoint="events.list", skip=5, count=1)
    stopped = reconcile(database_url, stripe_double, stop=stop)
    control.clear_interventions()
    assert stopped.run.outcome is RunOutcome.INCOMPLETE
    report = reconcile(database_url, stripe_double)
    assert report.run.id == stopped.run.id
    assert "the webhook missed 650 of 660 events" in said(report)
