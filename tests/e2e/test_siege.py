"""Every whole request has its answer within 5 s, /healthz at once, whatever the others do."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from sandbox.product import Webhook, wait_until
from sandbox.siege import (
    HALF_A_HEAD,
    Crowd,
    Watch,
    allow_files,
    post,
    post_all,
    questionable,
    statuses,
    worst,
)
from sandbox.stripe_double import Control, StripeDouble, sign
from tests.e2e.conftest import SECRET
from tests.integration.witness import blocked, count

ANSWER_SECONDS = 5.0
HEALTH_SECONDS = 2.0
"""The product's own is 0.5; a machine that runs tests side by side is slower."""

PROMPT_SECONDS = 3.0


def customers(control: Control, number: int) -> list[bytes]:
    """Events of so many objects, each simply new."""
    known = len(control.events())
    for _ in range(number):
        control.create_customer()
    return [control.event_body(made["id"]) for made in control.events()[known:]]


@pytest.fixture(autouse=True)
def many_files() -> None:
    allow_files(6_000)


@pytest.fixture
def few(environ: dict[str, str], tmp_path: Path) -> Iterator[Webhook]:
    """A webhook that may have few files open."""
    with Webhook(environ, tmp_path / "few.log", open_files=256) as running:
        yield running


def assert_nobody_waits(webhook: Webhook, control: Control, events: int = 5) -> None:
    with Watch(webhook.port) as watch:
        answers = [post(webhook.port, body, SECRET) for body in customers(control, events)]
    assert statuses(answers) == {200: events}
    assert worst(answers) < PROMPT_SECONDS
    assert set(statuses(watch.answers)) == {200}
    assert worst(watch.answers) < HEALTH_SECONDS


def test_hanging_database_postpones_every_event_in_time_and_no_longer_than_it_hangs(
    webhook: Webhook,
    stripe_double: StripeDouble,
    database_url: str,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    first, second = customers(control, 40), customers(control, 40)
    with (
        psycopg.connect(database_url) as holder,
        Watch(webhook.port) as watch,
        Watch(webhook.port, "/readyz") as ready,
    ):
        holder.execute("LOCK TABLE stripe.events IN ACCESS EXCLUSIVE MODE")
        answers = post_all(webhook.port, first, SECRET, within=1.0)
        # By now it is known to hang: few may try, the others need not wait for their answer.
        known = post_all(webhook.port, second, SECRET, within=1.0)
        holder.rollback()
        wait_until(lambda: blocked(connection) == 0, "the server to give up too")
        after = [post(webhook.port, body, SECRET) for body in first[:8]]
    assert statuses(answers) == statuses(known) == {503: 40}
    assert worst([*answers, *known]) < ANSWER_SECONDS
    assert sum(answer.seconds < 1.0 for answer in known) >= 30
    assert statuses(after) == {200: 8}
    assert set(statuses(watch.answers)) == {200}
    assert worst(watch.answers) < HEALTH_SECONDS
    assert worst(ready.answers) < ANSWER_SECONDS
    postponed = [line for line in webhook.log() if line["event"] == "event.postponed"]
    assert len(postponed) == 80
    assert all(line["error"] for line in postponed)


def test_events_that_are_sent_together_are_all_answered_in_time(
    webhook: Webhook, stripe_double: StripeDouble, database_url: str
) -> None:
    """The time of the second counts from its arrival, not from when the first is answered."""
    bodies = customers(stripe_double.control, 3)
    head = "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nStripe-Signature: {}"
    sent = b"".join(
        head.format(len(body), sign(body, SECRET, int(time.time()))).encode() + b"\r\n\r\n" + body
        for body in bodies
    )
    with (
        psycopg.connect(database_url) as holder,
        socket.create_connection(("127.0.0.1", webhook.port), timeout=30) as peer,
    ):
        holder.execute("LOCK TABLE stripe.events IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        peer.sendall(sent)
        received = b""
        while received.count(b"HTTP/1.1 503") < len(bodies) and (part := peer.recv(65_536)):
            received += part
        took = time.monotonic() - began
        holder.rollback()
    assert received.count(b"HTTP/1.1 503") == len(bodies)
    assert took < ANSWER_SECONDS


def test_locked_row_shuts_nobody_else_out(
    webhook: Webhook, stripe_double: StripeDouble, database_url: str, connection: psycopg.Connection
) -> None:
    """One customer's row is held by somebody; their events wait, and everybody else's do not."""
    control = stripe_double.control
    name = control.create_customer()
    for body in [control.event_body(made["id"]) for made in control.events()]:
        assert post(webhook.port, body, SECRET).status == 200
    known = len(control.events())
    for step in range(3):
        control.advance(60)
        control.update_customer(name, name=f"step {step}")
    locked = [control.event_body(made["id"]) for made in control.events()[known:]]
    others = customers(control, 60)
    with psycopg.connect(database_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT 1 FROM stripe.customers WHERE id = %s FOR UPDATE", [name])
        waiting = pool.submit(post_all, webhook.port, locked, SECRET)
        wait_until(lambda: blocked(connection) > 0, "the locked row to be wanted")
        answers = post_all(webhook.port, others, SECRET, within=5.0)
        assert statuses(answers) == {200: 60}
        holder.rollback()
        assert worst(waiting.result()) < ANSWER_SECONDS


def test_hanging_stripe_postpones_questions_in_time_and_no_other_event(
    webhook: Webhook, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    before, asked = questionable(control, 24)
    for body in before:
        assert post(webhook.port, body, SECRET).status == 200
    plain = customers(control, 24)
    control.fault("hang", seconds=15.0, count=None)
    try:
        with Watch(webhook.port) as watch, ThreadPoolExecutor(1) as pool:
            others = pool.submit(post_all, webhook.port, plain, SECRET, within=4.0)
            answers = post_all(webhook.port, asked, SECRET, within=1.0)
            assert statuses(others.result()) == {200: 24}
            assert worst(others.result()) < ANSWER_SECONDS
    finally:
        control.clear_interventions()
    assert statuses(answers) == {503: 24}
    assert worst(answers) < ANSWER_SECONDS
    assert set(statuses(watch.answers)) == {200}
    assert worst(watch.answers) < HEALTH_SECONDS
    # One of them finds that Stripe is there again, at the first try or within a second of it.
    wait_until(lambda: post(webhook.port, asked[0], SECRET).status == 200, "an answer of Stripe's")
    assert statuses([post(webhook.port, body, SECRET) for body in asked]) == {200: 24}


UNFINISHED = {
    "nothing": b"",
    "head": HALF_A_HEAD,
    "body": b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
    "chunk": b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
    "trailer": b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n",
    "word": b"POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "second": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal",
    "unread": b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
}


@pytest.mark.parametrize(
    "number, kinds", [(40, list(UNFINISHED)), (1_200, ["nothing", "head", "body"])]
)
def test_senders_who_do_not_come_to_an_end_keep_nobody_waiting(
    webhook: Webhook,
    stripe_double: StripeDouble,
    number: int,
    kinds: list[str],
    subtests: pytest.Subtests,
) -> None:
    (worker,) = webhook.workers()
    for kind in kinds:
        with subtests.test(kind), closing(Crowd(webhook.port, number, UNFINISHED[kind])):
            assert_nobody_waits(webhook, stripe_double.control)
    assert [one.pid for one in webhook.workers()] == [worker.pid]


def test_worker_with_few_files_lives_and_lets_others_in(
    few: Webhook, stripe_double: StripeDouble, subtests: pytest.Subtests
) -> None:
    (worker,) = few.workers()
    for kind in ("nothing", "head"):
        with subtests.test(kind), closing(Crowd(few.port, 400, UNFINISHED[kind])):
            assert_nobody_waits(few, stripe_double.control)
    assert [one.pid for one in few.workers()] == [worker.pid]


def test_drippers_who_never_stop_are_ended_and_logged(
    webhook: Webhook, stripe_double: StripeDouble
) -> None:
    """A byte a moment keeps a socket busy for ever, but a request has five seconds."""
    stop = threading.Event()

    def drip(peer: socket.socket) -> float:
        began = time.monotonic()
        with suppress(OSError):
            while not stop.wait(0.1):
                peer.sendall(b"a")
        return time.monotonic() - began

    with closing(Crowd(webhook.port, 8, HALF_A_HEAD)) as crowd, ThreadPoolExecutor(8) as pool:
        dripping = [pool.submit(drip, peer) for peer in crowd.peers]
        try:
            assert_nobody_waits(webhook, stripe_double.control)
            wait_until(lambda: len(cut(webhook)) == 8, "all to be cut off", 10.0)
        finally:
            stop.set()
        assert max(drop.result() for drop in dripping) < 2 * ANSWER_SECONDS + 2


def cut(webhook: Webhook) -> list[object]:
    return [line for line in webhook.log() if line.get("error") == "sent too slowly"]


def test_those_who_send_much_and_read_nothing_take_no_turn_from_others(
    webhook: Webhook, stripe_double: StripeDouble
) -> None:
    flood = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000
    with closing(Crowd(webhook.port, 8)) as crowd, ThreadPoolExecutor(8) as pool:

        def send(peer: socket.socket) -> None:
            with suppress(OSError):
                peer.sendall(flood)

        sending = [pool.submit(send, peer) for peer in crowd.peers]
        assert_nobody_waits(webhook, stripe_double.control)
        for sent in sending:
            sent.result(30)


def test_bodies_that_never_end_take_no_memory_without_bound(
    webhook: Webhook, stripe_double: StripeDouble
) -> None:
    """Each within the limit of one; all together are not."""
    (worker,) = webhook.workers()
    assert_nobody_waits(webhook, stripe_double.control)
    before = worker.memory_info().rss
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    with closing(Crowd(webhook.port, 60, head + b" " * 1_900_000)):
        assert_nobody_waits(webhook, stripe_double.control)
        assert worker.memory_info().rss - before < 48 * 2**20


def test_stop_under_load_answers_all_that_was_sent_and_stores_all_that_was_answered(
    webhook: Webhook,
    stripe_double: StripeDouble,
    database_url: str,
    connection: psycopg.Connection,
) -> None:
    control = stripe_double.control
    bodies = customers(control, 40)
    with psycopg.connect(database_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("LOCK TABLE stripe.events IN ACCESS EXCLUSIVE MODE")
        sending = pool.submit(post_all, webhook.port, bodies, SECRET)
        wait_until(lambda: blocked(connection) >= 4, "all threads to be at work")
        # Those that no thread has come to yet are in the same boat.
        wait_until(lambda: connections(webhook) >= 40, "all to have sent")
        webhook.process.terminate()
        holder.rollback()
        answers = sending.result()
    assert webhook.process.wait(15) == 0
    assert statuses(answers) == {200: 40}
    assert count(connection, "events") == 40


def connections(webhook: Webhook) -> int:
    (worker,) = webhook.workers()
    return sum(one.status == "ESTABLISHED" for one in worker.net_connections("tcp"))


def test_what_is_refused_needs_no_thread_that_is_at_work(
    webhook: Webhook,
    stripe_double: StripeDouble,
    database_url: str,
    connection: psycopg.Connection,
) -> None:
    bodies = customers(stripe_double.control, 8)
    with psycopg.connect(database_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("LOCK TABLE stripe.events IN ACCESS EXCLUSIVE MODE")
        sending = pool.submit(post_all, webhook.port, bodies, SECRET)
        wait_until(lambda: blocked(connection) >= 4, "all threads to be at work")
        forged = post_all(
            webhook.port, [json.dumps({"n": n}).encode() for n in range(8)], "whsec_x"
        )
        holder.rollback()
        sending.result()
    assert statuses(forged) == {400: 8}
    assert worst(forged) < HEALTH_SECONDS
