"""One night, one id to ask for, however often it was stopped; and what is kept of how it ended."""

import re
import threading
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from reconcile.report.model import Report, RunOutcome, totals
from sandbox.stripe_double import Control, StripeDouble
from shared.database.migrations import migrate, migrations
from shared.repository import runs
from shared.repository.progress import Progress
from shared.version import version
from tests.builders import apply_all, mirror, reconcile
from tests.integration.witness import count, once, one

HOUR = 3_600
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
def control(stripe_double: StripeDouble) -> Control:
    return stripe_double.control


def drifted(url: str, double: StripeDouble, number: int) -> list[str]:
    """Subscriptions that are mirrored, and differ since without the webhook's knowledge."""
    control = double.control
    names = [control.create_subscription() for _ in range(number)]
    with mirror(url, double) as heart:
        apply_all(heart, control)
    control.advance(HOUR)
    assert reconcile(url, double).run.outcome is RunOutcome.SUCCESS
    for name in names:
        control.update_subscription(name, status="unpaid", events=0)
    control.advance(HOUR)
    return names


def stopped_at(
    url: str, double: StripeDouble, endpoint: str, *, found: int = 0, **options: Any
) -> Report:
    """A run that gets SIGTERM when it asks for this and has found so many differences.

    It asks for events while its last windows are still under way.
    """
    stop = threading.Event()
    waiting = f"SELECT count(*) >= {found} FROM stripe.drifts WHERE spooled IS NOT NULL"  # noqa: S608
    hook = once(url, waiting, stop.set)
    double.control.hook(hook, when="before_read", endpoint=endpoint, count=1)
    report = reconcile(url, double, stop=stop, **options)
    double.control.clear_interventions()
    assert report.run.outcome is RunOutcome.INCOMPLETE
    return report


def rows(connection: psycopg.Connection, query: str, *parameters: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def queries() -> dict[str, str]:
    """The questions of docs/operations.md about the last nights, by the words before them."""
    text = OPERATIONS.read_text(encoding="utf-8")
    section = text.partition("### What happened last night")[2].partition("\n## ")[0]
    return dict(re.findall(r"-- (.+)\n([^;]+);", section))


def test_night_that_was_stopped_twice_is_found_whole_under_one_id(
    database_url: str, stripe_double: StripeDouble, control: Control, connection: psycopg.Connection
) -> None:
    names = drifted(database_url, stripe_double, 12)
    first = stopped_at(database_url, stripe_double, "events.list", found=12, flags=("--grace", "0"))
    late = control.create_subscription(events=0)
    control.advance(HOUR)
    second = stopped_at(database_url, stripe_double, "events.list")
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, totals(report).repaired) == ("success", 14)
    night = report.run.id
    assert {first.run.id, second.run.id} == {night}
    attempts = {first.run.attempt, second.run.attempt, report.run.attempt}
    assert len(attempts) == 3

    found = rows(connection, "SELECT object_id, action FROM stripe.drifts WHERE run_id = %s", night)
    assert {row["object_id"] for row in found} >= {*names, late}
    assert {row["action"] for row in found} == {"repaired"}
    changed = rows(connection, "SELECT object_id FROM stripe.changes WHERE run_id = %s", night)
    assert {row["object_id"] for row in changed} == {row["object_id"] for row in found}
    assert {row.object_id for row in report.drift()} == {row["object_id"] for row in found}
    kept = rows(connection, "SELECT id::text, outcome FROM stripe.runs WHERE story = %s", night)
    assert {row["id"] for row in kept} == attempts, "and each attempt has a row of its own"
    others = "SELECT count(*) FROM stripe.changes WHERE run_id = ANY(%s) AND run_id <> %s"
    assert one(connection, others, list(attempts), night) == 0


def test_documented_questions_are_answered_for_the_whole_of_a_stopped_night(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    names = drifted(database_url, stripe_double, 7)
    stopped_at(database_url, stripe_double, "events.list", found=7)
    report = reconcile(database_url, stripe_double)
    asked = {words: rows(connection, query) for words, query in queries().items()}
    drift = asked["what drifted last night"]
    assert {row["object_id"] for row in drift} == {*names}
    assert {row["action"] for row in drift} == {"repaired"}
    assert {row["object_id"] for row in asked["what was changed by it"]} == {*names}
    night, before = asked["how the last nights ended"]
    assert (str(night["id"]), night["attempts"]) == (report.run.id, 2)
    assert (night["outcome"], night["exit_status"]) == ("success", 0)
    assert night["totals"]["leak"]["count"] == 7
    assert before["attempts"] == 1
    assert [row["outcome"] for row in asked["each attempt of it"]] == ["incomplete", "success"]


@pytest.mark.parametrize("writes", ["everything", "one subscription"])
def test_run_keeps_what_it_was_asked_and_how_it_ended(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, writes: str
) -> None:
    names = drifted(database_url, stripe_double, 3)
    flags = ("--exit-code", "--output", "a b", "\udcff", "caf\u00e9")
    alone = names[0] if writes == "one subscription" else None
    report = reconcile(database_url, stripe_double, flags=flags, is_strict=True, subscription=alone)
    (kept,) = rows(connection, "SELECT * FROM stripe.runs WHERE id = %s", report.run.attempt)
    assert kept["flags"] == ["--exit-code", "--output", "a b", "\\udcff", "caf\u00e9"]
    assert kept["version"] == version() != "unknown"
    assert (kept["outcome"], kept["reason"], kept["exit_status"]) == ("success", None, 3)
    assert kept["totals"]["leak"] == {
        "count": 1 if alone else 3,
        "monthly_amount": totals(report).monthly_amount["leak"],
    }


def test_run_that_is_no_success_keeps_its_reason_and_exit_status(
    database_url: str, stripe_double: StripeDouble, control: Control, connection: psycopg.Connection
) -> None:
    drifted(database_url, stripe_double, 30)
    ended = [
        stopped_at(database_url, stripe_double, "customers.list"),
        reconcile(database_url, stripe_double, limit="3"),
    ]
    control.fault("status", endpoint="events.list", status=401, count=None)
    ended.append(reconcile(database_url, stripe_double))
    for report, outcome in zip(ended, ("incomplete", "refused", "failed"), strict=True):
        (kept,) = rows(connection, "SELECT * FROM stripe.runs WHERE id = %s", report.run.attempt)
        assert (kept["outcome"], kept["exit_status"]) == (outcome, 1)
        assert kept["reason"] == report.run.reason
        assert kept["finished_at"] >= kept["started_at"]


def test_abandoned_run_ended_with_its_last_sign_of_life(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Not when the next night came to take it over."""
    killed = uuid.uuid4()
    connection.execute(
        """
        INSERT INTO stripe.runs (
            id, scope, holder, started_at, alive_at, lease_expires_at, done, counts
        )
        VALUES (
            %s, 'all', 'killed:1', now() - interval '20 h', now() - interval '19 h',
            now() - interval '18 h', '{}', '{}'
        )
        """,
        [killed],
    )
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    (kept,) = rows(connection, "SELECT * FROM stripe.runs WHERE id = %s", killed)
    assert kept["outcome"] == "abandoned"
    assert kept["finished_at"] == kept["alive_at"]
    assert (kept["finished_at"] - kept["started_at"]).total_seconds() == HOUR
    assert kept["exit_status"] is None, "nobody knows"
    assert "took over" in kept["reason"]


def test_each_write_of_a_run_is_a_sign_of_life(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    stripe_double.control.seed(3)
    report = reconcile(database_url, stripe_double)
    connection.execute("UPDATE stripe.runs SET outcome = NULL, finished_at = NULL")
    connection.execute("UPDATE stripe.runs SET alive_at = now() - interval '1 h'")
    progress = Progress()
    runs.advance(connection, str(report.run.attempt), progress, 1, lease_seconds=60)
    assert count(connection, "runs", "alive_at > now() - interval '1 min'") == 1


def test_what_waited_in_a_run_from_which_none_went_on_waits_no_more(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """The next run finds it again, under its own id."""
    names = drifted(database_url, stripe_double, 2)
    stopped = stopped_at(database_url, stripe_double, "events.list", found=2)
    connection.execute("UPDATE stripe.runs SET started_at = started_at - interval '37 h'")
    assert "the next run goes on from there" in str(stopped.run.reason)
    report = reconcile(database_url, stripe_double)
    assert report.run.id != stopped.run.id
    of = "SELECT object_id, action, spooled FROM stripe.drifts WHERE run_id = %s ORDER BY 1"
    assert connection.execute(of, [stopped.run.id]).fetchall() == [
        (name, "dropped", None) for name in sorted(names)
    ]
    assert connection.execute(of, [report.run.id]).fetchall() == [
        (name, "repaired", None) for name in sorted(names)
    ]


def test_next_night_begins_a_night_of_its_own(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    drifted(database_url, stripe_double, 2)
    stopped_at(database_url, stripe_double, "events.list", found=2)
    night = reconcile(database_url, stripe_double)
    stripe_double.control.advance(20 * HOUR)
    next_night = reconcile(database_url, stripe_double)
    assert next_night.run.id == next_night.run.attempt != night.run.id
    assert count(connection, "nights") == 3


def test_chains_of_runs_from_before_are_nights_too(empty_database_url: str) -> None:
    """The migration reads them from what each run went on from."""
    until = next(n for n, one in enumerate(migrations()) if one.name.startswith("0009"))
    migrate(empty_database_url, migrations()[:until])
    ids = [str(uuid.uuid4()) for _ in range(4)]
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        for number, (name, before) in enumerate(
            [(ids[0], None), (ids[1], ids[0]), (ids[2], ids[1]), (ids[3], None)]
        ):
            connection.execute(
                """
                INSERT INTO stripe.runs (
                    id, scope, holder, started_at, lease_expires_at, resumes, done, counts,
                    outcome, finished_at
                )
                VALUES (
                    %s, 'all', 'x', to_timestamp(%s), now(), %s, '{}', '{}', 'success',
                    to_timestamp(%s)
                )
                """,
                [name, number * 100, before, number * 100 + 50],
            )
        migrate(empty_database_url)
        found = connection.execute(
            "SELECT id::text, story::text, extract(epoch FROM alive_at)::int FROM stripe.runs"
            " ORDER BY started_at"
        ).fetchall()
    assert found == [
        (ids[0], ids[0], 50),
        (ids[1], ids[0], 150),
        (ids[2], ids[0], 250),
        (ids[3], ids[3], 350),
    ]
