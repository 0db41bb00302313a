"""Every answer of the port is one of ours: JSON, a word of a fixed set, nothing of the request."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from sandbox.product import Webhook, wait_until

HOST = b"Host: x\r\n"
CANARY = b"canary7"
WORDS = {
    "bad_request",
    "bad_signature",
    "expectation_failed",
    "headers_too_large",
    "method_not_allowed",
    "not_found",
    "not_implemented",
    "too_large",
    "uri_too_long",
    "version_not_supported",
}
PATHS = {
    "/": 404,
    "//": 404,
    "/canary7": 404,
    "/webhook": 400,
    "//webhook": 400,
    "/webhook/": 400,
    "///webhook//": 400,
    "/%77ebhook": 400,
    "/webhook?canary7=1": 400,
    "/webhook#canary7": 400,
    "http://canary7/webhook": 400,
    "http://canary7//webhook/": 400,
    "/webhook/canary7": 404,
    "/WEBHOOK": 404,
    "/webhook%00": 404,
    "/webhook%0d%0aX-A:canary7": 404,
    "/%ff%fe": 404,
    "/..%2fwebhook": 404,
    "/../webhook": 404,
    "/static/canary7": 404,
    "/healthz": 405,
    "/readyz": 405,
    "//healthz/": 405,
    "http://[canary7": 400,
    "canary7": 400,
    "*": 400,
    "/can ary7": 400,
    "/\x7fcanary7": 400,
    "/" + "canary7" * 200: 414,
}
METHODS = {
    b"GET": 405,
    b"HEAD": 405,
    b"PUT": 405,
    b"DELETE": 405,
    b"OPTIONS": 405,
    b"TRACE": 405,
    b"PATCH": 405,
    b"PROPFIND": 405,
    b"CONNECT": 405,
    b"CANARY7": 405,
    b"post": 400,
    b"P(ST": 400,
    b"CANARY7CANARY7CANARY7": 400,
    b"": 400,
}
VERSIONS = {
    b"HTTP/1.0": 400,
    b"HTTP/1.1": 400,
    b"HTTP/1.9": 400,
    b"HTTP/0.9": 505,
    b"HTTP/2.0": 505,
    b"HTTP/3.0": 505,
    b"HTTP/1": 400,
    b"HTTP/canary7": 400,
    b"ICY/1.1": 400,
    b"": 400,
}
HEADS = {
    b"Expect: canary7\r\n": 417,
    b"Transfer-Encoding: canary7\r\n": 501,
    b"Transfer-Encoding: gzip, chunked\r\n": 400,
    b"Content-Length: canary7\r\n": 400,
    b"Content-Length: 99999999999\r\n": 413,
    b"X-A: " + b"canary7" * 1_300 + b"\r\n": 431,
    b"X-Canary7: 1\r\n" * 70: 431,
    b"X_Canary7: 1\r\n": 400,
    b"X Canary7: 1\r\n": 400,
    b"X-A: canary7\x00\r\n": 400,
    b" canary7\r\n": 400,
    b"canary7\r\n": 400,
    b"Host: canary7\r\n": 400,
    b"Upgrade: h2c\r\nHTTP2-Settings: canary7\r\nConnection: Upgrade, HTTP2-Settings\r\n": 400,
    b"Content-Encoding: gzip\r\n": 400,
    b"Accept: text/html\r\n": 400,
    b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n": 400,
}
BODIES = {
    b"zz-canary7\r\n": 400,
    b"7;canary7=\x00\r\ncanary7\r\n0\r\n\r\n": 400,
    b"7\r\ncanary7XX": 400,
    b"7\r\ncanary7\r\n0\r\nX-Canary7 : 1\r\n\r\n": 400,
    b"ffffff\r\n": 413,
    b"7\r\ncanary7\r\n0\r\n\r\n": 400,
    b"7\r\ncan": 400,
}


def exchange(webhook: Webhook, sent: bytes) -> bytes:
    received = b""
    with socket.create_connection(("127.0.0.1", webhook.port), 10) as peer:
        with suppress(OSError):
            peer.sendall(sent)
            peer.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while chunk := peer.recv(65_536):
                received += chunk
    return received


def cases() -> Iterator[tuple[bytes, int]]:
    body = HOST + b"Content-Length: 2\r\n\r\n{}"
    for path, status in PATHS.items():
        yield b"POST " + path.encode("latin-1") + b" HTTP/1.1\r\n" + body, status
    for method, status in METHODS.items():
        yield method + b" /webhook HTTP/1.1\r\n" + body, status
    for version, status in VERSIONS.items():
        yield b"POST /webhook " + version + b"\r\n" + body, status
    for head, status in HEADS.items():
        yield b"POST /webhook HTTP/1.1\r\n" + HOST + head + b"\r\n", status
    for chunks, status in BODIES.items():
        head = b"POST /webhook HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        yield head + chunks, status
    for whole in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary7",
        b"canary7",
        b"GET / HTTP/1.1\nHost: canary7\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET /canary7 HTTP/1.1\r\nHost: x\r\nX-A: cut",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\ncanary7",
    ):
        yield whole, 400


CASES = list(cases())


@pytest.mark.parametrize("sent, status", CASES, ids=range(len(CASES)))
def test_answer_is_json_of_a_fixed_word_with_the_right_status_and_a_line_of_log(
    doorway: Webhook, sent: bytes, status: int
) -> None:
    known = len(refusals(doorway))
    head, _, body = exchange(doorway, sent).partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    headers = dict(field.split(b": ", 1) for field in fields)
    assert re.fullmatch(rb"HTTP/1\.1 %d [A-Za-z -]+" % status, line), head
    assert headers[b"Content-Type"] == b"application/json"
    assert headers[b"Date"].endswith(b" GMT")
    assert headers[b"Server"] == b"gunicorn"
    assert headers[b"Connection"] in {b"close", b"keep-alive"}
    assert (b"Allow" in headers) is (status == 405)
    if sent.startswith(b"HEAD"):
        assert body == b""
    else:
        assert int(headers[b"Content-Length"]) == len(body)
        assert set(json.loads(body)) == {"error"}
        assert json.loads(body)["error"] in WORDS
    assert CANARY not in (head + body).lower()
    wait_until(lambda: len(refusals(doorway)) > known, "a line of log")
    told = refusals(doorway)[known]
    assert (told["status"], told["level"]) == (status, "warning")
    assert "Traceback" not in json.dumps(doorway.log())


def refusals(webhook: Webhook) -> list[dict[str, object]]:
    return [line for line in webhook.log() if line.get("status") not in {None, 200}]


def test_head_of_health_has_no_body_and_keeps_the_connection(doorway: Webhook) -> None:
    one = b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = exchange(doorway, one + one)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answers.endswith(b"\r\n\r\n")
    assert b"healthy" not in answers
