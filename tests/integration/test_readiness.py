"""Being asked whether it is ready leaves no trace, costs little, and hangs on nobody's mercy."""

import threading
import time

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble
from sandbox.stripe_double.http.keys import PERMISSIONS
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from tests.builders import Endpoint, event, until, world


def test_being_asked_leaves_no_trace(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    before = world(connection)
    with Endpoint(database_url, stripe_double) as endpoint:
        for _ in range(3):
            assert endpoint.get("/readyz").get_json() == {"ready": True}
    assert world(connection) == before


def test_database_that_turns_bad_is_noticed_at_the_next_question_and_so_is_its_cure(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    with Endpoint(database_url, stripe_double) as endpoint:
        assert endpoint.get("/readyz").status_code == 200
        connection.execute("ALTER TABLE stripe.customers ADD COLUMN theirs text NOT NULL")
        answer = endpoint.get("/readyz")
        assert (answer.status_code, answer.get_json()) == (
            503,
            {"ready": False, "reason": "database"},
        )
        connection.execute("ALTER TABLE stripe.customers DROP COLUMN theirs")
        assert endpoint.get("/readyz").status_code == 200


def test_many_questions_rehearse_seldom_and_ask_stripe_once(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    with Endpoint(database_url, stripe_double) as endpoint:
        began = time.monotonic()
        for _ in range(200):
            assert endpoint.get("/readyz").status_code == 200, endpoint.logged()[-1]["error"]
        seconds = time.monotonic() - began
    row = connection.execute(
        "SELECT last_value FROM pg_sequences WHERE schemaname = 'stripe'"
        " AND sequencename = 'changes_id_seq'"
    ).fetchone()
    assert row is not None
    # A rehearsal makes three changes of each object.
    assert row[0] / (3 * len(MIRRORED)) <= 22 + seconds
    assert len(stripe_double.control.requests()) == len(MIRRORED) + 1


@pytest.mark.parametrize("fault", ["hang", "reset", "html", "half_body", "status"])
def test_stripe_out_of_reach_takes_no_webhook_away_and_is_not_waited_for(
    fault: str, database_url: str, stripe_double: StripeDouble
) -> None:
    with Endpoint(database_url, stripe_double) as endpoint:
        stripe_double.control.fault(fault, seconds=20.0, count=None)  # type: ignore[arg-type]
        began = time.monotonic()
        for _ in range(5):
            assert endpoint.get("/readyz").status_code == 200
        assert time.monotonic() - began < 5


def test_account_that_stripe_does_not_tell_is_no_obstacle(
    database_url: str, stripe_double: StripeDouble
) -> None:
    for status in (400, 403, 404, 500):
        stripe_double.control.clear_faults()
        stripe_double.control.fault("status", status=status, path="/v1/account", count=None)
        with Endpoint(database_url, stripe_double) as endpoint:
            assert endpoint.get("/readyz").status_code == 200


def test_revoked_key_makes_it_unready_until_there_is_another(
    database_url: str, stripe_double: StripeDouble
) -> None:
    stripe_double.control.add_key("sk_test_gone")
    stripe_double.control.revoke_key("sk_test_gone")
    with Endpoint(database_url, stripe_double, key="sk_test_gone") as endpoint:
        answer = endpoint.get("/readyz")
        assert answer.get_json() == {"ready": False, "reason": "stripe_key"}
        stripe_double.control.add_key("sk_test_gone")
        until(lambda: endpoint.get("/readyz").status_code == 200, "the key is taken again", 30)


@pytest.mark.parametrize("mirrored", MIRRORED, ids=lambda mirrored: mirrored.name)
def test_permission_that_lacks_is_found_though_all_questions_take_longer_than_there_is_time(
    mirrored: MirroredObject, database_url: str, stripe_double: StripeDouble
) -> None:
    """What decides access at once; the rest by one of the next callers, who go on from there.

    What decides none takes no webhook away: most events need no question. It is told.
    """
    control = stripe_double.control
    control.add_key("rk_test_less", permissions=PERMISSIONS - {mirrored.table})
    control.hook(lambda: threading.Event().wait(0.6))
    with Endpoint(database_url, stripe_double, key="rk_test_less") as endpoint:
        readiness = endpoint.readiness
        answers = [endpoint.get("/readyz").status_code for _ in range(3)]
    lacks = f"lacks the permission to read {mirrored.path}"
    if mirrored.access is not None:
        assert answers == [503] * 3
        assert lacks in endpoint.logged()[-1]["error"]
    else:
        assert answers == [200] * 3
        assert lacks in (readiness.key.lacking or "")


@pytest.mark.parametrize("away", [4_000, -4_000])
def test_clock_that_is_wrong_is_told_by_how_much_once_an_event_was_refused_for_it(
    away: int, database_url: str, stripe_double: StripeDouble
) -> None:
    body = event("customer.updated", {"object": "customer", "id": "cus_1"})
    # As it is with a clock that is ahead: Stripe's signature looks old, and its Date too.
    stripe_double.control.fault("date", date=int(time.time()) - away, count=None)
    with Endpoint(database_url, stripe_double) as endpoint:
        assert endpoint.get("/readyz").status_code == 200, "an odd Date alone is no reason"
        assert endpoint.post(body, age=away).status_code == 400
        (refused,) = [line for line in endpoint.logged() if line["event"] == "event.refused"]
        for said in (refused["error"], refused["clock"]):
            assert any(f"{away + off} s" in said for off in range(-3, 4)) or (
                any(f"{-away + off} s" in said for off in range(-3, 4))
            )
        assert ("ahead of" if away > 0 else "behind") in refused["clock"]
        assert endpoint.get("/readyz").get_json() == {"ready": False, "reason": "clock"}
        endpoint.post(body)
        assert endpoint.get("/readyz").status_code == 200


def test_old_request_of_somebody_elses_does_not_make_it_unready(
    database_url: str, stripe_double: StripeDouble
) -> None:
    stripe_double.control.fault("date", date=int(time.time()), count=None)
    with Endpoint(database_url, stripe_double) as endpoint:
        assert endpoint.get("/readyz").status_code == 200
        assert endpoint.post(event("x.y", {}), age=4_000).status_code == 400
        assert endpoint.get("/readyz").status_code == 200
