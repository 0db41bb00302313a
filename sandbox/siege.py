"""Senders that do harm, and a watch on what becomes of the others meanwhile."""

import http.client
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self

from msgspec import Struct

from sandbox.measure import Repeatedly
from sandbox.stripe_double import Control, sign

PATIENCE = 30.0
HALF_A_HEAD = b"POST /webhook HTTP/1.1\r\nHost: example.com\r\nUser-Agent: drip/"


class Answered(Struct, frozen=True):
    """Status (0: none, the connection was cut or nothing came) and seconds it took."""

    status: int
    seconds: float


def post(port: int, body: bytes, secret: str) -> Answered:
    """Send one signed event on a connection of its own."""
    headers = {"Stripe-Signature": sign(body, secret, int(time.time()))}
    return _ask(port, "POST", "/webhook", body, headers)


def post_all(
    port: int, bodies: Sequence[bytes], secret: str, *, within: float = 0.0
) -> list[Answered]:
    """Send events spread over so many seconds, none waiting for another's answer."""
    began = time.monotonic()

    def send(number: int) -> Answered:
        due = began + within * number / len(bodies)
        threading.Event().wait(max(due - time.monotonic(), 0.0))
        return post(port, bodies[number], secret)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(send, range(len(bodies))))


def statuses(answers: Sequence[Answered]) -> dict[int, int]:
    """How often each status was answered."""
    return dict(sorted(Counter(answer.status for answer in answers).items()))


def worst(answers: Sequence[Answered]) -> float:
    """Seconds of the slowest."""
    return max((answer.seconds for answer in answers), default=0.0)


class Watch(Repeatedly):
    """Asks a path, on a new connection each time, until its `with` block ends."""

    def __init__(self, port: int, path: str = "/healthz", *, every: float = 0.1) -> None:
        super().__init__(self._ask, every)
        self.answers: list[Answered] = []
        self._port = port
        self._path = path

    def _ask(self) -> None:
        self.answers.append(_ask(self._port, "GET", self._path, b"", {}))


class Crowd:
    """So many connections that each send `beginning`, which is no whole request, and then wait."""

    def __init__(self, port: int, number: int, beginning: bytes = b"") -> None:
        self.peers: list[socket.socket] = []
        try:
            for _ in range(number):
                peer = socket.create_connection(("127.0.0.1", port), PATIENCE)
                self.peers.append(peer)
                with suppress(OSError):
                    peer.sendall(beginning)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for peer in self.peers:
            peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def allow_files(number: int) -> None:
    """Let this process have so many files open, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, hard), hard))


def questionable(control: Control, number: int) -> tuple[list[bytes], list[bytes]]:
    """Events to be sent before, and as many as wanted of which only Stripe can tell the order."""
    before: list[bytes] = []
    asked: list[bytes] = []
    for _ in range(number):
        known = len(control.events())
        name = control.create_subscription(status="incomplete")
        control.advance(60)
        control.update_subscription(name, metadata={"step": "1"})
        control.activate(name)
        made = [control.event_body(event["id"]) for event in control.events()[known:]]
        before += [*made[:-2], made[-1]]
        asked.append(made[-2])
    return before, asked


def _ask(port: int, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answered:
    began = time.monotonic()
    status = 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    return Answered(status, time.monotonic() - began)
