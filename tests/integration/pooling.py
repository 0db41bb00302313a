"""A transaction pooler of our own: what a session knows does not outlive a transaction.

As PgBouncer in transaction mode it gives each transaction to another of the server's connections,
tells a process id of its own, and knows nothing of statements that were prepared. With
`refuses_options` it refuses the start-up parameter of that name, as PgBouncer does by default.
"""

import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_AUTHENTICATED = b"R" + struct.pack("!ii", 8, 0)
_IDLE = b"Z" + struct.pack("!i", 5) + b"I"


class Pooler:
    """Listens on a TCP port, before `size` connections of the server's.

    `transactions`: how many were given to one of them.
    """

    def __init__(self, url: str, *, size: int, refuses_options: bool) -> None:
        self._given = conninfo_to_dict(url)
        self._refuses_options = refuses_options
        self._room = threading.Condition()
        self._idle: list[_Server] = [_Server(self._given) for _ in range(size)]
        self._servers = list(self._idle)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(None)
        self.transactions = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self) -> str:
        """The database by this way."""
        port = self._listening.getsockname()[1]
        return f"postgresql://{self._given['user']}@127.0.0.1:{port}/{self._given['dbname']}"

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for server in self._servers:
            server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server: _Server | None = None
        # The stream holds the socket open, so both are to be closed.
        with suppress(OSError, EOFError, struct.error), client, client.makefile("rb") as stream:
            if not self._greet(client, stream):
                return
            while True:
                kind, body = _message(stream)
                if kind == b"X":
                    return
                if server is None:
                    server = self._take()
                    self.transactions += 1
                server.send(kind, body)
                if kind not in b"QS":  # the server answers at the end of a round only
                    continue
                answer, is_idle = server.answer()
                client.sendall(answer)
                if is_idle:
                    self._give(server)
                    server = None
        if server is not None:
            server.reset()
            self._give(server)

    def _greet(self, client: socket.socket, stream: Any) -> bool:
        """Let a client in, without a password."""
        while True:
            (length,) = struct.unpack("!i", _exactly(stream, 4))
            body = _exactly(stream, length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code in {_SSL, _GSS}:
                client.sendall(b"N")
                continue
            if code == _CANCEL:
                return False
            break
        if self._refuses_options and b"\0options\0" in body:
            fields = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            client.sendall(b"E" + struct.pack("!i", 4 + len(fields)) + fields)
            return False
        key = b"K" + struct.pack("!i", 12) + secrets.token_bytes(8)
        client.sendall(_AUTHENTICATED + self._servers[0].parameters + key + _IDLE)
        return True

    def _take(self) -> "_Server":
        """The one that has been idle for longest: so no client has the same twice in a row."""
        with self._room:
            self._room.wait_for(lambda: self._idle, 20)
            return self._idle.pop(0)

    def _give(self, server: "_Server") -> None:
        with self._room:
            self._idle.append(server)
            self._room.notify()


class _Server:
    """One connection of the server's, spoken to in its own bytes."""

    def __init__(self, given: dict[str, Any]) -> None:
        host = str(given.get("host") or "127.0.0.1")
        port = given.get("port") or 5432
        if host.startswith("/"):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(f"{host}/.s.PGSQL.{port}")
        else:
            self._socket = socket.create_connection((host, int(port)))
        self._stream = self._socket.makefile("rb")
        words = ("user", given["user"], "database", given["dbname"], "client_encoding", "UTF8")
        body = struct.pack("!i", 196608) + b"".join(f"{word}\0".encode() for word in words) + b"\0"
        self._socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.parameters = b""
        for kind, content in self._round():
            if kind == b"E":
                raise psycopg.OperationalError(content.decode(errors="replace"))
            if kind == b"S":
                self.parameters += kind + struct.pack("!i", len(content) + 4) + content

    def send(self, kind: bytes, body: bytes) -> None:
        self._socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def answer(self) -> tuple[bytes, bool]:
        """All that it answers, and whether its transaction is over."""
        whole, status = b"", b""
        for kind, body in self._round():
            whole += kind + struct.pack("!i", len(body) + 4) + body
            status = body
        return whole, status == b"I"

    def reset(self) -> None:
        with suppress(OSError):
            self.send(b"Q", b"ROLLBACK\0")
            self.answer()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._socket.close()

    def _round(self) -> Iterator[tuple[bytes, bytes]]:
        while True:
            kind, body = _message(self._stream)
            yield kind, body
            if kind == b"Z":
                return


def _message(stream: Any) -> tuple[bytes, bytes]:
    kind = _exactly(stream, 1)
    (length,) = struct.unpack("!i", _exactly(stream, 4))
    return kind, _exactly(stream, length - 4)


def _exactly(stream: Any, length: int) -> bytes:
    found = bytes(stream.read(length))
    if len(found) < length:
        raise EOFError
    return found


@contextmanager
def pooler(url: str, *, size: int = 3, refuses_options: bool = False) -> Iterator[Pooler]:
    """A transaction pooler before this database, for the length of a block."""
    made = Pooler(url, size=size, refuses_options=refuses_options)
    try:
        yield made
    finally:
        made.close()
