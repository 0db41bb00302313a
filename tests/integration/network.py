"""The way to the database, in the hands of a test: slow, silent, refused, cut where it hurts."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from psycopg.conninfo import conninfo_to_dict

Fate = Literal["lost", "unanswered"]
"""What becomes of a message: it never arrives, or it is obeyed and nobody hears of it."""

COMMIT = b"COMMIT"


class Network:
    """A TCP port that leads to a PostgreSQL, as long as the test lets it.

    `messages` and `commits`: how many the server was sent.
    """

    def __init__(self, url: str) -> None:
        self._given = conninfo_to_dict(url)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._awake = threading.Event()
        self._awake.set()
        self._delays: list[float] = []
        self._victim: Callable[[bytes], Fate | None] = lambda _: None
        self.connections = self.messages = self.commits = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._serve()

    def url(self, **parameters: str) -> str:
        """The database by this way."""
        user, password = self._given["user"], self._given.get("password")
        login = f"{user}:{password}" if password else str(user)
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        there = f"127.0.0.1:{self.port}/{self._given['dbname']}"
        return f"postgresql://{login}@{there}" + (f"?{query}" if query else "")

    def delay(self, *seconds: float) -> None:
        """Let the next connections wait so long for the server's first word."""
        self._delays.extend(seconds)

    def cut(self) -> None:
        """End every connection."""
        with self._lock:
            doomed, self._open = self._open, set()
        for one in doomed:
            _end(one)

    def refuse(self) -> None:
        """Let nobody in any more, and end every connection, as a server does that restarts."""
        _end(self._listening)
        self.cut()

    def listen(self) -> None:
        """Let them in again."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._serve()

    def fall_silent(self) -> None:
        """Take everything and answer nothing, as a server does that hangs."""
        self._awake.clear()

    def wake(self) -> None:
        """Answer again."""
        self._awake.set()

    def doom_message(self, number: int, fate: Fate) -> None:
        """Decide over the connection that sends message `number`, from 1."""
        self._victim = lambda _: fate if self.messages == number else None

    def doom_commit(self, number: int, fate: Fate) -> None:
        """Decide over the connection that sends commit `number`, from 1."""
        self._victim = lambda sent: fate if COMMIT in sent and self.commits == number else None

    def close(self) -> None:
        self._victim = lambda _: None
        self._awake.set()
        self.refuse()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                self.connections += 1
                seconds = self._delays.pop(0) if self._delays else 0.0
                threading.Thread(
                    target=self._lead, args=(listening, client, seconds), daemon=True
                ).start()

    def _lead(self, listening: socket.socket, client: socket.socket, seconds: float) -> None:
        threading.Event().wait(seconds)
        try:
            server = self._connect()
        except OSError:
            _end(client)
            return
        with self._lock:
            self._open |= {client, server}
        # Let in while everybody was being turned out.
        if listening.fileno() < 0:
            self.cut()
        swallowing = threading.Event()
        threading.Thread(
            target=self._answer, args=(server, client, swallowing), daemon=True
        ).start()
        with suppress(OSError):
            while sent := client.recv(1 << 20):
                fate = self._judge(sent)
                if fate == "lost":
                    break
                if fate == "unanswered":
                    swallowing.set()
                server.sendall(sent)
        if not swallowing.is_set():
            _end(server)
            _end(client)

    def _judge(self, sent: bytes) -> Fate | None:
        with self._lock:
            self.messages += 1
            self.commits += COMMIT in sent
            return self._victim(sent)

    def _answer(
        self, server: socket.socket, client: socket.socket, swallowing: threading.Event
    ) -> None:
        with suppress(OSError):
            while answer := server.recv(1 << 20):
                self._awake.wait()
                if swallowing.is_set():
                    break
                client.sendall(answer)
        _end(client)
        _end(server)

    def _connect(self) -> socket.socket:
        host, port = str(self._given.get("host") or "127.0.0.1"), self._given.get("port") or 5432
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port}")
            return server
        return socket.create_connection((host, int(port)))


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def network(url: str) -> Iterator[Network]:
    """A way to this database, for the length of a block."""
    way = Network(url)
    try:
        yield way
    finally:
        way.close()
