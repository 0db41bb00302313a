"""Who may connect may try anything: smuggled requests, slow senders, crowds that say nothing."""

import http.client
import json
import resource
import socket
import time
from contextlib import ExitStack, suppress

import pytest

from sandbox.product import Webhook, wait_until
from sandbox.stripe_double import StripeDouble, sign
from tests.e2e.conftest import SECRET

HOST = b"Host: x\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b"{}"


def exchange(webhook: Webhook, sent: bytes, seconds: float = 8.0) -> bytes:
    """Send bytes, say that no more will come, and return all that comes back."""
    received = b""
    with socket.create_connection(("127.0.0.1", webhook.port), seconds) as peer:
        peer.sendall(sent)
        with suppress(OSError):
            peer.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while chunk := peer.recv(65_536):
                received += chunk
    return received


def statuses(received: bytes) -> list[int]:
    """The statuses of all answers on one connection."""
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]


def healthy_within(webhook: Webhook, seconds: float) -> None:
    began = time.monotonic()
    assert webhook.get("/healthz") == (200, {"healthy": True})
    assert time.monotonic() - began < seconds


@pytest.mark.parametrize(
    "head, body",
    [
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 40\r\n", b"0\r\n\r\n" + SMUGGLED),
        (b"Content-Length: 2\r\nContent-Length: 40\r\n", BODY + SMUGGLED),
        (b"Content-Length: 2, 2\r\n", BODY + SMUGGLED),
        (b"Content-Length: +2\r\n", BODY + SMUGGLED),
        (b"Content-Length: 0x2\r\n", BODY + SMUGGLED),
        (b"Content-Length: -1\r\n", BODY + SMUGGLED),
        (b"Content-Length: 2_0\r\n", BODY + SMUGGLED),
        (b"Content-Length : 2\r\n", BODY + SMUGGLED),
        (b"Content-Length: 2\r\n obs-fold\r\n", BODY + SMUGGLED),
        (b"X-A: 1\r\n Transfer-Encoding: chunked\r\nContent-Length: 40\r\n", BODY + SMUGGLED),
        (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        (b"Transfer-Encoding: identity, chunked, identity\r\n", b"0\r\n\r\n" + SMUGGLED),
        (b"Transfer-Encoding:\x0bchunked\r\nContent-Length: 40\r\n", b"0\r\n\r\n" + SMUGGLED),
        (b"Transfer-Encoding: chunked\nContent-Length: 40\n", b"0\r\n\r\n" + SMUGGLED),
        (b"X-A: b\rContent-Length: 40\r\n", BODY + SMUGGLED),
        (b"X-A: b\x00\r\nContent-Length: 2\r\n", BODY + SMUGGLED),
        (b"Transfer-Encoding: chunked\r\n", b"2;a\nb\r\n{}\r\n0\r\n\r\n" + SMUGGLED),
        (b"Transfer-Encoding: chunked\r\n", b"-2\r\n{}\r\n0\r\n\r\n" + SMUGGLED),
        (b"Transfer-Encoding: chunked\r\n", b"0x2\r\n{}\r\n0\r\n\r\n" + SMUGGLED),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\n{}XX0\r\n\r\n" + SMUGGLED),
    ],
    ids=lambda part: repr(part)[2:40] if isinstance(part, bytes) else None,
)
def test_request_whose_end_is_in_doubt_hides_no_second_one(
    doorway: Webhook, head: bytes, body: bytes
) -> None:
    """Two parsers that disagree on where a request ends let one through behind the other."""
    received = exchange(doorway, b"POST /webhook HTTP/1.1\r\n" + HOST + head + b"\r\n" + body)
    answers = statuses(received)
    assert 404 not in answers, "the second request was served"
    assert set(answers) <= {400, 501}
    assert len(answers) <= 1
    assert not [line for line in doorway.log() if "/smuggled" in json.dumps(line)]
    healthy_within(doorway, 2.0)


@pytest.mark.parametrize(
    "request_line",
    [
        b"POST /webhook HTTP/1.1\n",
        b"POST  /webhook HTTP/1.1\r\n",
        b"POST /webhook\r\n",
        b"POST /webhook HTTP/9.9\r\n",
        b"PO\x00ST /webhook HTTP/1.1\r\n",
        b"POST /webhook" + b"a" * 5_000 + b" HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    ],
    ids=lambda line: repr(line)[2:30],
)
def test_bytes_that_are_no_request_are_refused(doorway: Webhook, request_line: bytes) -> None:
    received = exchange(doorway, request_line + HOST + b"Content-Length: 2\r\n\r\n{}")
    assert all(400 <= status < 500 or status in {501, 505} for status in statuses(received))
    healthy_within(doorway, 2.0)


def test_pipelined_requests_are_answered_each_for_itself(doorway: Webhook) -> None:
    one = b"POST /webhook HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n{}"
    health = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    last = health.replace(HOST, HOST + b"Connection: close\r\n")
    assert statuses(exchange(doorway, one + health + last)) == [400, 200, 200]


def test_answer_does_not_tell_who_read_the_request(doorway: Webhook) -> None:
    """The common request is read by us, one with a doubt or of unusual size by gunicorn."""
    told = set()
    for field, body in (
        (b"X-A: b", BODY),
        (b"X-A: b", b" " * 100_000),
        (b"X-Forwarded-Ssl: off", BODY),
        (b"X-A: " + b"b" * 8_000, BODY),
        (b"X-A: b", BODY[:1]),
    ):
        signature = sign(body, SECRET, int(time.time())).encode()
        head = b"POST /webhook HTTP/1.1\r\n" + HOST + b"Connection: close\r\n" + field
        length = b"\r\nContent-Length: %d\r\nStripe-Signature: " % len(body)
        received = exchange(doorway, head + length + signature + b"\r\n\r\n" + body)
        answer, _, rest = received.partition(b"\r\n\r\n")
        fields = (line for line in answer.split(b"\r\n") if not line.startswith(b"Date: "))
        told.add((*sorted(fields), rest))
    assert len(told) == 1, told
    assert b'{"error": "not_an_event"}' in told.pop()


def test_too_many_or_too_large_headers_are_refused(doorway: Webhook) -> None:
    start = b"POST /webhook HTTP/1.1\r\n" + HOST
    for head in (b"X-A: b\r\n" * 500, b"X-A: " + b"b" * 20_000 + b"\r\n"):
        answers = statuses(exchange(doorway, start + head + b"\r\n"))
        assert answers in ([400], [431])
    healthy_within(doorway, 2.0)


def test_500_idle_connections_keep_nobody_waiting(
    webhook: Webhook, stripe_double: StripeDouble
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2_000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(2_000, hard), hard))
    control = stripe_double.control
    control.create_customer()
    with ExitStack() as crowd:
        for _ in range(500):
            crowd.enter_context(socket.create_connection(("127.0.0.1", webhook.port), 10))
        healthy_within(webhook, 2.0)
        (delivery,) = control.deliver(webhook.url, [SECRET])
        assert delivery.accepted
        assert delivery.answers[0].seconds < 3.0
    wait_until(lambda: webhook.get("/healthz")[0] == 200, "an answer after the crowd has gone")


def test_slow_bodies_are_cut_off_and_hold_up_nobody(
    webhook: Webhook, stripe_double: StripeDouble
) -> None:
    """As many as there are threads."""
    control = stripe_double.control
    control.create_customer()
    start = b"POST /webhook HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nslow"
    with ExitStack() as crowd:
        peers = [
            crowd.enter_context(socket.create_connection(("127.0.0.1", webhook.port), 15))
            for _ in range(4)
        ]
        for peer in peers:
            peer.sendall(start)
        (delivery,) = control.deliver(webhook.url, [SECRET])
        assert delivery.accepted
        assert delivery.answers[0].seconds < 3.0
        for peer in peers:
            peer.settimeout(10)
            assert statuses(peer.recv(4_096)) in ([400], [])


def test_answers_tell_nothing_of_what_they_run_on(doorway: Webhook) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", doorway.port, timeout=10)
    for path, body in (("/webhook", b"{}"), ("/nowhere", b"")):
        signature = sign(body, SECRET, 1)
        connection.request("POST", path, body, {"Stripe-Signature": signature})
        answer = connection.getresponse()
        text = answer.read() + repr(answer.getheaders()).encode()
        for word in (b"gunicorn/", b"Werkzeug", b"Python", b"Traceback", b"flask"):
            assert word not in text, text
    connection.close()
