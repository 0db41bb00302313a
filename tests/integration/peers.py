"""Who is at the other end of an HTTP connection: a server that sends bytes as told, a proxy."""

import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

NEVER = threading.Event()


def certificate(folder: Path, *names: str) -> Path:
    """A certificate of these names ("IP:127.0.0.1", "DNS:a.test") and its key, in one file."""
    key, signed, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=tests", "-addext", f"subjectAltName={','.join(names)}"),
            *("-keyout", key, "-out", signed),
        ],
        check=True,
        capture_output=True,
    )
    both.write_text(key.read_text() + signed.read_text())
    return both


def read_head(connection: socket.socket) -> bytes:
    """All that came up to the end of a request's head; nothing where the peer has gone."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65_536)
        if not more:
            return b""
        received += more
    return received


def drip(connection: socket.socket, content: bytes) -> None:
    """Send these bytes over and over, one at a time, until the peer has had enough."""
    with suppress(OSError):
        while True:
            for byte in content:
                connection.sendall(bytes([byte]))
                NEVER.wait(0.02)


class Peer:
    """Lets `answer` have each connection, one after the other or `at_once`, under TLS or not."""

    def __init__(
        self,
        answer: Callable[[socket.socket], None],
        *,
        address: str = "127.0.0.1",
        certificate: Path | None = None,
        at_once: bool = False,
    ) -> None:
        self.connections = 0
        self._answer = answer
        self._at_once = at_once
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listening = socket.create_server((address, 0), family=family)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                if self._at_once:
                    threading.Thread(target=self._have, args=(connection,), daemon=True).start()
                else:
                    self._have(connection)

    def _have(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._context is not None:
                with connection:
                    connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                self._answer(connection)


class Proxy(Peer):
    """A proxy whose ways lead to ports of this machine; `heads`: what it was asked for."""

    def __init__(
        self, port: int, refusal: bytes = b"", *, others: Mapping[str, int] | None = None
    ) -> None:
        """`port`: of all hosts but `others`. `refusal`: what it answers to everybody."""
        self.heads: list[bytes] = []
        self._port = port
        self._others = others or {}
        self._refusal = refusal
        super().__init__(self._lead, at_once=True)

    @property
    def hosts(self) -> list[str]:
        """The hosts that it was asked for, in order."""
        return [head.split()[1].decode().rpartition(":")[0] for head in self.heads]

    def _lead(self, client: socket.socket) -> None:
        self.heads.append(read_head(client))
        if self._refusal:
            client.sendall(self._refusal)
            return
        port = self._others.get(self.hosts[-1], self._port)
        with socket.create_connection(("127.0.0.1", port)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: tests\r\n\r\n")
            connect(client, server)


class Encrypting(Peer):
    """TLS in front of a port of this machine that speaks none."""

    def __init__(self, port: int, certificate: Path) -> None:
        self._to = port
        super().__init__(self._lead, certificate=certificate, at_once=True)

    def _lead(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._to)) as server:
            connect(client, server)


def connect(client: socket.socket, server: socket.socket) -> None:
    """Hand on what comes from either, until one ends. One thread, for TLS wants no two."""
    other = {client: server, server: client}
    while True:
        is_ahead = isinstance(client, ssl.SSLSocket) and client.pending()
        for source in [client] if is_ahead else select.select([client, server], [], [])[0]:
            part = source.recv(65_536)
            if not part:
                return
            other[source].sendall(part)


class Script:
    """Sends the next of its answers for each request; None closes the connection before it."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self.requests: list[bytes] = []
        self.left = list(answers)

    def __call__(self, connection: socket.socket) -> None:
        while self.left:
            if self.left[0] is None:
                self.left.pop(0)
                return
            request = read_head(connection)
            if not request:
                return
            self.requests.append(request)
            answer = self.left.pop(0) or b""
            # In two parts, so that no answer comes in one piece by luck.
            connection.sendall(answer[: len(answer) // 2])
            connection.sendall(answer[len(answer) // 2 :])
