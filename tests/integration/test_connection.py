"""The HTTP client against peers that send exactly the bytes they are told to, when they are."""

import gzip
import socket
import ssl
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.stripe.connection import Connections, NoAnswer, _verifying
from tests.integration.peers import Peer, Script, certificate, drip, read_head

BODY = b'{"data": []}' * 1_000
# Without a time in it: every process that collects these tests names them alike.
PACKED = gzip.compress(BODY, mtime=0)


class Serving(NamedTuple):
    """A server that sends exactly the bytes that it is told to, and the client that asks it."""

    peer: Peer
    script: Script
    client: Connections


@contextmanager
def serving(*answers: bytes | None) -> Iterator[Serving]:
    script = Script(answers)
    with (
        closing(Peer(script)) as peer,
        closing(Connections(f"http://127.0.0.1:{peer.port}", {"X": "y"})) as client,
    ):
        yield Serving(peer, script, client)


@pytest.fixture(scope="module")
def vouched_for(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1."""
    return certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


@pytest.fixture
def certified(vouched_for: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and the environment trusts it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(vouched_for))
    return vouched_for


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = "".join(f"{header}\r\n" for header in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def chunks(body: bytes, size: int = 1_000) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x;note=1\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\nT: t\r\n\r\n"


def test_connection_is_kept_and_headers_are_read_whatever_their_case() -> None:
    packed = answer(PACKED, "content-ENCODING: gzip", "DATE:  now ")
    with serving(answer(BODY), packed, answer(b"", status="404 ")) as at:
        assert at.client.get("/a?b=c", 5).body == BODY
        assert at.script.requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nAccept-Encoding: gzip\r\nX: y\r\n" in at.script.requests[0]
        reply = at.client.get("/", 5)
        assert (reply.status, reply.headers["date"], reply.body) == (200, "now", BODY)
        assert at.client.get("/", 5).status == 404
        assert at.peer.connections == 1


def test_chunks_and_interim_answers_are_read_and_the_connection_is_kept() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    none = b"HTTP/1.1 204 No Content\r\n\r\n"
    with serving(early + chunks(BODY), none, chunks(BODY)) as at:
        assert [at.client.get("/", 5).body for _ in range(3)] == [BODY, b"", BODY]
        assert at.peer.connections == 1


@pytest.mark.parametrize(
    "last", [b"HTTP/1.0 200 OK\r\n\r\n" + BODY, b"HTTP/1.1 200 OK\r\n\r\n" + BODY]
)
def test_answer_without_length_ends_with_its_connection(last: bytes) -> None:
    with serving(last, None, answer(b"x")) as at:
        assert [at.client.get("/", 5).body for _ in range(2)] == [BODY, b"x"]
        assert at.peer.connections == 2


def test_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    closing_one = answer(b"1", "Connection: close")
    with serving(closing_one, answer(b"2"), None, answer(b"3")) as at:
        bodies = [at.client.get("/", 5).body for _ in range(2)]
        ended = threading.Event()
        while at.peer.connections < 2 or len(at.script.left) > 1:
            assert not ended.wait(0.01)
        assert [*bodies, at.client.get("/", 5).body] == [b"1", b"2", b"3"]
        assert at.peer.connections == 3


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 two OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        chunks(BODY)[:-500],
        chunks(BODY).replace(b"3e8;", b"3e7;", 1),
        chunks(BODY).replace(b"3e8;", b"-1;", 1),
        chunks(BODY).replace(b"3e8;", b"zz;", 1),
        answer(PACKED[:-9], "Content-Encoding: gzip"),
        answer(PACKED[:-1] + b"\x7f", "Content-Encoding: gzip"),
        answer(PACKED[:40] + b"!!" + PACKED[42:], "Content-Encoding: gzip"),
        answer(gzip.compress(BODY * 2, mtime=0)[:-4] + PACKED[-4:], "Content-Encoding: gzip"),
        answer(BODY, "Content-Encoding: gzip"),
        answer(BODY, "Content-Encoding: br"),
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4_0\r\n\r\n" + b"x" * 40,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
    ids=lambda broken: f"{broken[:70]!r} {zlib.crc32(broken):x}",
)
def test_what_is_not_a_whole_answer_is_none_and_its_connection_is_left(broken: bytes) -> None:
    with serving(broken, None, answer(b"x")) as at:
        with pytest.raises(NoAnswer):
            at.client.get("/", 5)
        assert at.client.get("/", 5).body == b"x"
        assert at.peer.connections == 2


def test_silence_ends_with_the_time_allowed() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        for scheme in ("http", "https"):
            with pytest.raises(NoAnswer, match="TimeoutError"):
                Connections(f"{scheme}://127.0.0.1:{port}", {}).get("/", 0.05)
    with pytest.raises(NoAnswer, match="ConnectionRefusedError"):
        Connections(f"http://127.0.0.1:{port}", {}).get("/", 5)


def test_server_without_tls_is_no_answer_to_https() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening, ThreadPoolExecutor(1) as one:
        secure = Connections(f"https://127.0.0.1:{listening.getsockname()[1]}", {})
        asked = one.submit(secure.get, "/", 5)
        with listening.accept()[0] as plain:
            plain.sendall(answer(b"x", status="400 Bad Request"))
            with pytest.raises(NoAnswer, match="SSLError"):
                asked.result(5)


def test_certificate_and_host_name_are_checked() -> None:
    context = _verifying()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_name_may_be_an_address_of_ipv6() -> None:
    script = Script([answer(BODY)])
    with (
        closing(Peer(script, address="::1")) as peer,
        closing(Connections(f"http://[::1]:{peer.port}", {})) as client,
    ):
        assert client.get("/", 5).body == BODY
    assert f"\r\nHost: [::1]:{peer.port}\r\n".encode() in script.requests[0]


def test_kept_connection_that_ends_as_the_next_request_comes_is_replaced() -> None:
    with serving(answer(b"1"), b"", None, answer(b"2")) as at:
        assert [at.client.get("/", 5).body for _ in range(2)] == [b"1", b"2"]
        assert (at.peer.connections, len(at.script.requests)) == (2, 3)


def test_answer_that_had_begun_is_not_asked_for_again() -> None:
    with serving(answer(b"1"), b"HTTP/1.1 200 OK\r\n", None, answer(b"2")) as at:
        assert at.client.get("/", 5).body == b"1"
        with pytest.raises(NoAnswer):
            at.client.get("/", 5)
        assert len(at.script.requests) == 2


def test_answer_that_is_reset_in_its_middle_is_not_asked_for_again() -> None:
    """So much of it has come that no buffer on the way holds it all."""
    requests = []
    size = b"Content-Length: 67108864\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        requests.append(read_head(connection))
        connection.sendall(answer(b"1"))
        requests.append(read_head(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + size + bytes(60 * 1024 * 1024))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with (
        closing(Peer(serve)) as peer,
        closing(Connections(f"http://127.0.0.1:{peer.port}", {})) as client,
    ):
        assert client.get("/", 20).body == b"1"
        with pytest.raises(NoAnswer, match="ConnectionResetError"):
            client.get("/", 20)
    assert len(requests) == 2


def test_new_connection_that_ends_without_an_answer_is_not_tried_again() -> None:
    with serving(b"", None, answer(b"2")) as at:
        with pytest.raises(NoAnswer, match="RemoteDisconnected"):
            at.client.get("/", 5)
        assert len(at.script.requests) == 1


def test_post_goes_over_a_connection_of_its_own_and_never_twice() -> None:
    script = Script([answer(b"1"), answer(b"2"), b""])
    with (
        closing(Peer(script, at_once=True)) as peer,
        closing(Connections(f"http://127.0.0.1:{peer.port}", {})) as client,
    ):
        assert client.get("/", 5).body == b"1"
        assert client.post("/a", b"", 5).body == b"2"
        with pytest.raises(NoAnswer, match="RemoteDisconnected"):
            client.post("/b", b"told", 5)
        assert peer.connections == 3
    assert b"POST /a HTTP/1.1\r\n" in script.requests[1]
    assert b"\r\nContent-Length: 0\r\n" in script.requests[1]
    assert [request.count(b"/b") for request in script.requests] == [0, 0, 1]


def test_connections_of_many_threads_that_all_ended_cost_no_answer() -> None:
    """As after a restart over there: each is found ended, whoever takes it."""
    here, restart = threading.Barrier(4), threading.Event()

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        if not restart.is_set():
            here.wait(5)
            connection.sendall(answer(b"1"))
            read_head(connection)
            return
        connection.sendall(answer(b"2", "Connection: close"))

    with (
        closing(Peer(serve, at_once=True)) as peer,
        closing(Connections(f"http://127.0.0.1:{peer.port}", {})) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        assert list(pool.map(lambda _: client.get("/", 5).body, range(4))) == [b"1"] * 4
        restart.set()
        assert client.get("/", 5).body == b"2"
        assert peer.connections == 5


LINE = b"HTTP/1.1 200 OK\r\n"
PARTS = {
    "the status line": (b"", b"H"),
    "the headers": (LINE, b"X: y\r\n"),
    "one header": (LINE, b"X"),
    "interim answers": (b"", b"HTTP/1.1 103 Early\r\n\r\n"),
    "continuations": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body of a length": (LINE + b"Content-Length: 9999\r\n\r\n", b"x"),
    "a body without a length": (LINE + b"\r\n", b"x"),
    "the size of a chunk": (LINE + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "a chunk": (LINE + b"Transfer-Encoding: chunked\r\n\r\n9999\r\n", b"x"),
    "small chunks": (LINE + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "the trailer": (LINE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("part", PARTS)
def test_answer_that_drips_ends_with_the_time_allowed(
    part: str, scheme: str, certified: Path
) -> None:
    begun, endless = PARTS[part]

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(begun)
        drip(connection, endless)

    with (
        closing(Peer(serve, certificate=certified if scheme == "https" else None)) as peer,
        closing(Connections(f"{scheme}://127.0.0.1:{peer.port}", {})) as client,
    ):
        began = time.monotonic()
        with pytest.raises(NoAnswer, match="TimeoutError"):
            client.get("/", 0.5)
        assert 0.5 <= time.monotonic() - began < 3


def test_greeting_of_tls_that_drips_ends_with_the_time_allowed() -> None:
    """16 KB of a first record that never ends."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"\x16\x03\x03\x40\x00")
        drip(connection, b"\x02")

    with closing(Peer(serve)) as peer:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match="TimeoutError"):
            Connections(f"https://127.0.0.1:{peer.port}", {}).get("/", 0.5)
        assert 0.5 <= time.monotonic() - began < 3


CHUNKED = LINE + b"Transfer-Encoding: chunked\r\n\r\n"
CLAIMS = {
    "Content-Length": lambda: LINE + b"Content-Length: 67108865\r\n\r\n",
    "a chunk": lambda: CHUNKED + b"ffffffff\r\n",
    "a chunk beyond any machine": lambda: CHUNKED + b"f" * 40 + b"\r\n",
    "a chunk of less than nothing": lambda: CHUNKED + b"-1\r\n" + b"x" * 100,
    "gzip": lambda: answer(bomb(), "Content-Encoding: gzip"),
    "gzip that hides it": lambda: answer(bomb()[:-4] + bytes(4), "Content-Encoding: gzip"),
}


def bomb() -> bytes:
    """65 MiB, gzipped."""
    return gzip.compress(bytes(65 * 1024 * 1024), 1, mtime=0)


@pytest.mark.parametrize("claim", CLAIMS)
def test_size_that_is_only_claimed_takes_no_memory(claim: str) -> None:
    with serving(CLAIMS[claim](), None) as at:
        tracemalloc.start()
        try:
            with pytest.raises(NoAnswer):
                at.client.get("/", 5)
            assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "head, piece",
    [
        (LINE + b"\r\n", bytes(0x100000)),
        (CHUNKED, b"100000\r\n" + bytes(0x100000) + b"\r\n"),
        (CHUNKED + b"0\r\n", b"X: y\r\n" * 100_000),
        (b"", (b"HTTP/1.1 103 Early\r\nX: " + b"y" * 65_000 + b"\r\n\r\n") * 10),
    ],
    ids=["body", "chunks", "trailer", "interim answers"],
)
def test_answer_without_end_is_given_up_at_its_64th_mib(head: bytes, piece: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    with closing(Peer(serve)) as peer, pytest.raises(NoAnswer, match="too large"):
        Connections(f"http://127.0.0.1:{peer.port}", {}).get("/", 30)


@pytest.mark.parametrize("beyond", [b"x", answer(b"of another"), b"\r\n" * 50_000])
def test_what_comes_beyond_an_answer_is_no_part_of_the_next(beyond: bytes) -> None:
    with serving(answer(BODY) + beyond, answer(b"2"), answer(b"3")) as at:
        assert at.client.get("/", 5).body == BODY
        assert at.client.get("/", 5).body in {b"2", b"3"}


def test_answer_over_tls_is_read_and_its_connection_kept(certified: Path) -> None:
    script = Script([answer(PACKED, "Content-Encoding: gzip"), chunks(BODY), answer(b"3")])
    with (
        closing(Peer(script, certificate=certified)) as peer,
        closing(Connections(f"https://127.0.0.1:{peer.port}", {})) as client,
    ):
        assert [client.get("/", 5).body for _ in range(3)] == [BODY, BODY, b"3"]
        assert peer.connections == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_certificate_of_another_or_of_nobody_known_is_not_trusted(
    host: str, tmp_path: Path, certified: Path
) -> None:
    """One name is not in it, the other's is vouched for by nobody."""
    stranger = certificate(tmp_path, "IP:127.0.0.1", "DNS:localhost")
    shown = certified if host == "localhost" else stranger
    script = Script([answer(b"x")])
    with (
        closing(Peer(script, certificate=shown)) as peer,
        pytest.raises(NoAnswer, match="certificate is not to be trusted"),
    ):
        Connections(f"https://{host}:{peer.port}", {"Authorization": "secret"}).get("/", 5)
    assert script.requests == []
