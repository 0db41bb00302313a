"""`webhook` as its platform and Stripe see it: start, answers, log, signals, crashes, crowds."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sandbox import product
from sandbox.postgres import EmbeddedPostgres
from sandbox.product import Webhook, wait_until
from sandbox.stripe_double import Delivery, StripeDouble
from shared.settings import WebhookSettings, declared
from tests.e2e.conftest import SECRET

ANSWER_SECONDS = 5.0
WEB_THREADS = 4


def send(double: StripeDouble, webhook: Webhook, *names: str) -> list[Delivery]:
    return double.control.send(names, webhook.url, [SECRET])


def outcome(delivery: Delivery) -> tuple[int | None, Any]:
    """The first answer's status and what its body says."""
    answer = delivery.answers[0]
    return answer.status, json.loads(answer.body) if answer.body else answer.error


def ledger(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT id, outcome FROM stripe.events ORDER BY id").fetchall()


def in_background(work: Callable[[], list[Delivery]]) -> "Background":
    return Background(work)


class Background:
    """Deliveries in a thread of their own."""

    def __init__(self, work: Callable[[], list[Delivery]]) -> None:
        self._found: list[Delivery] = []
        self._thread = threading.Thread(target=lambda: self._found.extend(work()))
        self._thread.start()

    def result(self) -> list[Delivery]:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self._found


@pytest.fixture
def tied(stripe_double: StripeDouble, webhook: Webhook) -> tuple[str, str]:
    """A subscription, and an event about which only Stripe can tell whether it is the newer one."""
    control = stripe_double.control
    name = control.create_subscription(status="incomplete")
    control.advance(60)
    control.update_subscription(name, metadata={"step": "1"})
    control.activate(name)
    *before, first, second = control.outbox()
    for delivery in send(stripe_double, webhook, *before, second):
        assert outcome(delivery) == (200, {"outcome": "applied"})
    return name, first


def test_signed_event_ends_in_a_row_and_one_line_of_log(
    webhook: Webhook, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    customer = control.create_customer(name="Ada", email="ada@example.com")
    name = control.create_subscription(customer=customer, price="pro", metadata={"plan": "secret"})
    _, event = control.outbox()
    assert [outcome(one) for one in send(stripe_double, webhook, *control.outbox())] == [
        (200, {"outcome": "applied"}),
        (200, {"outcome": "applied"}),
    ]
    rows = connection.execute("SELECT id, customer_id, status FROM stripe.subscriptions").fetchall()
    assert rows == [(name, customer, "active")]
    wait_until(lambda: [line["event"] for line in webhook.log()].count("event.applied") == 2, "log")
    line = webhook.log()[-1]
    assert {key: line[key] for key in ("method", "path", "status", "outcome", "asked")} == {
        "method": "POST",
        "path": "/webhook",
        "status": 200,
        "outcome": "applied",
        "asked": 0,
    }
    assert (line["event_id"], line["object_id"]) == (event, name)
    assert line["event_type"] == "customer.subscription.created"
    assert line["duration_ms"] > 0
    text = json.dumps(webhook.log())
    for hidden in ("ada@example.com", "secret", SECRET, "sk_test_double", "Ada"):
        assert hidden not in text.replace("signing_secrets", "")


def test_schema_that_is_behind_postpones_events_until_migrate_has_run(
    environ: dict[str, str], empty_database_url: str, stripe_double: StripeDouble, tmp_path: Path
) -> None:
    behind = {**environ, "DATABASE_URL": empty_database_url}
    control = stripe_double.control
    control.create_customer()
    with Webhook(behind, tmp_path / "log") as webhook:
        assert webhook.get("/healthz") == (200, {"healthy": True})
        assert webhook.get("/readyz") == (503, {"ready": False, "reason": "schema"})
        (event,) = control.outbox()
        assert outcome(send(stripe_double, webhook, event)[0]) == (
            503,
            {"error": "schema_mismatch"},
        )
        wait_until(
            lambda: any("run `migrate`" in line.get("error", "") for line in webhook.log()),
            "the log to say what to run",
        )
        assert product.run("migrate", environ=behind).returncode == 0
        assert webhook.get("/readyz") == (200, {"ready": True})
        assert outcome(send(stripe_double, webhook, event)[0])[0] == 200


def test_sigterm_answers_the_event_in_hand_and_exits_0(
    webhook: Webhook,
    stripe_double: StripeDouble,
    tied: tuple[str, str],
    connection: psycopg.Connection,
) -> None:
    name, event = tied
    with stripe_double.control.hold(endpoint="subscriptions.retrieve") as hold:
        sending = in_background(lambda: send(stripe_double, webhook, event))
        hold.wait_reached()
        webhook.process.terminate()
        wait_until(lambda: refuses(webhook.port), "the door to close")
        hold.release()
        assert outcome(sending.result()[0])[0] == 200
    assert webhook.process.wait(15) == 0
    assert (event, "unchanged") in ledger(connection)
    status = connection.execute("SELECT status FROM stripe.subscriptions WHERE id = %s", [name])
    assert status.fetchall() == [("active",)]


def test_killed_worker_is_replaced_and_its_event_is_in_the_ledger_once(
    webhook: Webhook,
    stripe_double: StripeDouble,
    tied: tuple[str, str],
    connection: psycopg.Connection,
) -> None:
    """Trap 11: a crash between claiming an event and applying it loses the event for ever."""
    _, event = tied
    before = ledger(connection)
    (worker,) = webhook.workers()
    with stripe_double.control.hold(endpoint="subscriptions.retrieve") as hold:
        sending = in_background(lambda: send(stripe_double, webhook, event))
        hold.wait_reached()
        worker.kill()
        assert outcome(sending.result()[0])[0] is None
    assert ledger(connection) == before, "nothing is half done"
    wait_until(
        lambda: [one.pid for one in webhook.workers()] not in ([], [worker.pid]), "a new worker"
    )
    assert outcome(send(stripe_double, webhook, event)[0])[0] == 200
    assert outcome(send(stripe_double, webhook, event)[0]) == (200, {"outcome": "duplicate"})
    assert len(ledger(connection)) == len(before) + 1


def test_crowd_of_idle_senders_and_fewer_drippers_than_threads_keep_nobody_waiting(
    webhook: Webhook, stripe_double: StripeDouble
) -> None:
    stripe_double.control.create_customer()
    (event,) = stripe_double.control.outbox()
    with ExitStack() as crowd:
        for beginning in (b"", b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-"):
            for _ in range(WEB_THREADS - 1 if beginning else 60):
                peer = socket.create_connection(("127.0.0.1", webhook.port), 10)
                crowd.enter_context(peer).sendall(beginning)
        (delivery,) = send(stripe_double, webhook, event)
    assert delivery.answers[0].status == 200
    assert delivery.answers[0].seconds < ANSWER_SECONDS


def test_database_that_goes_away_and_comes_back_costs_no_restart(
    environ: dict[str, str], stripe_double: StripeDouble, tmp_path: Path
) -> None:
    with EmbeddedPostgres.start() as server:
        mine = {**environ, "DATABASE_URL": server.url()}
        assert product.run("migrate", environ=mine).returncode == 0
        with Webhook(mine, tmp_path / "log") as webhook:
            stripe_double.control.create_subscription()
            first, second = stripe_double.control.outbox()
            assert outcome(send(stripe_double, webhook, first)[0])[0] == 200
            server.freeze()
            (hanging,) = send(stripe_double, webhook, second)
            server.thaw()
            assert outcome(hanging) == (503, {"error": "database_unavailable"})
            assert hanging.answers[0].seconds < ANSWER_SECONDS
            assert webhook.get("/healthz")[0] == 200
            server.stop_hard()
            server.restart()
            assert outcome(send(stripe_double, webhook, second)[0])[0] == 200
            assert outcome(send(stripe_double, webhook, first)[0]) == (
                200,
                {"outcome": "duplicate"},
            )


def test_wrong_settings_exit_2_with_all_faults_and_no_secret() -> None:
    done = product.run(
        "webhook",
        environ=product.environment(
            DATABASE_URL="postgresql://u:hunter2@db.example.com/x?sslmode=disable",
            STRIPE_SECRET_KEY="hunter2",
            STRIPE_WEBHOOK_SECRET="hunter2",
            PORT="http",
            WEB_THREADS="0",
        ),
    )
    assert (done.returncode, done.stdout) == (2, "")
    for name in (
        "DATABASE_URL",
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "PORT",
        "WEB_THREADS",
    ):
        assert name in done.stderr
    assert "hunter2" not in done.stderr


def test_settings_that_are_empty_are_not_set(environ: dict[str, str], tmp_path: Path) -> None:
    """Whoever else reads them: gunicorn has its own look at WEB_CONCURRENCY."""
    names = {setting.name for setting in declared(WebhookSettings).values()} - {"PORT"}
    for blank in ("", " "):
        empty = dict.fromkeys(names - environ.keys(), blank)
        with Webhook({**environ, **empty}, tmp_path / "log") as webhook:
            assert webhook.get("/readyz") == (200, {"ready": True})


def test_no_signing_secret_means_no_start() -> None:
    """Trap 19: no secret configured means no check, and anyone can write."""
    settings = {"DATABASE_URL": "postgresql:///x", "STRIPE_SECRET_KEY": "sk_test_double"}
    for secret in ({}, {"STRIPE_WEBHOOK_SECRET": ""}, {"STRIPE_WEBHOOK_SECRET": " , "}):
        done = product.run("webhook", environ=product.environment(**settings, **secret))
        assert done.returncode == 2
        assert "STRIPE_WEBHOOK_SECRET" in done.stderr


def test_check_says_whether_it_could_serve(
    environ: dict[str, str], empty_database_url: str
) -> None:
    ready = product.run("webhook", "--check", environ=environ)
    assert ready.returncode == 0
    behind = product.run(
        "webhook", "--check", environ={**environ, "DATABASE_URL": empty_database_url}
    )
    assert behind.returncode == 1
    assert "run `migrate`" in behind.stderr


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return True
    return False
