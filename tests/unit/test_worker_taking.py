"""Who takes a connection out of those that wait, while its file number may change hands."""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]

from webhook.worker.capacity import Capacity
from webhook.worker.request_reader import RequestReader
from webhook.worker.sender import Sender, State
from webhook.worker.worker import Worker

WITHOUT_EPOLL = """
import select
for name in [name for name in vars(select) if name.lower().startswith("epoll")]:
    delattr(select, name)
import webhook.service
"""


class Waiting:
    """A worker without its threads, and connections that wait in it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.worker = Worker.__new__(Worker)
        self.worker._waiting = {}
        self.worker._ready = stack.enter_context(select.epoll())
        self.worker._capacity = Capacity(16, 1, 1_000)

    def connect(self) -> tuple[Sender, socket.socket]:
        """A connection that waits, and its other end."""
        inner, outer = socket.socketpair()
        self._stack.callback(inner.close)
        self._stack.callback(outer.close)
        sender = Sender(inner, RequestReader(Config(), 1_000))
        self.worker._capacity.enter(sender)
        self.worker._wait_for(sender, State.SILENT, is_new=True)
        return sender, outer

    def told(self) -> list[int]:
        """The numbers of which the kernel tells."""
        return [number for number, _ in self.worker._ready.poll(0)]


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    with ExitStack() as stack:
        yield Waiting(stack)


def test_one_that_waits_is_taken_once(waiting: Waiting) -> None:
    sender, _ = waiting.connect()
    assert waiting.worker._take(sender)
    assert not waiting.worker._take(sender)
    assert waiting.worker._waiting == {}


@pytest.mark.parametrize("is_heard", [False, True], ids=["silent", "of which it was told"])
def test_newcomer_with_the_number_of_one_that_has_gone_stays(
    waiting: Waiting, is_heard: bool
) -> None:
    """Whoever meant the earlier one puts it back, and what it sends is told again."""
    gone, _ = waiting.connect()
    waiting.worker._take(gone)
    waiting.worker._close(gone)
    newcomer, outer = waiting.connect()
    assert newcomer.number == gone.number
    if is_heard:
        outer.sendall(b"x")
        assert waiting.told() == [newcomer.number]
    assert not waiting.worker._take(gone)
    assert waiting.worker._waiting == {newcomer.number: newcomer}
    if not is_heard:
        assert waiting.told() == []
        outer.sendall(b"x")
    assert waiting.told() == [newcomer.number]


def test_webhook_can_be_imported_where_there_is_no_epoll() -> None:
    """As on a developer's Mac, where gunicorn's own worker serves."""
    # What counts lines imports modules first, which then know of an epoll that is gone.
    uncounted = {name: text for name, text in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EPOLL],
        env=uncounted,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
