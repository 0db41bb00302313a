"""Failed events are tried again: every night up to a limit, by hand without one."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from reconcile.deliveries.deliveries import MOST_ATTEMPTS
from reconcile.deliveries.replay import replay_by_hand
from reconcile.report import as_json, as_text
from reconcile.report.model import Report, totals
from sandbox.stripe_double import Control, StripeDouble
from shared.errors import WrongAccount
from shared.mirror import Mirror, Outcome
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.settings import ReconcileSettings, load
from tests.builders import KEY, apply, apply_all, event, mirror, reconcile, world
from tests.integration.lived import Lived
from tests.integration.witness import count, one
from tests.objects import each_object, endpoint, event_type, has_test_clock

Replay = Callable[..., tuple[int, str]]
SAID = "SELECT outcome, attempts FROM stripe.events WHERE id = %s"


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


@pytest.fixture
def replay(
    database_url: str, stripe_double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> Replay:
    """`reconcile replay`, without its process: exit status and standard output."""

    def run(event_id: str | None = None, *, key: str = KEY) -> tuple[int, str]:
        settings = load(
            ReconcileSettings,
            {
                "DATABASE_URL": database_url,
                "STRIPE_API_BASE": stripe_double.url,
                "STRIPE_SECRET_KEY": key,
            },
        )
        status = replay_by_hand(settings, threading.Event(), event_id, None)
        return status, capsys.readouterr().out

    return run


def poison(
    heart: Mirror, name: str, mirrored: MirroredObject = MIRRORED[0], **envelope: Any
) -> None:
    """Deliver an event whose object nobody can read."""
    body = event(event_type(mirrored, "updated"), {"object": mirrored.name}, id=name, **envelope)
    assert apply(heart, body).outcome is Outcome.FAILED


def mend(connection: psycopg.Connection, name: str, control: Control, made: str) -> None:
    """Do to a kept event what a new version of the decoder would: make it readable."""
    payload = json.loads(one(connection, "SELECT payload FROM stripe.events WHERE id = %s", name))
    payload["data"]["object"] = control.truth(made)
    connection.execute(
        "UPDATE stripe.events SET payload = %s WHERE id = %s", [json.dumps(payload).encode(), name]
    )


def said(connection: psycopg.Connection, name: str) -> tuple[str, int]:
    row = connection.execute(SAID.encode(), [name]).fetchone()
    assert row is not None
    return row[0], row[1]


@each_object()
def test_event_that_can_be_read_now_is_applied_at_night(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    clock = {"test_clock": "clock_1Test"} if has_test_clock(mirrored) else {}
    lived = Lived(control, mirrored, **clock, events=0)
    for name in ("evt_1Before", "evt_2Mended", "evt_3After"):
        poison(heart, name, mirrored)
    mend(connection, "evt_2Mended", control, lived.name)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome == "success"
    assert said(connection, "evt_2Mended")[0] in {"applied", "stale", "unchanged"}
    assert one(connection, "SELECT error FROM stripe.events WHERE id = 'evt_2Mended'") is None
    assert said(connection, "evt_1Before") == ("failed", 2)
    assert said(connection, "evt_3After") == ("failed", 2)
    assert lived.held(connection) == 0
    assert count(connection, "events", "source <> 'webhook'") == 0, "it had arrived by itself"


def test_nightly_run_gives_up_at_the_limit_and_still_reports(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    poison(heart, "evt_1Hopeless")
    connection.execute("UPDATE stripe.events SET attempts = %s", [MOST_ATTEMPTS - 1])
    reconcile(database_url, stripe_double)
    assert said(connection, "evt_1Hopeless") == ("failed", MOST_ATTEMPTS)
    report = reconcile(database_url, stripe_double)
    assert said(connection, "evt_1Hopeless") == ("failed", MOST_ATTEMPTS)
    assert report.run.outcome == "success"
    assert [(row.event_id, row.attempts) for row in report.failures] == [
        ("evt_1Hopeless", MOST_ATTEMPTS)
    ]


def test_reports_name_each_failed_event_with_its_error_and_no_value_of_it(
    heart: Mirror, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    told = control.emit_object("customer.updated", {"id": "cus_1", "email": 5, "name": "x"})
    assert apply(heart, control.event_body(told)).outcome is Outcome.FAILED
    leak = event("customer.updated", {"id": "canary@leak.example"}, id="evt_2Told", livemode=False)
    apply(heart, leak.replace(b'"id": "canary@leak.example"', b'"id": ["canary@leak.example"]'))
    before = world(connection)
    report = reconcile(database_url, stripe_double, writes=False)
    assert world(connection) == before
    texts = [_rendered(report, render) for render in (as_json.write, as_text.write)]
    for text in texts:
        assert told in text
        assert "$.email" in text
        assert "evt_2Told" in text
        assert "canary" not in text
    events = json.loads(texts[0])["events"]
    assert events["failed"] == 2
    assert events["failures"][0]["attempts"] == 1
    assert events["oldest_unprocessed"] is not None


def _rendered(report: Report, render: Callable[..., None]) -> str:
    stream = io.StringIO()
    render(report, totals(report), stream)
    return stream.getvalue()


def test_by_hand_there_is_no_limit(
    heart: Mirror, replay: Replay, connection: psycopg.Connection
) -> None:
    poison(heart, "evt_1Again")
    connection.execute("UPDATE stripe.events SET attempts = 50")
    status, told = replay()
    assert status == 1
    assert said(connection, "evt_1Again") == ("failed", 51)
    assert "evt_1Again  customer.updated  failed: cannot read" in told
    assert told.endswith("1 replayed, 1 still failed\n")


@each_object()
def test_by_hand_one_event_is_tried_alone(
    heart: Mirror,
    replay: Replay,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    lived = Lived(stripe_double.control, mirrored, events=0)
    poison(heart, "evt_1Left", mirrored)
    poison(heart, "evt_2Named", mirrored)
    assert replay("evt_2Named")[0] == 1
    assert said(connection, "evt_1Left") == ("failed", 1)
    assert said(connection, "evt_2Named") == ("failed", 2)
    mend(connection, "evt_2Named", stripe_double.control, lived.name)
    status, told = replay("evt_2Named")
    kind = event_type(mirrored, "updated")
    assert (status, told.splitlines()[0]) == (0, f"evt_2Named  {kind}  applied")
    assert lived.held(connection) == 0
    assert count(connection, "changes", "event_id = 'evt_2Named'") == 1


def test_by_hand_a_done_event_is_left_alone_and_that_is_no_error(
    heart: Mirror, replay: Replay, connection: psycopg.Connection
) -> None:
    apply(heart, event("customer.updated", {"id": "cus_1"}, id="evt_1Done"))
    before = world(connection)
    assert replay("evt_1Done") == (0, "evt_1Done is applied already: nothing to replay\n")
    assert replay() == (0, "0 replayed, 0 still failed\n")
    assert world(connection) == before


@pytest.mark.parametrize("key", ["sk_live_double", "rk_test_other"])
def test_by_hand_with_the_key_of_another_mode_or_account_nothing_is_tried(
    heart: Mirror,
    replay: Replay,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    key: str,
) -> None:
    control = stripe_double.control
    control.add_key("rk_test_other", account="acct_2Other")
    control.add_key("sk_live_double")
    known = control.create_customer(events=1)
    apply(heart, control.event_body(control.events()[-1]["id"]))
    poison(heart, "evt_1Kept")
    mend(connection, "evt_1Kept", control, known)
    before = world(connection)
    with pytest.raises(WrongAccount):
        replay(key=key)
    assert world(connection) == before


def test_by_hand_an_event_that_never_arrived_is_an_error(
    replay: Replay, connection: psycopg.Connection
) -> None:
    assert replay("evt_1Never") == (1, "evt_1Never is not in the ledger: it never arrived\n")
    assert count(connection, "events") == 0


def held_and_mended(
    url: str, heart: Mirror, double: StripeDouble, mirrored: MirroredObject
) -> Lived:
    """A row, and an event of its second that has failed and can be read now, so Stripe is asked."""
    control = double.control
    lived = Lived(control, mirrored)
    apply_all(heart, control)
    # So that the account is known, and no row is asked for whose key it is.
    assert reconcile(url, double).run.outcome == "success"
    confirmed = lived.same_again()
    apply(heart, confirmed)
    poison(heart, "evt_2Same", mirrored, created=json.loads(confirmed)["created"])
    lived.become(1, events=0)
    with psycopg.connect(url, autocommit=True) as connection:
        mend(connection, "evt_2Same", control, lived.name)
    return lived


@each_object()
def test_by_hand_an_event_for_which_stripe_is_out_of_reach_stays_failed_uncounted(
    database_url: str,
    heart: Mirror,
    replay: Replay,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    lived = held_and_mended(database_url, heart, stripe_double, mirrored)
    control.fault("status", endpoint=endpoint(mirrored, "retrieve"), status=400, count=None)
    status, told = replay("evt_2Same")
    assert status == 1
    assert told == ("evt_2Same could not be tried now, it is failed as before; the log says why\n")
    assert said(connection, "evt_2Same") == ("failed", 1), "it is not the event's fault"
    assert replay() == (1, "0 replayed, 1 still failed\n")
    control.clear_faults()
    assert replay()[0] == 0
    assert lived.held(connection) == 1


@each_object()
def test_webhook_that_delivers_it_meanwhile_makes_a_replay_a_duplicate(
    database_url: str,
    heart: Mirror,
    replay: Replay,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """The replay waits for Stripe while the endpoint gets the mended event."""
    control = stripe_double.control
    lived = held_and_mended(database_url, heart, stripe_double, mirrored)
    body = one(connection, "SELECT payload FROM stripe.events WHERE id = 'evt_2Same'")
    delivered = []

    def deliver(*_: object) -> None:
        delivered.append(apply(heart, body).outcome)

    asked = endpoint(mirrored, "retrieve")
    control.hook(deliver, when="after_read", endpoint=asked, count=1)
    status, told = replay()
    assert status == 0
    assert delivered == [Outcome.APPLIED]
    assert f"evt_2Same  {event_type(mirrored, 'updated')}  duplicate" in told
    assert said(connection, "evt_2Same")[1] == 2
    assert count(connection, "changes", "event_id = 'evt_2Same'") <= 1
    assert lived.held(connection) == 1
