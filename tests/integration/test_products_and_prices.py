"""What is special about products and prices: two lists, inline ones, tiers, 404 once deleted."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from reconcile.report.model import RunOutcome, totals
from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror, Outcome
from tests.builders import apply, apply_all, mirror, reconcile
from tests.integration.witness import count, one

HOUR = 3_600


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


@pytest.fixture
def control(stripe_double: StripeDouble) -> Control:
    return stripe_double.control


def kinds(report: object, name: str) -> dict[str, str]:
    return {row.object_id: row.kind for row in report.drift() if row.object == name}  # type: ignore[attr-defined]


def asked_for(control: Control, endpoint: str) -> int:
    return control.request_counts().get(endpoint, 0)


def test_first_night_after_an_upgrade_fills_both_tables_past_no_gate_and_locks_nobody_out(
    database_url: str, stripe_double: StripeDouble, control: Control, connection: psycopg.Connection
) -> None:
    control.seed(30)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    control.switch(shop="open")
    connection.execute("DELETE FROM stripe.compared WHERE object IN ('product', 'price')")
    first = reconcile(database_url, stripe_double, limit="0")
    assert first.run.outcome is RunOutcome.SUCCESS
    products, prices = len(control.products), len(control.prices)
    # It is no drift: nobody was told anything wrong by tables that were empty.
    assert (totals(first).by_consequence, first.run.exit_status) == ({}, 0)
    assert len(list(first.drift())) == products + prices
    assert (count(connection, "products"), count(connection, "prices")) == (products, prices)
    control.advance(HOUR)
    assert totals(reconcile(database_url, stripe_double)).drift == 0
    assert one(
        connection,
        """
        SELECT count(*)
        FROM stripe.subscription_items AS i
        JOIN stripe.products AS p ON p.id = i.product_id
        WHERE p.name = initcap(p.name)
        """,
    ) == count(connection, "subscription_items")


def test_prices_of_both_lists_are_one_side_whichever_list_they_move_to(
    database_url: str, stripe_double: StripeDouble, control: Control, connection: psycopg.Connection
) -> None:
    # More than a page of either, of the same seconds.
    names = [
        control.create_price(product="pro", active=number % 3 != 0, created=1_700_000_000 + number)
        for number in range(450)
    ]
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    assert count(connection, "prices") == 450
    control.advance(HOUR)
    for number, name in enumerate(names[:40]):
        control.update_price(name, active=number % 3 == 0, events=0)
    control.advance(HOUR)
    control.clear_requests()
    report = reconcile(database_url, stripe_double, limit="100%")
    assert report.run.outcome is RunOutcome.SUCCESS
    assert kinds(report, "price") == dict.fromkeys(names[:40], "differs")
    assert report.counts["price"].stripe == report.counts["price"].database == 450
    assert asked_for(control, "prices.retrieve") == 0
    assert asked_for(control, "prices.list") <= 1.1 * 6 + 12
    control.advance(HOUR)
    assert totals(reconcile(database_url, stripe_double)).drift == 0


def test_inline_prices_are_kept_by_events_and_cost_a_night_no_request(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    for number in range(300):
        control.create_price(
            product="pro", inline=True, active=False, unit_amount=number, created=1_700_000_000
        )
    listed = control.create_price(product="pro", unit_amount=900)
    apply_all(heart, control)
    assert count(connection, "prices") == 301
    control.advance(HOUR)
    control.clear_requests()
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, totals(report).drift) == (RunOutcome.SUCCESS, 0)
    assert asked_for(control, "prices.retrieve") == 0
    assert sum(control.request_counts().values()) <= 12
    # One that a list does show is compared all the same, and one that vanished is asked for.
    connection.execute("UPDATE stripe.prices SET unit_amount = 1 WHERE id = %s", (listed,))
    control.advance(HOUR)
    assert kinds(reconcile(database_url, stripe_double), "price") == {listed: "differs"}
    control.delete_price(listed, events=0)
    control.advance(HOUR)
    assert kinds(reconcile(database_url, stripe_double), "price") == {listed: "missing_in_stripe"}


def test_event_of_a_tiered_price_says_nothing_of_its_tiers_so_they_are_asked_for(
    heart: Mirror, control: Control, connection: psycopg.Connection
) -> None:
    name = control.create_price(product="pro", billing_scheme="tiered")
    (created,) = apply_all(heart, control)
    assert (created.outcome, created.asked) == (Outcome.APPLIED, 1)
    tiers = "SELECT jsonb_array_length(tiers) FROM stripe.prices"
    assert one(connection, tiers) == 2
    control.advance(60)
    control.update_price(name, nickname="seats")
    receipt = apply(heart, control.event_body(control.events()[-1]["id"]))
    assert (receipt.outcome, receipt.asked) == (Outcome.APPLIED, 1)
    assert one(connection, tiers) == 2
    control.advance(60)
    control.update_price(control.create_price(product="pro", unit_amount=900), nickname="plain")
    assert sum(one.asked for one in apply_all(heart, control, after=2)) == 0


def test_price_whose_amount_differs_is_money_and_whose_name_does_is_cosmetic(
    database_url: str, stripe_double: StripeDouble, control: Control, connection: psycopg.Connection
) -> None:
    amount, name = (control.create_price(product="pro", unit_amount=900) for _ in range(2))
    tiers = control.create_price(product="pro", billing_scheme="tiered")
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    connection.execute("UPDATE stripe.prices SET unit_amount = 1 WHERE id = %s", (amount,))
    connection.execute("UPDATE stripe.prices SET nickname = 'x' WHERE id = %s", (name,))
    connection.execute("UPDATE stripe.prices SET tiers = NULL WHERE id = %s", (tiers,))
    control.advance(HOUR)
    report = reconcile(database_url, stripe_double)
    assert {row.object_id: row.consequence for row in report.drift()} == {
        amount: "money",
        name: "cosmetic",
        tiers: "money",
    }


@pytest.mark.parametrize("is_thin", [False, True])
def test_deleted_product_keeps_its_name_and_can_no_longer_be_bought(
    heart: Mirror, control: Control, connection: psycopg.Connection, is_thin: bool
) -> None:
    name = control.create_product("Gold")
    apply_all(heart, control)
    control.advance(60)
    control.delete_product(name)
    event = control.events()[-1]["id"]
    body = control.thin_body(event) if is_thin else control.event_body(event)
    assert apply(heart, body).outcome is Outcome.APPLIED
    row = connection.execute("SELECT name, active, deleted FROM stripe.products").fetchone()
    assert row == ("Gold", None, True)


def test_products_that_vanished_say_nothing_of_whose_the_database_is(
    database_url: str, stripe_double: StripeDouble, control: Control
) -> None:
    control.switch(account_status=403)
    control.seed(10)
    names = [control.create_product(f"Product {number}") for number in range(6)]
    control.advance(HOUR)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    for name in names:
        control.delete_product(name, events=0)
    control.advance(HOUR)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert kinds(report, "product") == dict.fromkeys(names, "missing_in_stripe")


def test_price_event_of_an_older_version_empties_nothing_that_it_does_not_speak_of(
    heart: Mirror, control: Control, connection: psycopg.Connection
) -> None:
    name = control.create_price(product="pro", unit_amount=900, lookup_key="gold")
    apply_all(heart, control)
    control.advance(60)
    control.update_price(name, nickname="new")
    body = json.loads(control.event_body(control.events()[-1]["id"]))
    del body["data"]["object"]["lookup_key"]
    assert apply(heart, json.dumps(body).encode()).outcome is Outcome.APPLIED
    row = connection.execute("SELECT lookup_key, nickname FROM stripe.prices").fetchone()
    assert row == ("gold", "new")


def test_missed_event_of_an_inline_price_is_asked_for_since_no_list_has_compared_it(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    name = control.create_price(product="pro", inline=True, active=False, unit_amount=900)
    apply_all(heart, control)
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    control.advance(12 * HOUR)
    control.update_price(name, nickname="changed")
    late = control.event_body(control.events()[-1]["id"])
    control.advance(6 * HOUR)
    night = reconcile(database_url, stripe_double)
    assert kinds(night, "price") == {name: "differs"}
    assert one(connection, "SELECT nickname FROM stripe.prices") == "changed"
    assert apply(heart, late).outcome is Outcome.DUPLICATE
    control.advance(24 * HOUR)
    assert totals(reconcile(database_url, stripe_double)).drift == 0


def test_failed_event_of_an_inline_price_is_asked_for_when_the_night_tries_it_again(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    name = control.create_price(product="pro", inline=True, active=False, unit_amount=900)
    apply_all(heart, control)
    control.advance(HOUR)
    control.update_price(name, nickname="changed")
    failed = control.events()[-1]
    connection.execute(
        """
        INSERT INTO stripe.events (
            id, type, object_id, created, source, outcome, error, payload
        )
        VALUES (%s, 'price.updated', %s, to_timestamp(%s), 'webhook', 'failed', 'x', %s)
        """,
        (failed["id"], name, failed["created"], control.event_body(failed["id"])),
    )
    control.advance(12 * HOUR)
    reconcile(database_url, stripe_double)
    assert one(connection, "SELECT nickname FROM stripe.prices") == "changed"
    assert count(connection, "events", "outcome = 'failed'") == 0


def test_inline_price_whose_created_was_emptied_by_hand_is_repaired(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    control: Control,
    connection: psycopg.Connection,
) -> None:
    control.create_price(product="pro", inline=True, active=False, unit_amount=900)
    apply_all(heart, control)
    control.advance(HOUR)
    connection.execute("UPDATE stripe.prices SET created = NULL, unit_amount = 1")
    assert totals(reconcile(database_url, stripe_double)).drift == 1
    assert one(connection, "SELECT unit_amount FROM stripe.prices") == 900
    assert count(connection, "prices", "created IS NULL") == 0
