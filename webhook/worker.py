"""gunicorn's threaded worker, in which whichever thread is free takes the next request.

As it comes (27.0), one thread waits for all connections, hands each request to a pool of others and
gets the connection back: nine switches between threads an event. And a thread waits five seconds
for a new connection's first byte, and for ever for the rest of a request: with as many idle or
dripping connections as threads, nobody else is served. Here all threads wait together for all
connections; the kernel wakes one of them, the one that ran last, which reads, handles and answers
the request and waits again. An idle connection costs no thread, and one that drips is cut off. As
many drippers as threads still delay others by REQUEST_SECONDS: more threads or a buffering proxy in
front are the cure for that.

The common request is read and answered here, every other one by gunicorn (see `webhook.head`).
"""

import functools
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from typing import Any, Final

from gunicorn import SERVER  # type: ignore[import-untyped]
from gunicorn.workers import gthread  # type: ignore[import-untyped]

from webhook.app import Fields, status_line
from webhook.head import Head, read_head

REQUEST_SECONDS: Final = 5.0
"""How long a sender may take over a request; a little more than an answer takes."""

LINGER_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 1.0
SOON_SECONDS: Final = 0.05
READ_BYTES: Final = 16_384


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """A thread worker without a hand-over between threads, patient with many slow senders."""

    def run(self) -> None:
        """Accept, and end what is overdue, until told to stop; then let what is in hand end."""
        self._ready = select.epoll()
        self._kept_seconds: float = self.cfg.keepalive
        self._open: set[Any] = set()
        self._deadlines: dict[Any, float] = {}
        # By file number, those of which a thread or the end is yet to come: whoever takes one out
        # owns it. gunicorn looks at its length before it keeps another one.
        self.keepalived_conns: dict[int, Any] = {}
        for number in range(self.cfg.threads):
            threading.Thread(target=self._serve, name=f"serve-{number}", daemon=True).start()
        wake_up = self.method_queue
        self.poller.register(wake_up.fileno(), selectors.EVENT_READ, wake_up.run_callbacks)
        while self.alive and self.is_parent_alive():
            self.notify()
            is_full = len(self._open) >= self.worker_connections
            self.set_accept_enabled(not is_full)
            self.wait_for_and_dispatch_events(SOON_SECONDS if is_full else LOOK_SECONDS)
            self._end_overdue()
        self.set_accept_enabled(False)
        self._finish()
        for listener in self.sockets:
            listener.close()

    def accept(self, listener: socket.socket) -> None:
        """Take in who waits at the door; no thread needs to know before they say something."""
        while len(self._open) < self.worker_connections:
            try:
                sock, client = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            conn = gthread.TConn(self.cfg, sock, client, listener.getsockname())
            sock.setblocking(True)
            # gunicorn's own wait for the first byte is over once a thread has the connection.
            conn.data_ready = True
            self._open.add(conn)
            self._wait_for(conn, select.epoll.register)

    def _finish(self) -> None:
        """Give what is in hand its time; a kept connection may be about to send a last request."""
        now = time.monotonic()
        last, quiet = now + self.cfg.graceful_timeout, now + gthread.STOP_KEEPALIVE_LINGER
        while self._open and time.monotonic() < last:
            self.notify()
            self._end_overdue(is_quiet=time.monotonic() > quiet)
            # gunicorn wants to be notified meanwhile, so this cannot wait for the threads alone.
            time.sleep(SOON_SECONDS)

    def _end_overdue(self, *, is_quiet: bool = False) -> None:
        """End what takes too long; `is_quiet`: what waits, too."""
        now = time.monotonic()
        for number, conn in list(self.keepalived_conns.items()):
            overdue = is_quiet or now > conn.timeout
            if overdue and self.keepalived_conns.pop(number, None) is not None:
                self._close(conn)
        for conn, deadline in list(self._deadlines.items()):
            if now > deadline:
                # The thread's recv returns, as if the sender had hung up.
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)

    def _wait_for(self, conn: Any, enter: Callable[[select.epoll, int, int], None]) -> None:
        conn.timeout = time.monotonic() + self._kept_seconds
        number = conn.sock.fileno()
        self.keepalived_conns[number] = conn
        with suppress(OSError):  # the main thread may have closed it already
            enter(self._ready, number, select.EPOLLIN | select.EPOLLONESHOT)

    def _close(self, conn: Any) -> None:
        conn.close()
        self._open.discard(conn)

    def _serve(self) -> None:
        """Serve one request after the other, whichever connection it comes from: one thread."""
        while True:
            for number, _ in self._ready.poll(maxevents=1):
                conn = self.keepalived_conns.pop(number, None)
                if conn is not None:
                    self._serve_in_time(conn)

    def _serve_in_time(self, conn: Any) -> None:
        self._deadlines[conn] = time.monotonic() + REQUEST_SECONDS
        try:
            is_kept = self._serve_one(conn)
            while is_kept and conn.parser is not None:
                self._deadlines[conn] = time.monotonic() + REQUEST_SECONDS
                is_kept = self._leave_to_gunicorn(conn)
        except OSError:
            is_kept = False
        except Exception:
            # The one catch-all of a thread, which would end with it and never be replaced.
            self.log.exception("Error on a connection")
            is_kept = False
        finally:
            del self._deadlines[conn]
        if is_kept:
            self._wait_for(conn, select.epoll.modify)
        else:
            _linger(conn.sock)
            self._close(conn)

    def _serve_one(self, conn: Any) -> bool:
        """Answer a request; whether the connection is kept. Raises OSError where it breaks."""
        try:
            data = conn.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True  # what the kernel told of was an earlier connection of this number
        if not data:
            return False
        began = time.monotonic()
        head = read_head(data)
        if head is not None and len(data) - head.end <= head.length <= self.wsgi.max_body_bytes:
            data += _receive(conn.sock, head.end + head.length - len(data))
            if len(data) == head.end + head.length:
                return self._answer(conn, head, data[head.end :], began)
        conn.init()
        conn.parser.unreader.unread(data)
        return self._leave_to_gunicorn(conn)

    def _answer(self, conn: Any, head: Head, body: bytes, began: float) -> bool:
        fields: Fields = {}
        status, headers, answer = self.wsgi.answer_event(lambda: body, head.signature, fields)
        is_last = (
            head.is_last or not self.alive or len(self.keepalived_conns) >= self.max_keepalived
        )
        lines = [f"HTTP/1.1 {status_line(status)}", f"Server: {SERVER}"]
        lines.append(f"Date: {_date(int(time.time()))}")
        lines.append(f"Connection: {'close' if is_last else 'keep-alive'}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        conn.sock.sendall("\r\n".join([*lines, "", ""]).encode() + answer)
        self.log.request("POST", "/webhook", status, time.monotonic() - began, fields)
        return not is_last

    def _leave_to_gunicorn(self, conn: Any) -> bool:
        """Let gunicorn read and answer a request; it keeps `conn.parser` while bytes are left."""
        is_kept = bool(self.handle(conn))
        if is_kept and not conn.parser.unreader.buf.getvalue():
            conn.parser, conn.initialized = None, False
        return is_kept


def _receive(sock: socket.socket, length: int) -> bytes:
    """Return so many bytes, or as many as come."""
    parts = []
    while length and (part := sock.recv(min(length, READ_BYTES))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


@functools.lru_cache(maxsize=2)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _linger(sock: socket.socket) -> None:
    """Take in what a refused sender still sends, so that it gets to read its answer.

    Else the kernel resets the connection, and a sender of 100 MB never sees its 413.
    """
    deadline = time.monotonic() + LINGER_SECONDS
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(QUIET_SECONDS)
        while time.monotonic() < deadline and sock.recv(65_536):
            pass
