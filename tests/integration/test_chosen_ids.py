"""Ids that a merchant chose travel every way that an object goes, whatever is written in them."""

import io
import json
from contextlib import closing
from typing import Any

import psycopg
import pytest

from reconcile.report import as_json, as_text
from reconcile.report.model import Report, RunOutcome, totals
from sandbox.stripe_double import StripeDouble
from shared.errors import StripeUnreadable
from shared.mirror import Outcome
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import MirroredObject
from shared.stripe.api import PAGE, StripeApi
from shared.stripe.http import WEBHOOK_PATIENCE, StripeHttp
from tests.builders import KEY, QUICK, Endpoint, apply_all, mirror, reconcile
from tests.integration import judge
from tests.integration.lived import LONG_AGO, Lived, found
from tests.objects import each_object, endpoint

HOUR = 3_600
IDS = (
    *("Gold Plan", " gold ", "Pro plan $699/month", "a/b/c", "/", "//", "50%", "735*%24", "%2F"),
    *("Professional+", "what?", "?limit=1", "#1", "a&b=c;d", '"gold"', "it's", "\\", "a\\"),
    *("..", ".", "%s", "{id}", "$(id)", "' OR true --", "gold:1,2", "[gold]", "<b>gold</b>"),
    *("\\u0041", "Premium-Jährlich", "プラン", "🐟", "\u202egold", "a\u200bb", "\u2028", "\ufeff"),
    *("x" * 255, "プ" * 255, "🐟" * 255, '"' * 255),
)
"""docs.stripe.com/changelog/2018-05-21: until then any character would do, and for whoever asks in
an older version it still does. github.com/stripe/stripe-java/issues/736 has one with a slash."""

has_chosen_ids = each_object(lambda mirrored: mirrored.chosen_ids)


def created(double: StripeDouble, mirrored: MirroredObject, **fields: Any) -> list[Lived]:
    """One object of each id, long ago."""
    return [
        Lived(double.control, mirrored, id=one, created=LONG_AGO + place, **fields)
        for place, one in enumerate(IDS)
    ]


def states(connection: psycopg.Connection, made: list[Lived]) -> dict[str, int | None]:
    return {lived.name: lived.held(connection) for lived in made}


def night(url: str, double: StripeDouble, **options: Any) -> Report:
    double.control.advance(HOUR)
    report = reconcile(url, double, **options)
    assert (report.run.outcome, report.run.reason) == (RunOutcome.SUCCESS, None)
    return report


@has_chosen_ids
@pytest.mark.parametrize("is_thin", [False, True])
def test_object_of_any_chosen_id_is_mirrored_by_its_events(
    mirrored: MirroredObject,
    is_thin: bool,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    told = 0

    def deliver() -> set[str]:
        nonlocal told
        events, told = control.events()[told:], len(control.events())
        bodies = [
            control.thin_body(one["id"]) if is_thin else control.event_body(one["id"])
            for one in events
        ]
        return {json.loads(webhook.post(body).text)["outcome"] for body in bodies}

    with Endpoint(database_url, stripe_double) as webhook:
        made = created(stripe_double, mirrored)
        assert deliver() == {"applied"}
        assert states(connection, made) == dict.fromkeys(IDS, 0)
        control.advance(HOUR)
        for lived in made:
            # In one second: nobody can tell which is newer, so each is asked for.
            lived.become(1)
            lived.become(2)
        assert deliver() <= {"applied", "unchanged"}
        assert states(connection, made) == dict.fromkeys(IDS, 2)
        control.advance(HOUR)
        for lived in made:
            lived.end()
        assert deliver() == {"applied"}
        assert states(connection, made) == dict.fromkeys(IDS, -1)
        assert {line.get("object_id") for line in webhook.logged()} >= set(IDS)
    ledger = connection.execute("SELECT DISTINCT object_id FROM stripe.events").fetchall()
    assert {row[0] for row in ledger} == set(IDS)


@has_chosen_ids
def test_object_of_any_chosen_id_is_compared_told_and_repaired_by_the_nights(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    made = created(stripe_double, mirrored, events=0)

    def compared(kind: str, state: int, **options: Any) -> None:
        report = night(database_url, stripe_double, **options)
        assert sorted(found(report, mirrored)) == sorted((one, kind, "repaired") for one in IDS)
        assert states(connection, made) == dict.fromkeys(IDS, state)
        told(report)
        for _ in range(2):
            assert list(night(database_url, stripe_double).drift()) == []

    compared("missing_in_database", 0)
    recognised = night(database_url, stripe_double).counts[mirrored.name].recognised
    assert recognised == len(IDS)
    assert list(night(database_url, stripe_double, every_field=True).drift()) == []
    for lived in made:
        lived.become(1, events=0)
    compared("differs", 1)
    connection.execute(f"DELETE FROM stripe.{mirrored.table}")  # noqa: S608
    compared("missing_in_database", 1)
    for lived in made:
        lived.end(events=0)
    control.clear_requests()
    report = night(database_url, stripe_double)
    assert states(connection, made) == dict.fromkeys(IDS, -1)
    assert control.request_counts()[endpoint(mirrored, "retrieve")] >= len(IDS)
    told(report)
    assert list(night(database_url, stripe_double).drift()) == []


def told(report: Report) -> None:
    """Each id can be read out of the JSON report, and none steers the terminal of the other."""
    as_json.write(report, totals(report), stream := io.StringIO())
    assert {one["id"] for one in json.loads(stream.getvalue())["drift"]} == set(IDS)
    as_text.write(report, totals(report), stream := io.StringIO())
    assert {one for one in stream.getvalue() if not one.isprintable()} == {"\n"}


@has_chosen_ids
def test_list_goes_on_after_any_chosen_id(
    mirrored: MirroredObject, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    for one in IDS:
        Lived(control, mirrored, id=one, created=LONG_AGO, events=0)
    with closing(StripeHttp(stripe_double.url, KEY, patience=WEBHOOK_PATIENCE)) as http:
        stripe = StripeApi(http, livemode=False)
        for place, one in enumerate(IDS):
            page = stripe.page(mirrored, {"starting_after": one}).page
            listed = [each.id for each in page.objects if each.created == LONG_AGO]
            assert listed == list(reversed(IDS[:place])), one


@has_chosen_ids
def test_second_of_more_than_a_page_of_chosen_ids_is_listed_whole(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    names = [f"{one[:200]} {number}" for number in range(8) for one in IDS]
    for name in names:
        Lived(stripe_double.control, mirrored, id=name, created=LONG_AGO, events=0)
    night(database_url, stripe_double)
    assert set(judge.rows(connection, mirrored)) >= set(names)
    assert list(night(database_url, stripe_double).drift()) == []


def test_subscription_names_what_it_is_for_by_any_chosen_ids(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """Of its customer, its price and its product; one id may be that of all three."""
    control = stripe_double.control
    names = {}
    for place, one in enumerate(IDS):
        control.create_product(f"Product {place}", id=one)
        control.create_price(id=one, product=one, unit_amount=900)
        control.create_customer(id=one, name=f"Customer {place}")
        name = control.create_subscription(
            customer=one, items=[{"price": one, "quantity": 1}], created=LONG_AGO + place
        )
        names[name] = (one, one, one, f"Product {place}", f"Customer {place}")
    with mirror(database_url, stripe_double) as to:
        assert {receipt.outcome for receipt in apply_all(to, control)} == {Outcome.APPLIED}
    told = connection.execute(
        """
        SELECT s.id, s.customer_id, i.price_id, i.product_id, p.name, c.name
        FROM stripe.subscriptions AS s
        JOIN stripe.subscription_items AS i ON i.subscription_id = s.id
        JOIN stripe.prices AS r ON r.id = i.price_id
        JOIN stripe.products AS p ON p.id = i.product_id AND p.id = r.product_id
        JOIN stripe.customers AS c ON c.id = s.customer_id
        """
    )
    assert {row[0]: row[1:] for row in told} == names
    assert list(night(database_url, stripe_double).drift()) == []
    connection.execute("UPDATE stripe.subscription_items SET quantity = 7")
    report = night(database_url, stripe_double)
    assert {
        row.object_id: (row.customer.id, row.plans) for row in report.drift() if row.customer
    } == {name: (of[0], [of[3]]) for name, of in names.items()}
    assert list(night(database_url, stripe_double).drift()) == []


@has_chosen_ids
def test_objects_of_one_id_are_told_apart(
    mirrored: MirroredObject,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """A change of one, its removal by hand and its way back say nothing of the others."""
    control = stripe_double.control
    control.create_customer(id="gold", name="A customer")
    control.create_product("A product", id="gold")
    control.create_price(id="gold", product="gold", nickname="A price", unit_amount=900)
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    before = connection.execute(
        "SELECT fields FROM stripe.changes WHERE object = %s", (mirrored.name,)
    ).fetchall()
    connection.execute(f"DELETE FROM stripe.{mirrored.table} WHERE id = 'gold'")  # noqa: S608
    removed = connection.execute(
        "SELECT object, fields FROM stripe.changes ORDER BY id DESC LIMIT 1"
    ).fetchall()
    taken_back = {name: [after, before] for name, (before, after) in before[0][0].items()}
    assert removed == [(mirrored.name, taken_back)]
    report = night(database_url, stripe_double)
    assert [(row.object, row.object_id) for row in report.drift()] == [(mirrored.name, "gold")]
    assert list(night(database_url, stripe_double).drift()) == []


@each_object()
@pytest.mark.parametrize(
    "odd", ["\0", "\n", "\x85", "\ud800", "x" * 256], ids=["NUL", "LF", "NEL", "half", "long"]
)
def test_id_that_nobody_can_have_is_told_and_hides_no_other_object(
    mirrored: MirroredObject,
    odd: str,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    made = [
        Lived(control, mirrored, created=LONG_AGO + place, events=0) for place in range(PAGE + 20)
    ]
    for lived in (good := made[:30]) and made[30:]:
        lived.life.update(control, lived.name, extra={"id": f"{lived.name}{odd}"}, events=0)
    control.advance(HOUR)
    report = reconcile(database_url, stripe_double)
    told = f"{PAGE - 10} objects could not be read; the log names each"
    assert (report.run.outcome, report.run.reason) == (RunOutcome.FAILED, told)
    assert set(judge.rows(connection, mirrored)) == {lived.name for lived in good}


def test_list_that_cannot_go_on_after_half_a_character_is_no_list_of_stripes(
    stripe_double: StripeDouble,
) -> None:
    with closing(StripeHttp(stripe_double.url, KEY, patience=QUICK)) as http:
        stripe = StripeApi(http, livemode=False)
        with pytest.raises(StripeUnreadable, match="400"):
            stripe.page(CUSTOMER, {"starting_after": "cus_\ud800"})
