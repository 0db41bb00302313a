"""A proxy between us and a host over TLS: real ones, and none of them is trusted."""

import base64
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.setting_readers import Secret
from shared.stripe import proxy as way
from shared.stripe.connection import Connections, NoAnswer
from tests.integration.peers import Peer, Proxy, Script, certificate, drip, read_head

SECRET = "c4n4ry"
# No name server knows it: only the proxy is asked for it.
BASE = "https://api.stripe.test"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONNECT = b"CONNECT api.stripe.test:443 HTTP/1.1\r\nHost: api.stripe.test:443\r\n"


@pytest.fixture(scope="module")
def vouched_for(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"), "DNS:api.stripe.test", "IP:::1")


@pytest.fixture
def certified(vouched_for: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSL_CERT_FILE", str(vouched_for))
    return vouched_for


@pytest.fixture
def script() -> Script:
    return Script([OK] * 3)


@pytest.fixture
def stripe(certified: Path, script: Script) -> Iterator[Peer]:
    """A host over TLS."""
    with closing(Peer(script, certificate=certified, at_once=True)) as peer:
        yield peer


def through(port: int, base: str = BASE, credentials: str = "") -> Connections:
    proxy = way.Proxy.to(base, Secret(f"http://{credentials}127.0.0.1:{port}"), None)
    assert proxy is not None
    return Connections(base, {"Authorization": f"Bearer {SECRET}"}, proxy)


def test_proxy_opens_a_way_once_and_is_told_nothing_of_what_is_said(
    stripe: Peer, script: Script
) -> None:
    with closing(Proxy(stripe.port)) as proxy, closing(through(proxy.port)) as client:
        assert [client.get("/a", 5).body for _ in range(2)] == [b"ok", b"ok"]
        assert client.post("/b", b"told", 5).body == b"ok"
    assert proxy.heads == [CONNECT + b"\r\n"] * 2
    assert [request.split(b" HTTP")[0] for request in script.requests] == [
        b"GET /a",
        b"GET /a",
        b"POST /b",
    ]
    assert all(SECRET.encode() in request for request in script.requests)


@pytest.mark.parametrize(
    "given, sent", [("jo:pa%3Ass@", "jo:pa:ss"), ("jo%40corp:%25@", "jo@corp:%"), ("jo@", "jo")]
)
def test_user_and_password_are_sent_to_the_proxy_and_to_nobody_else(
    stripe: Peer, script: Script, given: str, sent: str
) -> None:
    with closing(Proxy(stripe.port)) as proxy, closing(through(proxy.port, BASE, given)) as client:
        assert client.get("/", 5).body == b"ok"
    coded = base64.b64encode(sent.encode())
    assert proxy.heads == [CONNECT + b"Proxy-Authorization: Basic " + coded + b"\r\n\r\n"]
    assert coded not in script.requests[0]


def test_host_by_an_address_of_ipv6_is_asked_for_in_brackets(stripe: Peer, script: Script) -> None:
    with closing(Proxy(stripe.port)) as proxy:
        with closing(through(proxy.port, "https://[::1]:8443")) as client:
            assert client.get("/", 5).body == b"ok"
        assert proxy.heads == [b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"]
    assert b"\r\nHost: [::1]:8443\r\n" in script.requests[0]


def test_proxy_that_looks_into_tls_is_not_trusted(certified: Path, tmp_path: Path) -> None:
    """Its certificate is for the right name, but who vouches for it is not known here."""
    spy = Script([OK])
    own = certificate(tmp_path, "DNS:api.stripe.test")
    assert own.read_bytes() != certified.read_bytes()
    with (
        closing(Peer(spy, certificate=own)) as stripe,
        closing(Proxy(stripe.port)) as proxy,
        pytest.raises(NoAnswer, match="certificate is not to be trusted"),
    ):
        through(proxy.port).get("/", 5)
    assert spy.requests == []


@pytest.mark.parametrize(
    "answer, said",
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nc4n4", "407"),
        (b"HTTP/1.1 503 c4n4ry\r\nConnection: close\r\n\r\n<html>", "503"),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", "403"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://c4n4ry\r\n\r\n", "302"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n", "502"),
        (b"SSH-2.0-c4n4ry\r\n\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nc4n4", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, "LineTooLong"),
    ],
)
def test_proxy_that_refuses_is_named_and_neither_its_words_nor_its_url_are_told(
    stripe: Peer, script: Script, answer: bytes, said: str
) -> None:
    with closing(Proxy(stripe.port, answer)) as proxy:
        client = through(proxy.port, BASE, f"jo:{SECRET}@")
        with pytest.raises(NoAnswer, match=rf"the proxy \(HTTPS_PROXY\).* {said}") as raised:
            client.get(f"/{SECRET}", 5)
    assert SECRET[:4] not in str(raised.value)
    assert script.requests == []
    assert all(b"GET" not in head for head in proxy.heads)


@pytest.mark.parametrize(
    "begun, endless",
    [
        (b"", b""),
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_proxy_that_hangs_or_drips_takes_no_more_than_the_time_allowed(
    begun: bytes, endless: bytes
) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(begun)
        if endless:
            drip(connection, endless)
        connection.recv(1)

    with closing(Peer(serve)) as proxy:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match=r"the proxy \(HTTPS_PROXY\): TimeoutError"):
            through(proxy.port).get("/", 0.5)
        assert 0.5 <= time.monotonic() - began < 3


def test_proxy_that_is_not_there_is_named() -> None:
    with closing(Proxy(1)) as gone:
        pass
    with pytest.raises(NoAnswer, match=r"the proxy \(HTTPS_PROXY\): ConnectionRefusedError"):
        through(gone.port).get("/", 5)


def test_host_that_hangs_behind_the_proxy_takes_no_more_than_the_time_allowed() -> None:
    def hang(connection: socket.socket) -> None:
        connection.recv(65_536)
        drip(connection, b"\x16\x03\x03\x40\x00")

    with closing(Peer(hang)) as stripe, closing(Proxy(stripe.port)) as proxy:
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            through(proxy.port).get("/", 0.5)
        assert time.monotonic() - began < 3
