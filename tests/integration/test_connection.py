"""Our own HTTP client against a server that sends exactly the bytes it is told to."""

import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from shared.stripe.connection import Connections, NoAnswer, _verifying

BODY = b'{"data": []}' * 1_000
# Without a time in it: every process that collects these tests names them alike.
PACKED = gzip.compress(BODY, mtime=0)


class Server:
    """Sends the next of its answers for each request; None closes the connection before it."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers:
            connection, _ = self._listening.accept()
            self.connections += 1
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        while self._answers:
            if self._answers[0] is None:
                self._answers.pop(0)
                return
            received = b""
            while b"\r\n\r\n" not in received:
                more = connection.recv(65_536)
                if not more:
                    return
                received += more
            self.requests.append(received)
            answer = self._answers.pop(0)
            assert answer is not None
            # In two parts, so that no answer comes in one piece by luck.
            connection.sendall(answer[: len(answer) // 2])
            connection.sendall(answer[len(answer) // 2 :])

    def close(self) -> None:
        self._thread.join(5)
        self._listening.close()


@contextmanager
def serving(*answers: bytes | None) -> Iterator[tuple[Server, Connections]]:
    with (
        closing(Server(list(answers))) as server,
        closing(Connections(f"http://127.0.0.1:{server.port}", {"X": "y"})) as connections,
    ):
        yield server, connections


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = "".join(f"{header}\r\n" for header in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def chunks(body: bytes, size: int = 1_000) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x;note=1\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\nT: t\r\n\r\n"


def test_connection_is_kept_and_headers_are_read_whatever_their_case() -> None:
    packed = answer(PACKED, "content-ENCODING: gzip", "DATE:  now ")
    with serving(answer(BODY), packed, answer(b"", status="404 ")) as (server, connections):
        assert connections.get("/a?b=c", 5).body == BODY
        assert server.requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nAccept-Encoding: gzip\r\nX: y\r\n" in server.requests[0]
        reply = connections.get("/", 5)
        assert (reply.status, reply.headers["date"], reply.body) == (200, "now", BODY)
        assert connections.get("/", 5).status == 404
        assert server.connections == 1


def test_chunks_and_interim_answers_are_read_and_the_connection_is_kept() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    none = b"HTTP/1.1 204 No Content\r\n\r\n"
    with serving(early + chunks(BODY), none, chunks(BODY)) as (server, connections):
        assert [connections.get("/", 5).body for _ in range(3)] == [BODY, b"", BODY]
        assert server.connections == 1


@pytest.mark.parametrize(
    "last", [b"HTTP/1.0 200 OK\r\n\r\n" + BODY, b"HTTP/1.1 200 OK\r\n\r\n" + BODY]
)
def test_answer_without_length_ends_with_its_connection(last: bytes) -> None:
    with serving(last, None, answer(b"x")) as (server, connections):
        assert [connections.get("/", 5).body for _ in range(2)] == [BODY, b"x"]
        assert server.connections == 2


def test_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    closing_one = answer(b"1", "Connection: close")
    with serving(closing_one, answer(b"2"), None, answer(b"3")) as (server, connections):
        bodies = [connections.get("/", 5).body for _ in range(2)]
        ended = threading.Event()
        while server.connections < 2 or len(server._answers) > 1:
            assert not ended.wait(0.01)
        assert [*bodies, connections.get("/", 5).body] == [b"1", b"2", b"3"]
        assert server.connections == 3


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
    ],
    ids=lambda broken: f"{broken[:70]!r} {zlib.crc32(broken):x}",
)
def test_what_is_not_a_whole_answer_is_none_and_its_connection_is_left(broken: bytes) -> None:
    with serving(broken, None, answer(b"x")) as (server, connections):
        with pytest.raises(NoAnswer):
            connections.get("/", 5)
        assert connections.get("/", 5).body == b"x"
        assert server.connections == 2


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
