"""What a run asks of Stripe: little more than the pages there are, whatever has drifted."""

from collections.abc import Callable
from math import ceil

import psycopg
import pytest

from reconcile.report.model import Report, RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from tests.builders import reconcile
from tests.integration.witness import one
from tests.objects import LIVES, each_object

YEAR = 365 * 86_400


def most(report: Report) -> int:
    """How many requests a run may send: a tenth more than there are pages, and a dozen."""
    pages = sum(ceil(report.counts[each.name].stripe / 100) for each in MIRRORED)
    return int(pages * 1.1) + 12


def young(control: Control) -> None:
    """498 subscriptions of as many customers, made within the last hours."""
    now = int(control.now())
    control.seed(498, customers=498, start=now - 9_000, end=now - 1_800)


def one_hour(control: Control) -> None:
    now = int(control.now())
    control.seed(3_000, start=now - 2 * YEAR, end=now - 2 * YEAR + 3_600)


def one_second(control: Control) -> None:
    second = int(control.now()) - YEAR
    control.seed(3_000, start=second, end=second)


def years_apart(control: Control) -> None:
    now = int(control.now())
    control.seed(1_500, start=now - 5 * YEAR, end=now - 5 * YEAR + 86_400)
    control.seed(1_500, start=now - 7_200, end=now - 1_800)


def burst_and_tail(control: Control) -> None:
    now = int(control.now())
    control.seed(300, start=now - 9 * YEAR, end=now - 86_400)
    control.seed(2_700, start=now - 5_400, end=now - 1_800)


def few(control: Control) -> None:
    control.seed(3)


@pytest.mark.parametrize(
    "made",
    [
        *(few, young, one_second),
        *(
            pytest.param(made, marks=pytest.mark.long)
            for made in (one_hour, years_apart, burst_and_tail)
        ),
    ],
)
def test_run_asks_for_a_tenth_more_than_the_pages_and_a_dozen(
    database_url: str, stripe_double: StripeDouble, made: Callable[[Control], None]
) -> None:
    control = stripe_double.control
    made(control)
    for nights, every_field in enumerate((False, False, True, False)):
        control.clear_requests()
        report = reconcile(database_url, stripe_double, every_field=every_field)
        assert report.run.outcome is RunOutcome.SUCCESS
        assert report.stripe_requests == len(control.requests())
        assert report.stripe_requests <= most(report), (nights, control.request_counts())
        control.advance(86_400)


@each_object(lambda mirrored: len(mirrored.lists) > 1)
@pytest.mark.parametrize("shelved", [0, 10, 50, 100])
@pytest.mark.parametrize("number", [3_000, pytest.param(30_000, marks=pytest.mark.long)])
def test_lists_that_are_complete_together_cost_hardly_more_than_one(
    database_url: str,
    stripe_double: StripeDouble,
    mirrored: MirroredObject,
    shelved: int,
    number: int,
) -> None:
    """However few objects one of them has: so many per cent."""
    control = stripe_double.control
    life, newest = LIVES[mirrored.name], int(control.now()) - 9_000
    for place in range(number):
        fields = life.shelved if place * 37 % 100 < shelved else {}
        life.create(control, created=newest - 300 * place, events=0, **fields)
    for night, every_field in enumerate((False, False, False, True)):
        control.clear_requests()
        report = reconcile(database_url, stripe_double, every_field=every_field)
        assert report.run.outcome is RunOutcome.SUCCESS
        assert report.counts[mirrored.name].in_sync == (number if night else 0)
        assert report.counts[mirrored.name].recognised == (number if night == 2 else 0)
        assert report.stripe_requests <= most(report), (night, control.request_counts())
        control.advance(86_400)


PICKED = "abs(hashtext(id)) % 100 < 28"
OWN = {"id", "subscription_id", "as_of", "revision"}
OTHERWISE = {
    "text": "coalesce({0}, '') || 'x'",
    "boolean": "NOT coalesce({0}, false)",
    "bigint": "coalesce({0}, 0) + 1",
    "integer": "coalesce({0}, 0) + 1",
    "numeric": "coalesce({0}, 0) + 1",
    "jsonb": """'{{"drift": "yes"}}'""",
    "timestamp with time zone": "coalesce({0}, now()) - interval '40 days'",
}


def other_columns(table: str) -> Callable[[psycopg.Connection], None]:
    """Change one column of each picked row, another in each."""

    def drift(connection: psycopg.Connection) -> None:
        columns = [
            (name, kind)
            for name, kind in connection.execute(
                """
                SELECT column_name, data_type FROM information_schema.columns
                WHERE table_schema = 'stripe' AND table_name = %s
                """,
                [table],
            )
            if name not in OWN
        ]
        for number, (name, kind) in enumerate(columns):
            value = OTHERWISE[kind].format(f'"{name}"')
            connection.execute(
                f'UPDATE stripe.{table} SET "{name}" = {value}'  # noqa: S608
                f" WHERE {PICKED} AND abs(hashtext(id || 'x')) % {len(columns)} = {number}"
            )

    return drift


def statement(text: str) -> Callable[[psycopg.Connection], None]:
    def drift(connection: psycopg.Connection) -> None:
        connection.execute(text.format(PICKED))

    return drift


DRIFTS: dict[str, Callable[[psycopg.Connection], None]] = {
    "any column of subscriptions": other_columns("subscriptions"),
    "any column of customers": other_columns("customers"),
    "any column of items": other_columns("subscription_items"),
    "created of another row": statement(
        """
        UPDATE stripe.subscriptions AS s SET created = o.created
        FROM (
            SELECT id, lead(created, 200, '2020-01-01') OVER (ORDER BY created) AS created
            FROM stripe.subscriptions WHERE {0}
        ) AS o
        WHERE o.id = s.id
        """
    ),
    "created long after": statement(
        "UPDATE stripe.subscriptions SET created = created + interval '300 days' WHERE {0}"
    ),
    "created never": statement("UPDATE stripe.subscriptions SET created = 'infinity' WHERE {0}"),
    "created unknown": statement("UPDATE stripe.customers SET created = NULL WHERE {0}"),
    "rows deleted": statement(
        """
        DELETE FROM stripe.subscription_items
        WHERE subscription_id IN (SELECT id FROM stripe.subscriptions WHERE {0});
        DELETE FROM stripe.subscriptions WHERE {0}
        """
    ),
    "rows marked": statement(
        "UPDATE stripe.customers SET missing_in_stripe_since = now() WHERE {0}"
    ),
    "items deleted": statement("DELETE FROM stripe.subscription_items WHERE {0}"),
    "items added": statement(
        """
        INSERT INTO stripe.subscription_items (
            id, subscription_id, price_id, product_id, quantity, currency, metadata
        )
        SELECT id || 'x', subscription_id, price_id, product_id, quantity, currency, metadata
        FROM stripe.subscription_items WHERE {0}
        """
    ),
    "items moved": statement(
        """
        UPDATE stripe.subscription_items SET
            subscription_id = (SELECT max(id) FROM stripe.subscriptions)
        WHERE {0}
        """
    ),
}


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param(drift, marks=pytest.mark.long if number > 3 else ())
        for number, drift in enumerate(DRIFTS)
    ],
)
def test_repairs_ask_for_next_to_nothing_where_a_list_may_speak(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection, drift: str
) -> None:
    """28 % of 1,500 have drifted, and Stripe said so more than ten minutes ago."""
    control = stripe_double.control
    now = int(control.now())
    control.seed(1_500, customers=1_500, start=now - YEAR, end=now - 86_400)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.advance(86_400)
    DRIFTS[drift](connection)
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    found = list(report.drift())
    assert len(found) > 300
    assert {row.action for row in found} == {"repaired"}
    assert report.stripe_requests <= most(report) + 0.02 * len(found)
    for name in ("subscription", "customer"):
        assert report.counts[name].stripe == 1_500
    again = reconcile(database_url, stripe_double, writes=False)
    assert again.run.outcome is RunOutcome.SUCCESS
    assert list(again.drift()) == []


def test_row_in_a_wrong_place_that_stripe_does_not_know_is_asked_for_and_marked(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """It was left out where it claims to lie, and where it was recorded no list names it either."""
    control = stripe_double.control
    control.seed(300)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.advance(86_400)
    connection.execute(
        """
        INSERT INTO stripe.subscriptions
        SELECT (jsonb_populate_record(s, jsonb_build_object(
            'id', 'sub_gone', 'created', s.created - interval '40 days'
        ))).*
        FROM stripe.subscriptions AS s LIMIT 1;
        INSERT INTO stripe.changes (object, object_id, revision, event_id, fields)
        SELECT object, 'sub_gone', revision, 'evt_1', fields
        FROM stripe.changes WHERE object = 'subscription' LIMIT 1
        """
    )
    report = reconcile(database_url, stripe_double)
    assert [(row.object_id, row.kind, row.action) for row in report.drift()] == [
        ("sub_gone", "missing_in_stripe", "repaired")
    ]
    query = "SELECT missing_in_stripe_since IS NOT NULL FROM stripe.subscriptions WHERE id = %s"
    assert one(connection, query, "sub_gone") is True
    assert report.counts["subscription"].database == 301
