"""A snapshot that cannot be read, written or believed: the row is what Stripe has, never failed."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.objects.catalogue import MIRRORED
from shared.objects.column import AS_JSON
from shared.objects.declaration import MirroredObject
from shared.repository.rows import read_held
from tests.builders import Endpoint, reconcile
from tests.integration.lived import Lived
from tests.integration.witness import count, one
from tests.objects import LIVES, each_object, event_type, has_test_clock, tables
from tests.objects import endpoint as object_endpoint

WRONG: list[Any] = [None, "yesterday", 10**30, 1.5, [5], {"id": 5}, "a\0b", "\ud800"]

WHOLE = {
    column.source for mirrored in MIRRORED for column in mirrored.columns if column.type in AS_JSON
}
"""Fields that are read as a whole, whatever is in them."""

Path = tuple[str | int, ...]


def paths(body: Any, path: Path = ()) -> Iterator[Path]:
    """Every field of a body, but for its own id and what is within a WHOLE one."""
    if isinstance(body, dict):
        for name, value in body.items():
            if (*path, name) != ("id",):
                yield (*path, name)
                if name not in WHOLE:
                    yield from paths(value, (*path, name))
    elif isinstance(body, list):
        for place, value in enumerate(body):
            yield from paths(value, (*path, place))


def put(body: Any, path: Path, value: Any) -> Any:
    """A body with another value at a place; ... leaves it out."""
    made = deepcopy(body)
    inner = made
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


@pytest.fixture
def endpoint(database_url: str, stripe_double: StripeDouble) -> Iterator[Endpoint]:
    with Endpoint(database_url, stripe_double) as made:
        yield made


def make(double: StripeDouble, mirrored: MirroredObject) -> Lived:
    """An object of which every mirrored field is told, and which the test then changes."""
    return Lived(double.control, mirrored, **LIVES[mirrored.name].whole)


def assert_as_stripe_has_it(
    connection: psycopg.Connection, double: StripeDouble, mirrored: MirroredObject, name: str
) -> None:
    held = read_held(connection, mirrored, [name]).get(name)
    truth = mirrored.decode(json.dumps(double.control.truth(name)).encode())
    assert held is not None
    assert mirrored.differences(held, truth) == {}


@pytest.mark.parametrize("version", ["2026-10-28.endive", "2024-06-20"])
@each_object()
def test_every_field_left_out_one_at_a_time_leaves_the_row_as_stripe_has_it(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    version: str,
) -> None:
    control = stripe_double.control
    lived = make(stripe_double, mirrored)
    name = lived.name
    first = control.event_body(control.events()[-1]["id"], api_version=version)
    assert endpoint.post(first).json == {"outcome": "applied"}
    assert_as_stripe_has_it(connection, stripe_double, mirrored, name)
    kind = event_type(mirrored, "updated")
    for path in list(paths(json.loads(first)["data"]["object"])):
        control.advance(10)
        event = json.loads(control.event_body(control.emit(kind, name), api_version=version))
        event["data"]["object"] = put(event["data"]["object"], path, ...)
        answer = endpoint.post(json.dumps(event).encode())
        assert answer.json in ({"outcome": "applied"}, {"outcome": "unchanged"}), path
        assert_as_stripe_has_it(connection, stripe_double, mirrored, name)
    assert count(connection, "changes", f"object_id = '{name}'") == 1


@pytest.mark.parametrize(
    "is_held", [True, pytest.param(False, marks=pytest.mark.long)], ids=["held", "not held"]
)
@each_object()
def test_every_mirrored_field_of_a_wrong_type_leaves_the_row_as_stripe_has_it(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    is_held: bool,
) -> None:
    """Whatever cannot be read; what can (another word, say) is what the event says."""
    control = stripe_double.control
    name = make(stripe_double, mirrored).name
    first = control.event_body(control.events()[-1]["id"])
    kind = event_type(mirrored, "updated")
    sources: list[Path] = [
        tuple(column.source.split(".")) for column in mirrored.columns if column.name != "id"
    ]
    if mirrored.items is not None:
        sources += [("items",), ("items", "data"), ("items", "data", 0), ("items", "has_more")]
        sources += [
            ("items", "data", 0, *column.source.split(".")) for column in mirrored.items.columns
        ]
    body = json.loads(first)["data"]["object"]
    tried = 0
    for path in sources:
        for value in WRONG:
            spoilt = put(body, path, value) if _leads(body, path) else None
            if spoilt is None or _is_readable(mirrored, spoilt):
                continue
            tried += 1
            if is_held:
                assert endpoint.post(first).status_code == 200
            control.advance(10)
            event = json.loads(control.event_body(control.emit(kind, name)))
            event["data"]["object"] = put(event["data"]["object"], path, value)
            answer = endpoint.post(json.dumps(event).encode())
            assert answer.json in ({"outcome": "applied"}, {"outcome": "unchanged"}), (path, value)
            assert_as_stripe_has_it(connection, stripe_double, mirrored, name)
            if not is_held:
                for table in tables(mirrored):
                    connection.execute(f"DELETE FROM stripe.{table}".encode())  # noqa: S608
    assert tried > len(sources)


def _leads(body: Any, path: Path) -> bool:
    try:
        put(body, path, 1)
    except (KeyError, TypeError, IndexError):
        return False
    return True


def _is_readable(mirrored: MirroredObject, body: Any) -> bool:
    """Whether nothing is wrong with it that Stripe could not have said: then it is believed."""
    try:
        mirrored.decode(json.dumps(body).encode())
    except Exception:  # noqa: BLE001 - whatever it is
        return False
    return True


def spoilt(lived: Lived) -> bytes:
    """The newest event, of which one mirrored field cannot be read."""
    event = json.loads(lived.body())
    event["data"]["object"]["created"] = "yesterday"
    return json.dumps(event).encode()


@each_object()
def test_unreadable_snapshot_is_stale_where_the_row_is_newer_and_asks_nothing(
    endpoint: Endpoint, stripe_double: StripeDouble, mirrored: MirroredObject
) -> None:
    control = stripe_double.control
    lived = make(stripe_double, mirrored)
    old = spoilt(lived)
    control.advance(60)
    lived.become(1)
    assert endpoint.post(lived.body()).status_code == 200
    control.clear_requests()
    assert endpoint.post(old).json == {"outcome": "stale"}
    assert control.request_counts() == {}


@each_object()
def test_unreadable_snapshot_waits_for_stripe_and_is_failed_only_where_its_answer_is_no_better(
    endpoint: Endpoint,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    lived = Lived(control, mirrored, extra={"created": "yesterday"})
    retrieve = object_endpoint(mirrored, "retrieve")
    control.fault("status", endpoint=retrieve, status=500, count=None)
    assert endpoint.post(lived.body()).status_code == 503
    assert count(connection, "events") == 0
    control.clear_faults()
    control.clear_requests()
    assert endpoint.post(lived.body()).json == {"outcome": "failed"}
    assert control.request_counts() == {retrieve: 1}
    error = one(connection, "SELECT error FROM stripe.events")
    assert error.count("cannot read $.created") == 1, "one reason, said once"


def test_value_that_no_column_holds_is_asked_for_before_it_is_failed(
    endpoint: Endpoint, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    """A rule of somebody's own, which Stripe's state keeps and the snapshot breaks."""
    connection.execute("ALTER TABLE stripe.customers ADD CHECK (name <> 'Nobody')")
    control = stripe_double.control
    name = control.create_customer(name="Ada")
    body = json.loads(control.event_body(control.events()[-1]["id"]))
    body["data"]["object"]["name"] = "Nobody"
    assert endpoint.post(json.dumps(body).encode()).json == {"outcome": "applied"}
    assert one(connection, "SELECT name FROM stripe.customers") == "Ada"
    control.advance(10)
    control.update_customer(name, name="Nobody")
    body = control.event_body(control.events()[-1]["id"])
    assert endpoint.post(body).json == {"outcome": "failed"}


@each_object()
@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "on a test clock"])
def test_unreadable_event_that_was_missed_or_failed_is_put_right_at_night(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    is_listed: bool,
) -> None:
    control = stripe_double.control
    clock = {} if is_listed or not has_test_clock(mirrored) else {"test_clock": "clock_1"}
    lived = Lived(control, mirrored, **clock)
    kind = event_type(mirrored, "updated")
    body = {**(control.truth(lived.name) or {}), "created": "yesterday"}
    control.emit_object(kind, body)
    failed = control.emit_object(kind, body)
    connection.execute(
        """
        INSERT INTO stripe.events (id, type, object_id, created, source, outcome, payload)
        VALUES (%s, %s, %s, to_timestamp(%s), 'webhook', 'failed', %s)
        """,
        [failed, kind, lived.name, int(control.now()), control.event_body(failed)],
    )
    control.advance(3_600)
    report = reconcile(database_url, stripe_double)
    assert (report.run.outcome, report.failed) == (RunOutcome.SUCCESS, 0)
    assert lived.held(connection) == 0
    assert count(connection, "events", "outcome = 'failed'") == 0
    assert count(connection, "events") >= 2


@each_object()
def test_unreadable_event_of_what_neither_side_has_stays_failed_at_night(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    name = control.emit_object(event_type(mirrored, "updated"), {"id": "x_1Gone", "created": "5"})
    with Endpoint(database_url, stripe_double) as endpoint:
        assert endpoint.post(control.event_body(name)).json == {"outcome": "failed"}
    control.advance(3_600)
    assert reconcile(database_url, stripe_double).failed == 1
    assert "$.created" in one(connection, "SELECT error FROM stripe.events")
