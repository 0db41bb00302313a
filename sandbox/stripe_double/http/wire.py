"""HTTP/1.1 on a loopback socket: keep-alive, gzip, and every way of breaking an answer.

One thread a connection. Written by hand because `http.server` takes half a millisecond of CPU a
request, and because no server lets its application reset a connection or send half a body.
"""

import contextlib
import socket
import struct
import threading
import traceback
from collections.abc import Callable
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import parse_qsl

import deflate

from sandbox.stripe_double.protocol.request import Answer, Request

_SLICES = 20
_MAX_LINE = 65_536
_SMALL = 512


class Malformed(Exception):
    """What came is no HTTP request; close the connection."""


Handler = Callable[[Request], Answer]


class Listener:
    """Serves a handler on 127.0.0.1 until stopped. `stopping` is set first of all then."""

    def __init__(self, handler: Handler, *, port: int, gzip_level: Callable[[], int]) -> None:
        self.stopping = threading.Event()
        self._handler = handler
        self._gzip_level = gzip_level
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept, name="double-accept", daemon=True)

    def start(self) -> None:
        self._acceptor.start()

    def stop(self) -> None:
        self.stopping.set()
        # Closing alone does not wake a thread that waits in accept.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(5)
        self._socket.close()
        with self._lock:
            open_now = list(self._connections.items())
        for connection, _ in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in open_now:
            if thread is not threading.current_thread():
                thread.join(5)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="double-connection", daemon=True
            )
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection.makefile("rb") as reader:
                while not self.stopping.is_set():
                    request = _read_request(reader)
                    if request is None or not self._reply(connection, request):
                        return
        except (OSError, Malformed):
            # The client went away or speaks something else: nobody is left to tell.
            return
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

    def _reply(self, connection: socket.socket, request: Request) -> bool:
        """True when the connection can take another request."""
        try:
            answer = self._handler(request)
        except Exception:  # noqa: BLE001 -- the edge: a fault of the double must be seen, not hang
            traceback.print_exc()
            answer = Answer(status=500, body=b'{"error": {"message": "the double is broken"}}')
        head, body = self._encode(request, answer)
        broken = answer.broken
        if broken is None:
            connection.sendall(head + body)
            return request.headers.get("connection", "").lower() != "close"
        if broken.kind == "half_body":
            connection.sendall(head + body[: len(body) // 2])
        elif broken.kind == "slow_body":
            size = max(1, -(-len(body) // _SLICES))
            connection.sendall(head)
            for start in range(0, len(body), size):
                if self.stopping.wait(broken.seconds / _SLICES):
                    return False
                connection.sendall(body[start : start + size])
            return True
        else:
            if broken.kind == "hang":
                self.stopping.wait(broken.seconds)
            # Lingering for zero seconds makes close send RST instead of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _encode(self, request: Request, answer: Answer) -> tuple[bytes, bytes]:
        body = answer.body
        headers = {"Content-Type": answer.content_type, **answer.headers}
        if len(body) > _SMALL and "gzip" in request.headers.get("accept-encoding", ""):
            body = bytes(deflate.gzip_compress(body, self._gzip_level()))
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        phrase = HTTPStatus(answer.status).phrase
        return f"HTTP/1.1 {answer.status} {phrase}\r\n{lines}\r\n".encode("latin-1"), body


def _read_request(reader: BinaryIO) -> Request | None:
    line = reader.readline(_MAX_LINE)
    if not line:
        return None
    parts = line.decode("latin-1").split()
    if len(parts) != 3:
        raise Malformed
    method, target, _ = parts
    headers: dict[str, str] = {}
    while (line := reader.readline(_MAX_LINE)) not in {b"\r\n", b"\n"}:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise Malformed
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not length.isdigit():
        raise Malformed
    body = reader.read(int(length))
    path, _, query = target.partition("?")
    return Request(
        method=method,
        path=path,
        query=parse_qsl(query, keep_blank_values=True),
        headers=headers,
        body=body,
    )
