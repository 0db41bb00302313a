"""What the database lacks comes in as Stripe says it, however odd; its change and drift tell it."""

import json
import uuid
from typing import Any

import psycopg
import pytest

from reconcile.comparison.compare import Difference, compare_one
from reconcile.journal.drift import drift, write_of
from shared.objects.column import AS_JSON, Columns, Row
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import Content, MirroredObject
from shared.objects.subscription import SUBSCRIPTION
from shared.repository import drifts
from shared.repository.rows import read_held
from shared.repository.write import encode, write_for_run
from shared.truth import Interval
from tests.builders import ACCESS
from tests.integration.test_declaration import BODY as PARCEL_BODY
from tests.integration.test_declaration import PARCEL, TABLES
from tests.unit.bodies import item, subscription

AS_OF = Interval(5_000, 5_602)

TEXT = "ümläut \u2028 😀 \\ \" ' %(id)s {} [] null \t\x7f"
ODD_JSON = {
    "behavior": "void",
    "resumes_at": None,
    "": [1.10, 1e22, -0.0, 2**60, {"b": [], TEXT: 1}],
}
YEARLY = {"recurring": {"interval": "year", "interval_count": 3, "usage_type": "licensed"}}

SUBSCRIPTIONS: list[dict[str, Any]] = [
    subscription(),
    subscription(status="canceled", ended_at=1_700_000_001),
    subscription(metadata={"": "", TEXT: TEXT, "a" * 40: "b" * 500, "0": "null", "items.x": "{}"}),
    subscription(metadata=None, discounts=None, pause_collection=None),
    subscription(pause_collection=ODD_JSON, cancel_at=253_402_300_799, days_until_due=2**63 - 1),
    subscription(
        customer={"id": "cus_expanded", "object": "customer", "email": "a@example.com"},
        default_payment_method={"id": "pm_1"},
        latest_invoice={"id": "in_1", "lines": {"data": []}},
        discounts=["di_2", {"id": "di_1", "object": "discount"}],
    ),
    subscription(discount={"id": "di_old"}, discounts=...),
    subscription(status=TEXT, currency=TEXT, collection_method=""),
    subscription(items={"data": [], "has_more": False}),
    subscription(
        item("si_z", quantity=None, price={"unit_amount": None, "unit_amount_decimal": None}),
        item("si_a", quantity=7, price={"unit_amount_decimal": "0012.50", **YEARLY}),
        item("si_m", price={"product": {"id": "prod_x"}, "recurring": None}, metadata=None),
        item("si_f", price={"unit_amount_decimal": "-0.000000000001", "currency": "usd", **YEARLY}),
        item("si_'\".", metadata={TEXT: TEXT}),
        current_period_end=4_000_000_000,
    ),
    subscription(
        item(current_period_start=None, current_period_end=None),
        current_period_start=1_700_000_000,
        current_period_end=1_702_000_000,
    ),
]

CUSTOMERS: list[dict[str, Any]] = [
    {"id": "cus_1", "object": "customer", "created": 7, "email": TEXT, "metadata": {"a": TEXT}},
    {"id": "cus_1", "created": 7, "name": "", "metadata": None, "test_clock": {"id": "clock_1"}},
    {"id": "cus_1", "created": 7, "deleted": True, "email": "a@example.com", "metadata": {"a": ""}},
]

PARCELS: list[dict[str, Any]] = [
    PARCEL_BODY,
    {**PARCEL_BODY, "weight": None, "label": None, "address": [None, "a", 0.1], "postage": None},
    {**PARCEL_BODY, "label": {"address": None}, "address": "null", "fragile": None},
]

CASES = [
    (mirrored, body)
    for mirrored, bodies in (
        (SUBSCRIPTION, SUBSCRIPTIONS),
        (CUSTOMER, CUSTOMERS),
        (PARCEL, PARCELS),
    )
    for body in bodies
]


def missing(mirrored: MirroredObject, body: dict[str, Any]) -> Difference:
    """As a list brings it: decoded, settled, and compared with nothing."""
    content = mirrored.content(mirrored.settled(mirrored.decoder.decode(json.dumps(body))))
    found = compare_one(mirrored, content.id, None, content, AS_OF)
    assert found is not None
    return found


def everything(mirrored: MirroredObject, content: Content) -> dict[str, Any]:
    """Each column that is not null, and each item whole, against nothing."""

    def told(columns: Columns, row: Row) -> dict[str, Any]:
        pairs = zip(columns.all, row, strict=True)
        return {
            column.name: json.loads(str(value)) if column.type in AS_JSON else value
            for column, value in pairs
            if value is not None
        }

    whole = told(mirrored.decoded, content.row)
    if mirrored.items is not None:
        for item in content.items or ():
            whole[f"items.{item[0]}"] = told(mirrored.items.decoded, item)
    return {name: [None, value] for name, value in whole.items()}


@pytest.fixture
def run(connection: psycopg.Connection) -> str:
    """A run that may keep differences."""
    connection.execute(TABLES.encode())
    name = str(uuid.uuid4())
    connection.execute(
        """
        INSERT INTO stripe.runs (id, scope, holder, lease_expires_at, done, counts)
        VALUES (%s, 'all', 'test', now() + interval '1 hour', '{}', '{}')
        """,
        [name],
    )
    return name


def insert(
    connection: psycopg.Connection, run: str, mirrored: MirroredObject, *those: Difference
) -> set[str]:
    rows = encode([write_of(one) for one in those], mirrored)
    return write_for_run(connection, mirrored, rows, run)


def test_row_change_and_drift_are_those_of_its_difference(
    connection: psycopg.Connection, run: str, subtests: pytest.Subtests
) -> None:
    for mirrored, body in CASES:
        with subtests.test(mirrored.name, body=body), connection.transaction(force_rollback=True):
            content = mirrored.decode(json.dumps(body).encode())
            one = missing(mirrored, body)
            assert insert(connection, run, mirrored, one) == {content.id}

            (held,) = read_held(connection, mirrored, [content.id]).values()
            assert mirrored.differences(held, content) == {}
            assert (held.as_of, held.revision, held.missing_in_stripe_since) == (AS_OF, 1, None)

            change = connection.execute(
                """
                SELECT object, object_id, revision, event_id, run_id::text,
                    fields = %(fields)s::jsonb
                FROM stripe.changes
                """,
                {"fields": json.dumps(everything(mirrored, content))},
            ).fetchone()
            assert change == (mirrored.name, content.id, 1, None, run, True)

            expected = drift(mirrored, one, ACCESS, "repaired")
            drifts.record(connection, run, [expected])
            (kept,) = drifts.after(connection, run, None)
            assert kept == expected


def test_row_that_somebody_was_quicker_to_insert_is_left_alone(
    connection: psycopg.Connection, run: str
) -> None:
    first = missing(SUBSCRIPTION, subscription(id="sub_1", status="past_due"))
    assert insert(connection, run, SUBSCRIPTION, first) == {"sub_1"}
    late = missing(SUBSCRIPTION, subscription(id="sub_1"))
    other = missing(SUBSCRIPTION, subscription(item("si_2"), id="sub_2"))
    assert insert(connection, run, SUBSCRIPTION, late, other) == {"sub_2"}
    assert connection.execute(
        "SELECT id, status, revision FROM stripe.subscriptions ORDER BY id"
    ).fetchall() == [("sub_1", "past_due", 1), ("sub_2", "active", 1)]
    told = connection.execute("SELECT object_id FROM stripe.changes ORDER BY object_id").fetchall()
    assert told == [("sub_1",), ("sub_2",)]
