"""The statements that the pages give to an application run as they are printed."""

import re
from pathlib import Path

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble
from tests.builders import reconcile
from tests.integration.witness import one

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/application.md")

Rows = list[tuple[object, ...]]


def statements(page: str) -> list[str]:
    """Each statement of the page's blocks of SQL."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    return [one.strip() for block in blocks for one in block.split(";\n") if one.strip()]


def answered(connection: psycopg.Connection, page: str, words: str, **names: str) -> Rows:
    """What the page's one statement with these words answers, its ids replaced by real ones."""
    (text,) = (one for one in statements(page) if words in one)
    for prefix, name in names.items():
        text = text.replace(f"{prefix}_...", name)
    return connection.execute(text.encode()).fetchall()


@pytest.mark.parametrize("page", PAGES)
def test_every_statement_of_the_page_runs(connection: psycopg.Connection, page: str) -> None:
    found = statements(page)
    assert found
    for text in found:
        connection.execute(text.encode())


@pytest.mark.parametrize(
    "page, words, given, refused",
    [
        ("README.md", "AS plan", [("Pro", 3, "active")], []),
        ("docs/application.md", "SELECT EXISTS", [(True,)], [(False,)]),
        ("docs/application.md", "AS plan", [("Pro", "monthly", "pro_monthly")], []),
    ],
)
def test_documented_question_of_access_is_answered_by_status_and_with_the_plans_name(
    page: str,
    words: str,
    given: Rows,
    refused: Rows,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    product = control.create_product("Pro")
    control.create_price(
        "pro_3", product=product, nickname="monthly", lookup_key="pro_monthly", unit_amount=900
    )
    pays, ended = (control.create_subscription(price="pro_3", quantity=3) for _ in range(2))
    control.update_subscription(ended, status="canceled", ended_at=int(control.now()))
    control.advance(3_600)
    reconcile(database_url, stripe_double)

    def told(name: str) -> Rows:
        customer = one(
            connection, "SELECT customer_id FROM stripe.subscriptions WHERE id = %s", name
        )
        return [row[: len(given[0])] for row in answered(connection, page, words, cus=customer)]

    assert (told(pays), told(ended)) == (given, refused)
    connection.execute("UPDATE stripe.subscriptions SET missing_in_stripe_since = now()")
    assert told(pays) == refused


def test_documented_offer_is_what_can_be_bought(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    product = control.create_product("Pro")
    for key, fields in {"now": {}, "once": {"active": False}}.items():
        control.create_price(key, product=product, lookup_key=key, unit_amount=900, **fields)
    control.advance(3_600)
    reconcile(database_url, stripe_double)
    rows = answered(connection, "docs/application.md", "WHERE pr.active")
    assert rows == [("Pro", "now", 900, "eur", "month", 1)]


def test_documented_cancellations_are_those_of_either_kind(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    now = int(control.now())
    by_period, by_date, _ = (control.create_subscription() for _ in range(3))
    control.update_subscription(by_period, cancel_at_period_end=True)
    control.update_subscription(by_date, cancel_at=now + 86_400)
    control.advance(3_600)
    reconcile(database_url, stripe_double)
    rows = answered(connection, "docs/application.md", "coalesce(cancel_at")
    assert [row[0] for row in rows] == [by_date, by_period]
