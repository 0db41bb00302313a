"""A connection to somebody who sends requests: what came, since when, and what is answered."""

import enum
import functools
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.utils import formatdate
from typing import Final

from gunicorn import SERVER  # type: ignore[import-untyped]

from shared.stripe.event import Event
from webhook.app import Answer, status_line
from webhook.receiver import Fields
from webhook.worker.request_reader import Request, RequestReader

READ_BYTES: Final = 16_384
MORE_BYTES: Final = 262_144
_WASTE: Final = bytearray(MORE_BYTES)
"""Where all threads put what nobody reads: each would keep memory of its own for it."""
GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class State(enum.IntEnum):
    """What a connection waits for. In this order they are ended when there is no room."""

    LEAVING = 0
    """It had its last answer; what it still sends is thrown away."""
    SILENT = 1
    """It has not said anything yet."""
    UNFINISHED = 2
    """A part of a request has come."""
    KEPT = 3
    """It had an answer, and may send another request."""


class Sender:
    """One connection. Whoever has taken it out of those that wait owns it, and nobody else."""

    __slots__ = ("arrived", "held", "number", "reader", "since", "sock", "state")

    def __init__(self, sock: socket.socket, reader: RequestReader) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.number = sock.fileno()
        self.reader = reader
        self.state = State.SILENT
        self.since = time.monotonic()
        self.arrived = self.since
        """When its latest bytes were read."""
        self.held = 0
        """Bytes that are counted for it."""

    def become(self, state: State) -> None:
        """Wait for something else from now on."""
        if state is not self.state or state is State.KEPT:
            self.state = state
            self.since = time.monotonic()

    def is_overdue(self, now: float, allowed: Mapping[State, float], *, is_quiet: bool) -> bool:
        """Whether it waits longer than its state allows (seconds); `is_quiet`: for no request."""
        is_idle = is_quiet and self.state is not State.UNFINISHED
        return is_idle or now > self.since + allowed[self.state]

    def receive(self) -> bool | None:
        """Read what is there: True something, None nothing, False the end. Raises OSError."""
        try:
            part = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        self.arrived = time.monotonic()
        self.reader.feed(part)
        if len(part) == READ_BYTES:
            with suppress(BlockingIOError):
                self.reader.feed(self.sock.recv(MORE_BYTES))
        return bool(part)

    def throw_away(self) -> bool:
        """Read what is there for nothing; False at the end. Raises OSError."""
        try:
            return bool(self.sock.recv_into(_WASTE))
        except BlockingIOError:
            return True

    def send(self, data: bytes) -> bool:
        """Send an answer, all of it at once or not at all: nobody waits for one who does not read.

        Raises OSError where the connection is broken.
        """
        try:
            return self.sock.send(data) == len(data)
        except BlockingIOError:
            return False

    def close(self) -> None:
        """End it."""
        self.sock.close()


class Job:
    """A whole request: who sent it, when its last byte came, and what the log will say of it."""

    __slots__ = ("arrived", "event", "fields", "request", "sender")

    def __init__(self, sender: Sender, request: Request, arrived: float) -> None:
        self.sender = sender
        self.request = request
        self.arrived = arrived
        self.fields: Fields = {}
        self.event: Event | None = None


def written(answer: Answer, *, is_last: bool, is_head: bool) -> bytes:
    """Return an answer as HTTP writes it."""
    status, headers, body = answer
    lines = [
        f"HTTP/1.1 {status_line(status)}",
        f"Server: {SERVER}",
        f"Date: {_date(int(time.time()))}",
        f"Connection: {'close' if is_last else 'keep-alive'}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if is_head else body)


def in_order_of_ending(senders: Iterable[Sender], now: float, grace: float) -> list[Sender]:
    """Sort those who wait by who is to go first when there is no room: the young ones last."""

    def rank(one: Sender) -> tuple[int, float]:
        return (one.state if now - one.since >= grace else len(State), one.since)

    return sorted(senders, key=rank)


@functools.lru_cache(maxsize=2)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
