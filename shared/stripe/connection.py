"""Keep-alive connections for GETs over HTTP/1.1, gzipped, to one host.

Written by hand because a run is made of pages: one of 100 subscriptions (630 KB, gzipped 39) costs
0.3 ms of CPU here, 0.8 with `http.client` and 1.9 with `urllib3`. libdeflate, in one piece into a
buffer of the size that the gzip trailer tells, is what takes 0.5 ms off.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import deflate

if TYPE_CHECKING:
    import ssl

_CHUNK = 256 * 1024
_MOST_HEAD = 64 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 30.0
"""How long a connection is kept: what lies between may forget it sooner than either end."""

# RFC 9110, 8.4.1.3
_GZIPPED = frozenset({"gzip", "x-gzip"})
_PLAIN = frozenset({"", "identity"})
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class NoAnswer(Exception):
    """Ask again later: nothing, or not the whole of an answer, came in time. Carries no data."""


class Reply(NamedTuple):
    """A whole answer: header names are lower case, the body is inflated."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


class Connections:
    """As many connections to one host as threads ask at once; each is kept for the next GET."""

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        """`base`: scheme, host and port. `headers` go with every GET."""
        parts = urlsplit(base)
        assert parts.hostname is not None
        self._tls = parts.scheme == "https"
        self._address = (parts.hostname, parts.port or (443 if self._tls else 80))
        lines = {"Host": parts.netloc, "Accept-Encoding": "gzip", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._context: ssl.SSLContext | None = None
        self._idle: list[tuple[socket.socket, float]] = []

    def get(self, target: str, seconds: float) -> Reply:
        """GET `target`, path and query, within so many seconds for all of it. Raises NoAnswer."""
        until = time.monotonic() + seconds
        request = f"GET {target} HTTP/1.1\r\n{self._head}\r\n".encode("ascii")
        connection: socket.socket | None = None
        try:
            connection = self._kept() or self._connect(until)
            connection.settimeout(max(until - time.monotonic(), 0.001))
            connection.sendall(request)
            reply, keep = _Incoming(connection, until).reply()
            if keep:
                self._idle.append((connection, time.monotonic()))
                connection = None
        except OSError as error:
            # What has swallowed one request may swallow the next.
            self.close()
            raise NoAnswer(type(error).__name__) from None
        except ValueError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from None
        finally:
            if connection is not None:
                connection.close()
        return reply

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            with suppress(IndexError):  # another thread was quicker
                self._idle.pop()[0].close()

    def _kept(self) -> socket.socket | None:
        """Return the connection that was used last, unless it is old or was closed by the peer."""
        while True:
            try:
                connection, used = self._idle.pop()
            except IndexError:
                return None
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            if time.monotonic() - used < _IDLE_SECONDS and not poll.poll(0):
                return connection
            connection.close()

    def _connect(self, until: float) -> socket.socket:
        plain = self._reach(until)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(_left(until))
            if not self._tls:
                return plain
            if self._context is None:
                self._context = _verifying()
            return self._context.wrap_socket(plain, server_hostname=self._address[0])
        except BaseException:
            plain.close()
            raise

    def _reach(self, until: float) -> socket.socket:
        """Connect to the first of the host's addresses that answers, all in the time allowed."""
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(
            *self._address, type=socket.SOCK_STREAM
        ):
            reached = socket.socket(family, kind, protocol)
            try:
                reached.settimeout(min(_left(until), _CONNECT_SECONDS))
                reached.connect(address)
            except OSError as error:
                reached.close()
                failure = error
            else:
                return reached
        raise failure or ConnectionError


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _verifying() -> ssl.SSLContext:
    # Late, because no command's --help needs it; once, because it reads all certificates.
    import ssl

    context = ssl.create_default_context()
    # Some builds of Python leave it to the system, which may allow less.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Incoming:
    """What comes in on a connection; ValueError where it is no HTTP, or too large."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection = connection
        self._until = until
        self._ahead = b""

    def reply(self) -> tuple[Reply, bool]:
        """Return the answer, and whether the connection can take another request."""
        version, status, headers = self._read_head()
        while status < HTTPStatus.OK:  # an interim answer (RFC 9110, 15.2)
            version, status, headers = self._read_head()
        length = headers.get("content-length")
        keep = version == "HTTP/1.1" and "close" not in headers.get("connection", "").lower()
        body: bytes | bytearray
        if status in _BODILESS:
            body = b""
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._read_chunks()
        elif length is not None:
            body = self._take(_size(length, 10))
        else:
            body, keep = self._read_to_end(), False
        encoding = headers.get("content-encoding", "").lower()
        if encoding in _GZIPPED and body:
            body = _inflate(bytes(body))
        elif encoding not in _GZIPPED and encoding not in _PLAIN:
            raise ValueError(f"the encoding {encoding[:20]!r}, which was not asked for")
        return Reply(status, headers, body), keep and not self._ahead

    def _read_head(self) -> tuple[str, int, dict[str, str]]:
        while (end := self._ahead.find(b"\r\n\r\n")) < 0:
            if len(self._ahead) > _MOST_HEAD:
                raise ValueError("a head without end")
            self._ahead += self._receive()
        first, *lines = self._ahead[:end].decode("latin-1").split("\r\n")
        self._ahead = self._ahead[end + 4 :]
        version, status, *_ = first.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if not version.startswith("HTTP/1."):
            raise ValueError("not HTTP/1")
        return version, int(status), headers

    def _read_chunks(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while length := _size(self._read_line().partition(b";")[0].decode("ascii").strip(), 16):
            size += length
            if size > _MOST_BYTES:
                raise ValueError("too large")
            parts.append(self._take(length))
            if self._read_line():
                raise ValueError("a chunk of another size")
        while self._read_line():
            pass
        return b"".join(parts)

    def _read_line(self) -> bytes:
        while (end := self._ahead.find(b"\r\n")) < 0:
            if len(self._ahead) > _MOST_HEAD:
                raise ValueError("a line without end")
            self._ahead += self._receive()
        line, self._ahead = self._ahead[:end], self._ahead[end + 2 :]
        return line

    def _read_to_end(self) -> bytes:
        parts, size = [self._ahead], len(self._ahead)
        while part := self._receive_or_end():
            parts.append(part)
            size += len(part)
            if size > _MOST_BYTES:
                raise ValueError("too large")
        self._ahead = b""
        return b"".join(parts)

    def _take(self, size: int) -> bytes:
        parts = [self._ahead]
        missing = size - len(self._ahead)
        while missing > 0:
            parts.append(self._receive())
            missing -= len(parts[-1])
        whole = b"".join(parts)
        self._ahead = whole[size:]
        return whole[:size]

    def _receive(self) -> bytes:
        received = self._receive_or_end()
        if not received:
            raise ConnectionError
        return received

    def _receive_or_end(self) -> bytes:
        self._connection.settimeout(_left(self._until))
        return self._connection.recv(_CHUNK)


def _size(text: str, base: int) -> int:
    size = int(text, base)
    if not text.isalnum() or size > _MOST_BYTES:
        raise ValueError("no size, or too large")
    return size


def _inflate(body: bytes) -> bytearray:
    """Inflate a gzipped body, which ends with its size (RFC 1952, 2.3.1), up to the largest."""
    size = _size(str(int.from_bytes(body[-4:], "little")), 10)
    try:
        whole = deflate.gzip_decompress(body, size)
    except deflate.DeflateError:
        raise ValueError("not gzip, or not the whole") from None
    if len(whole) != size:
        raise ValueError("not the whole")
    return whole
