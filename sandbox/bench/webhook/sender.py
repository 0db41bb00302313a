"""A sender cheap enough not to be the bottleneck: a process of its own, open loop, keep-alive.

    from sandbox.bench.webhook.sender import Plan, send
    sent = send(Plan(urls=[webhook.url], secret="whsec_demo", rate=200), bodies)

`bodies` are events' bodies, each sent once, in order; they are signed and framed before the clock
starts. Open loop: event n is due `n / rate` seconds after the start whether or not the ones before
it were answered, and `waited` counts from when it was due, so an endpoint that falls behind does
not hide it. `rate=None`: all are due at once (a burst). `answered` counts from when it was really
sent. With several `urls` (containers) each next event goes to whichever connection has been free
the longest, as behind a load balancer. One event at a time on a connection: Stripe's own way.

What the sender itself costs is `Sent.cpu` (about 50 us an event). Due times are kept to a
millisecond. By hand: `python -m sandbox.bench.webhook.sender < message`, see `send`.
"""

import hashlib
import hmac
import re
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LONGEST = 65_536


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where to and how fast. `connections`: to each URL. `rate`: events a second, None: a burst.

    `timeout`: seconds without any answer after which the rest counts as unanswered.
    """

    urls: list[str]
    secret: str
    rate: float | None = None
    connections: int = 8
    timeout: float = 10.0


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds."""

    p50: float
    p99: float
    most: float


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. `statuses` and `answers` are counts; `wall` and `cpu` in seconds.

    An event that was not answered counts under status "0", with the reason as its answer.
    """

    events: int
    statuses: dict[str, int]
    answers: dict[str, int]
    wall: float
    cpu: float
    waited: Times
    answered: Times

    @property
    def rate(self) -> float:
        """Events a second, from the first that was due to the last answer."""
        return self.events / self.wall


class _Message(msgspec.Struct):
    plan: Plan
    bodies: list[bytes]


def send(plan: Plan, bodies: Iterable[bytes]) -> Sent:
    """Send from a process of its own and return when all is answered.

    Raises subprocess.CalledProcessError if the sender breaks.
    """
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.bench.webhook.sender"],
        input=msgspec.msgpack.encode(_Message(plan, list(bodies))),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Sent)


class _Connection:
    """One keep-alive connection and the event that it is busy with."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._timeout = timeout
        self.head = (
            f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n"
            "Accept: */*; q=0.5, application/xml\r\nCache-Control: no-cache\r\n"
            "Content-Type: application/json; charset=utf-8\r\n"
        ).encode()
        self.number = -1
        self.sent_at = 0.0
        self.received = b""
        self.open()

    def open(self) -> None:
        self.sock = socket.create_connection(self._address, self._timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self) -> tuple[int, bytes] | None:
        """Return status and body once the answer is whole. Raises OSError where it breaks off."""
        more = self.sock.recv(_LONGEST)
        if not more:
            raise ConnectionResetError("closed")
        self.received += more
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length is not None and len(body) < int(length[1])):
            return None
        return int(head[9:12]), body


class _Loop:
    """Sends what is due on whichever connection is free, until all is answered."""

    def __init__(self, plan: Plan, bodies: list[bytes]) -> None:
        stamp = int(time.time())
        self._requests = [_signed(body, plan.secret, stamp) for body in bodies]
        self._plan = plan
        self._poll = select.epoll()
        self._busy: dict[int, _Connection] = {}
        self._free: deque[_Connection] = deque()
        for _ in range(plan.connections):
            for url in plan.urls:
                connection = _Connection(url, plan.timeout)
                self._poll.register(connection.sock, select.EPOLLIN)
                self._free.append(connection)
        self._next = 0
        self._told: Counter[tuple[int, bytes]] = Counter()
        self._waited: list[float] = []
        self._answered: list[float] = []

    def run(self) -> Sent:
        cpu = time.process_time()
        self._began = time.monotonic()
        heard = self._began
        while len(self._waited) < len(self._requests):
            self._send_due()
            ready = self._poll.poll(self._patience())
            now = time.monotonic()
            for descriptor, _ in ready:
                heard = now
                self._receive(descriptor, now)
            if self._busy and now - heard > self._plan.timeout:
                raise TimeoutError(f"no answer within {self._plan.timeout:.0f} s")
        wall = time.monotonic() - self._began
        statuses: Counter[str] = Counter()
        answers: Counter[str] = Counter()
        for (status, body), times in self._told.items():
            statuses[str(status)] += times
            answers[body.decode(errors="replace")] += times
        return Sent(
            events=len(self._requests),
            statuses=dict(statuses),
            answers=dict(answers),
            wall=wall,
            cpu=time.process_time() - cpu,
            waited=_times(self._waited),
            answered=_times(self._answered),
        )

    def _due(self, number: int) -> float:
        return self._began + (number / self._plan.rate if self._plan.rate else 0.0)

    def _patience(self) -> float:
        """How long nothing can happen but an answer."""
        if self._next == len(self._requests) or not self._free:
            return 1.0
        return max(self._due(self._next) - time.monotonic(), 0.0)

    def _send_due(self) -> None:
        while self._free and self._next < len(self._requests):
            now = time.monotonic()
            if self._due(self._next) > now:
                return
            connection = self._free.popleft()
            connection.number, self._next = self._next, self._next + 1
            self._send(connection)

    def _send(self, connection: _Connection) -> None:
        connection.received = b""
        connection.sent_at = time.monotonic()
        try:
            connection.sock.sendall(connection.head + self._requests[connection.number])
        except OSError:
            self._reopen(connection)
            connection.sock.sendall(connection.head + self._requests[connection.number])
        self._busy[connection.sock.fileno()] = connection

    def _reopen(self, connection: _Connection) -> None:
        connection.sock.close()
        connection.open()
        self._poll.register(connection.sock, select.EPOLLIN)

    def _receive(self, descriptor: int, now: float) -> None:
        connection = self._busy.pop(descriptor, None)
        if connection is None:
            # The server has closed a connection that lay idle, as it may.
            connection = next(c for c in self._free if c.sock.fileno() == descriptor)
            self._reopen(connection)
            return
        try:
            answer = connection.receive()
        except OSError as error:
            answer = (0, type(error).__name__.encode())
            self._reopen(connection)
        if answer is None:
            self._busy[descriptor] = connection
            return
        self._told[answer] += 1
        self._waited.append(now - self._due(connection.number))
        self._answered.append(now - connection.sent_at)
        self._free.append(connection)


def _signed(body: bytes, secret: str, stamp: int) -> bytes:
    """Return the end of the head and the body, as Stripe signs it."""
    digest = hmac.new(secret.encode(), b"%d." % stamp + body, hashlib.sha256).hexdigest()
    lines = f"Stripe-Signature: t={stamp},v1={digest}\r\nContent-Length: {len(body)}\r\n\r\n"
    return lines.encode() + body


def _times(seconds: list[float]) -> Times:
    ordered = sorted(seconds) or [0.0]

    def at(share: float) -> float:
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    return Times(p50=at(0.5), p99=at(0.99), most=1000 * ordered[-1])


def main() -> int:
    """Read a message (msgpack) on standard input, send, and write what became of it as JSON."""
    message = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Message)
    sent = _Loop(message.plan, message.bodies).run()
    sys.stdout.buffer.write(msgspec.json.encode(sent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
