"""Keep-alive connections to one host over HTTP/1.1, with one deadline for the whole of an answer.

`http.client` reads the answers. A page of 100 subscriptions (660 KB) is inflated by libdeflate in
one piece, into a buffer of the size that the gzip trailer tells: 0.2 ms of CPU, 1.2 with `zlib`.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import deflate

from shared.stripe.proxy import Proxy

_PIECE = 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 30.0
"""How long a connection is kept: what lies between may forget it sooner than either end."""

# RFC 9110, 8.4.1.3
_GZIPPED = frozenset({"gzip", "x-gzip"})
_PLAIN = frozenset({"", "identity"})


class NoAnswer(Exception):
    """Ask again later: nothing, or not the whole of an answer, came in time. Carries no data."""


class Reply(NamedTuple):
    """A whole answer: header names are lower case, the body is inflated."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


class Connections:
    """As many connections to one host as threads ask at once; each is kept for the next GET."""

    def __init__(self, base: str, headers: Mapping[str, str], proxy: Proxy | None = None) -> None:
        """`base`: scheme, host and port. `headers` go to the host with every request."""
        parts = urlsplit(base)
        assert parts.hostname is not None
        self._context = _verifying() if parts.scheme == "https" else None
        self._address = (parts.hostname, parts.port or (443 if self._context else 80))
        self._proxy = proxy
        lines = {"Host": parts.netloc, "Accept-Encoding": "gzip", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._idle: list[tuple[_Bounded, float]] = []

    def get(self, target: str, seconds: float) -> Reply:
        """GET `target`, path and query, within so many seconds for all of it. Raises NoAnswer."""
        return self._ask("GET", target, None, seconds)

    def post(self, target: str, body: bytes, seconds: float) -> Reply:
        """POST `body` to `target`, else as `get`."""
        return self._ask("POST", target, body, seconds)

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            with suppress(IndexError):  # another thread was quicker
                self._idle.pop()[0].close()

    def _ask(self, method: str, target: str, body: bytes | None, seconds: float) -> Reply:
        until = time.monotonic() + seconds
        head = f"{method} {target} HTTP/1.1\r\n{self._head}"
        if body is not None:
            head += f"Content-Length: {len(body)}\r\n"
        try:
            request = f"{head}\r\n".encode("ascii") + (body or b"")
            # Its peer may end a kept connection as a request comes. Only a GET may be sent again.
            while method == "GET" and (kept := self._kept()) is not None:
                try:
                    return self._exchange(kept, request, until)
                except OSError as error:
                    if kept.received or isinstance(error, TimeoutError):
                        raise
            return self._exchange(self._connect(until), request, until)
        except OSError as error:
            # What has swallowed one request may swallow the next.
            self.close()
            raise NoAnswer(_reason(error)) from None
        except (HTTPException, ValueError) as error:
            raise NoAnswer(_reason(error)) from None

    def _exchange(self, connection: _Bounded, request: bytes, until: float) -> Reply:
        keep = False
        try:
            connection.bound(until)
            connection.sendall(request)
            with _answer(connection) as answer:
                reply = _read(answer)
                keep = not answer.will_close
        finally:
            if keep:
                self._idle.append((connection, time.monotonic()))
            else:
                connection.close()
        return reply

    def _kept(self) -> _Bounded | None:
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

    def _connect(self, until: float) -> _Bounded:
        plain = self._through(self._proxy, until) if self._proxy else _reach(self._address, until)
        if self._context is None:
            return plain
        try:
            plain.bound(until)
            secure = self._context.wrap_socket(plain, server_hostname=self._address[0])
        except BaseException:
            plain.close()
            raise
        assert isinstance(secure, _Encrypted)
        return secure

    def _through(self, proxy: Proxy, until: float) -> _Bounded:
        """Have the proxy open a way to the host (RFC 9110, 9.3.6)."""
        host, port = self._address
        there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        head = f"CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n"
        if proxy.authorization is not None:
            head += f"Proxy-Authorization: {proxy.authorization.reveal()}\r\n"
        connection: _Bounded | None = None
        try:
            connection = _reach((proxy.host, proxy.port), until)
            connection.bound(until)
            connection.sendall(f"{head}\r\n".encode("ascii"))
            with _answer(connection) as answer:
                if answer.status == HTTPStatus.OK:
                    way, connection = connection, None
                    return way
            raise NoAnswer(f"the proxy (HTTPS_PROXY) answered {answer.status}")
        except (OSError, HTTPException, ValueError) as error:
            raise NoAnswer(f"the proxy (HTTPS_PROXY): {_reason(error)}") from None
        finally:
            if connection is not None:
                connection.close()


class _Bounded(socket.socket):
    """A socket whose answers end in time and in size, however little comes at a time."""

    until = 0.0
    received = 0
    is_over = False

    def bound(self, until: float) -> None:
        """Send and receive until then (on time.monotonic())."""
        self.until, self.received, self.is_over = until, 0, False
        self.settimeout(_left(until))

    def recv_into(self, buffer: Any, *rest: Any) -> int:
        """Receive as a socket does; raises TimeoutError, NoAnswer where it is too much."""
        self.settimeout(_left(self.until))
        received = super().recv_into(buffer, *rest)
        self.received += received
        self.is_over = not received
        if self.received > _MOST_BYTES:
            raise NoAnswer("too large")
        return received


class _Encrypted(_Bounded, ssl.SSLSocket):
    """The same under TLS."""


def _reason(error: Exception) -> str:
    """Name an error; its text may hold what was asked."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{type(error).__name__}: the certificate is not to be trusted (SSL_CERT_FILE)"
    return type(error).__name__


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _verifying() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Some builds of Python leave it to the system, which may allow less.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = _Encrypted
    return context


def _reach(address: tuple[str, int], until: float) -> _Bounded:
    """Connect to the first of the host's addresses that answers, all in the time allowed."""
    failure: OSError | None = None
    for family, kind, protocol, _, numbers in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        reached = _Bounded(family, kind, protocol)
        try:
            reached.settimeout(min(_left(until), _CONNECT_SECONDS))
            reached.connect(numbers)
            reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            reached.close()
            failure = error
        else:
            return reached
    raise failure or ConnectionError


@contextmanager
def _answer(connection: _Bounded) -> Iterator[HTTPResponse]:
    """Wait for the head of an answer; its body can be read meanwhile."""
    with HTTPResponse(connection) as answer:
        answer.begin()
        while answer.status < HTTPStatus.OK:  # an interim answer (RFC 9110, 15.2)
            answer.headers = None  # type: ignore[assignment]
            answer.begin()
        if connection.is_over:  # http.client takes half a head for a whole one
            raise IncompleteRead(b"")
        yield answer


def _read(answer: HTTPResponse) -> Reply:
    headers = {name.lower(): value.strip() for name, value in answer.headers.items()}
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > _MOST_BYTES:
        raise NoAnswer("no length, or too large")
    parts = []
    while part := answer.read(_PIECE):
        parts.append(part)
    if answer.length:
        raise IncompleteRead(b"", answer.length)
    body = b"".join(parts)
    encoding = headers.get("content-encoding", "").lower()
    if encoding in _GZIPPED:
        return Reply(answer.status, headers, _inflate(body) if body else body)
    if encoding in _PLAIN:
        return Reply(answer.status, headers, body)
    raise NoAnswer(f"the encoding {encoding[:20]!r}, which was not asked for")


def _inflate(body: bytes) -> bytearray:
    """Inflate a gzipped body, which ends with its size (RFC 1952, 2.3.1), up to the largest."""
    size = int.from_bytes(body[-4:], "little")
    if size > _MOST_BYTES:
        raise NoAnswer("too large")
    try:
        whole = deflate.gzip_decompress(body, max(size, 1))  # 0 is taken at its word
    except deflate.DeflateError:
        raise NoAnswer("not gzip, or not the whole") from None
    if len(whole) != size:
        raise NoAnswer("not the whole")
    return whole
