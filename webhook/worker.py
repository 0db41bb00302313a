"""gunicorn's threaded worker, made patient with many slow senders at once.

As it comes (27.0), a thread waits five seconds for a new connection's first byte, and for ever for
the rest of a request: with as many idle or dripping connections as threads, nobody else is served.
And a connection is closed in the one thread that accepts, which waits there for up to two seconds
until the peer closes too. Here the first costs no thread, the second is cut off, the third happens
in a thread of the pool. As many drippers as threads still delay others by REQUEST_SECONDS: more
threads or a buffering proxy in front are the cure for that.
"""

import select
import socket
import time
from contextlib import suppress
from typing import Any, Final

from gunicorn.workers import gthread  # type: ignore[import-untyped]

REQUEST_SECONDS: Final = 5.0
"""How long a sender may take over a request; a little more than an answer takes."""

LINGER_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 0.1
BURST_MILLISECONDS: Final = 2


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """A thread worker in which a thread belongs to a connection only while bytes come in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadlines: dict[Any, float] = {}

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection, in a thread of the pool."""
        if not conn.initialized and not conn.wait_for_data(0.0):
            return gthread._DEFER  # noqa: SLF001 - to the poller, which costs no thread
        result = self._handle_in_time(conn)
        # Once around through the poller costs a quarter of a request: a burst stays in its thread.
        while result is True and self._has_more_soon(conn):
            result = self._handle_in_time(conn)
        if not result:
            _linger(conn.sock)
        return result

    def _handle_in_time(self, conn: Any) -> Any:
        self._deadlines[conn] = time.monotonic() + REQUEST_SECONDS
        try:
            return super().handle(conn)
        finally:
            del self._deadlines[conn]

    def _has_more_soon(self, conn: Any) -> bool:
        if self.tpool._work_queue.qsize():  # noqa: SLF001 - others wait for a thread
            return False
        waiter = select.poll()
        waiter.register(conn.sock, select.POLLIN)
        return bool(waiter.poll(BURST_MILLISECONDS))

    def murder_pending(self) -> None:
        """End what takes too long; the main loop calls this about once a second."""
        super().murder_pending()
        now = time.monotonic()
        for conn, deadline in list(self._deadlines.items()):
            if now > deadline:
                # The thread's recv returns, as if the sender had hung up.
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)


def _linger(sock: socket.socket) -> None:
    """Take in what a refused sender still sends, so that it gets to read its answer.

    Else the kernel resets the connection, and a sender of 100 MB never sees its 413.
    """
    deadline = time.monotonic() + LINGER_SECONDS
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(QUIET_SECONDS)
        with suppress(TimeoutError):
            while time.monotonic() < deadline and sock.recv(65_536):
                pass
        # Now gunicorn's own wait for the peer, in the accepting thread, ends at once.
        sock.shutdown(socket.SHUT_RD)
