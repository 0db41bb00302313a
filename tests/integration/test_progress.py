"""How far a run is: on a real terminal, and in the log where there is none."""

import fcntl
import json
import logging
import os
import pty
import re
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pytest

from reconcile.progress import Display
from shared import log

_CONTROL = re.compile(r"\r|\n|\x1b\[K|[^\r\n\x1b]+")


@dataclass
class Clock:
    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Terminal:
    """A terminal of so many columns: what is written to `stream`, and what one would see."""

    columns: int = 100
    encoding: str = "utf-8"
    _raw: bytes = b""
    _read: list[bytes] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, self.columns, 0, 0))
        reader = threading.Thread(target=self._drain, args=(master,))
        reader.start()
        try:
            with os.fdopen(slave, "w", encoding=self.encoding) as stream:
                yield stream
        finally:
            reader.join(10)
            os.close(master)

    def _drain(self, master: int) -> None:
        while True:
            try:
                chunk = os.read(master, 65_536)
            except OSError:  # the other end is closed
                return
            if not chunk:
                return
            self._read.append(chunk)

    @property
    def written(self) -> str:
        return b"".join(self._read).decode(self.encoding)

    def screen(self) -> list[str]:
        """The lines that are on the screen; fails where one was wider than it."""
        lines = [""]
        column = 0
        for token in _CONTROL.findall(self.written.replace("\r\n", "\n")):
            if token == "\r":
                column = 0
            elif token == "\n":
                lines.append("")
                column = 0
            elif token == "\x1b[K":
                lines[-1] = lines[-1][:column]
            else:
                lines[-1] = lines[-1][:column] + token + lines[-1][column + len(token) :]
                column += len(token)
        return lines


@pytest.fixture(autouse=True)
def a_terminal_of_some_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def handler() -> Iterator[logging.StreamHandler[TextIO]]:
    """The process's log as `log.configure` makes it, its stream to be set."""
    made: logging.StreamHandler[TextIO] = logging.StreamHandler()
    made.setFormatter(log.JsonFormatter())
    logging.getLogger().addHandler(made)
    yield made
    logging.getLogger().removeHandler(made)


def test_bar_says_how_far_how_fast_and_how_long_still() -> None:
    terminal, clock = Terminal(columns=120), Clock()
    with terminal.open() as stream:
        display = Display(stream, now=clock)
        display.plan("customer", 1_000)
        display.plan("subscription", 9_000)
        for done in range(0, 501, 50):
            display.moved("customer", done, 0, done // 50)
            display.moved("subscription", done, 0, done // 50)
            clock.seconds += 1
        display.moved("subscription", 3_500, 7, 40)
    (line,) = terminal.screen()
    assert line == (
        "comparing   40 %  ▕█████████▌              ▏  4,000 of 10,000  364/s"
        "  3.6 requests/s  0:16 left  drift 7"
    )


def test_log_lines_of_other_threads_stay_whole_above_the_bar(
    handler: logging.StreamHandler[TextIO],
) -> None:
    terminal, clock = Terminal(), Clock()
    logger = logging.getLogger("reconcile.elsewhere")

    def talk(name: int) -> None:
        for number in range(50):
            log.event(logger, "window.compared", level=logging.WARNING, by=name, number=number)

    with terminal.open() as stream:
        handler.setStream(stream)
        display = Display(stream, now=clock)
        display.plan("subscription", 1_000)
        threads = [threading.Thread(target=talk, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for done in range(1, 1_001):
            display.moved("subscription", done, 0, 0)
            clock.seconds += 1
        for thread in threads:
            thread.join()
        log.event(logger, "the.last", level=logging.WARNING)
        display.close()
        assert handler.stream is stream
        log.event(logger, "after.it", level=logging.WARNING)
    *lines, last = terminal.screen()
    told = [json.loads(one) for one in lines]
    assert len(told) == 202
    assert {(one.get("by"), one.get("number")) for one in told[:-2]} == {
        (name, number) for name in range(4) for number in range(50)
    }
    assert [one["event"] for one in told[-2:]] == ["the.last", "after.it"]
    assert last == "", "the bar is gone"
    assert "100 %" in terminal.written


def test_bar_is_redrawn_five_times_a_second_at_most() -> None:
    terminal, clock = Terminal(), Clock()
    with terminal.open() as stream:
        display = Display(stream, now=clock)
        for done in range(1_000):
            display.moved("customer", done, 0, 0)
            clock.seconds += 0.01
    assert 40 <= terminal.written.count("\r") <= 51


@pytest.mark.parametrize(
    "columns, encoding", [(200, "ascii"), (60, "utf-8"), (20, "latin-1"), (0, "utf-8")]
)
def test_bar_keeps_to_the_width_and_the_characters_of_the_terminal(
    columns: int, encoding: str
) -> None:
    terminal, clock = Terminal(columns=columns, encoding=encoding), Clock()
    with terminal.open() as stream:
        display = Display(stream, now=clock)
        display.plan("subscription", 1_000_000)
        for done in (0, 250_000):
            display.moved("subscription", done, 0, 0)
            clock.seconds += 60
        display.phase("second look")
    (line,) = terminal.screen()
    assert line.startswith("second look")
    assert max(map(len, re.split(r"[\r\x1b]", terminal.written))) < (columns or 80)
    if encoding != "utf-8":
        assert terminal.written.isascii()


def test_without_a_terminal_the_facts_are_logged_every_15_seconds(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    clock = Clock()
    caplog.set_level(logging.INFO, "reconcile.progress")
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        display = Display(stream, now=clock)
        display.plan("customer", None)
        display.plan("subscription", 50_000)
        for second in range(61):
            display.moved("customer", second * 100, second // 10, second * 2)
            clock.seconds += 1
        display.moved("subscription", 25_000, 6, 400)
        clock.seconds += 15
        display.phase("missed events")
        display.close()
        clock.seconds += 100
        display.phase("nothing more")
        assert stream.tell() == 0
    told = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert [record.message for record in caplog.records] == ["run.progress"] * 5
    assert told[0] == {
        "phase": "comparing",
        "done": 1_500,
        "planned": None,
        "percent": None,
        "per_second": 100.0,
        "requests_per_second": 2.0,
        "seconds_left": None,
        "drift": 1,
        "stripe_requests": 30,
    }
    assert told[-1]["phase"] == "missed events"
    assert (told[-1]["done"], told[-1]["planned"], told[-1]["percent"]) == (31_000, 31_000, 100.0)


def test_what_a_resumed_run_took_over_makes_it_no_faster(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    clock = Clock()
    caplog.set_level(logging.INFO, "reconcile.progress")
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        display = Display(stream, now=clock)
        display.plan("customer", 10_000)
        display.plan("subscription", 90_000)
        display.moved("customer", 9_000, 0, 0)
        display.moved("subscription", 81_000, 0, 0)
        clock.seconds += 20
        display.moved("subscription", 83_000, 0, 20)
    (record,) = caplog.records
    fields = record.fields  # type: ignore[attr-defined]
    assert (fields["percent"], fields["per_second"], fields["seconds_left"]) == (92.0, 100.0, 80)


def test_terminal_that_goes_away_or_is_not_wanted_disturbs_nothing() -> None:
    terminal, clock = Terminal(), Clock()
    with terminal.open() as stream:
        Display(stream, is_bar=False, now=clock).moved("customer", 1, 0, 0)
        assert terminal.written == ""
        display = Display(stream, now=clock)
    display.moved("customer", 1, 0, 0)
    display.close()
    Display(stream, now=clock).moved("customer", 1, 0, 0)
