"""How far a run is, while it runs: a bar on a terminal, elsewhere a log line now and then."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TextIO

from shared import log

_log = logging.getLogger(__name__)

_REDRAW_SECONDS = 0.2
_LOG_SECONDS = 15.0
_RATE_SECONDS = 30.0
"""Rates are the mean over so long, so that a pause shows soon and a page more does not."""

_SAMPLE_SECONDS = 0.5
COMPARING = "comparing"
"""The phase in which a run begins."""

_CLEAR_REST = "\x1b[K"

_BAR = 24
_LEAST_BAR = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Facts(NamedTuple):
    """How far a run is.

    `done` and `planned` count objects of all kinds; rates are a second. None: not known, or not
    yet.
    """

    phase: str
    done: int
    planned: int | None
    drift: int
    requests: int
    rate: float | None
    request_rate: float | None
    seconds_left: float | None

    @property
    def share(self) -> float | None:
        """How much of what is planned is done, from 0 to 1."""
        if self.planned is None:
            return None
        return min(self.done / self.planned, 1.0) if self.planned else 1.0


class Display:
    """Shows how far a run is; told of it by one thread, after each step.

    On a terminal one line is redrawn in place, at most five times a second, and steps aside for
    log lines, whichever thread writes them. Elsewhere, or with `is_bar` False, the same facts are
    logged as `run.progress`, at most every 15 seconds. Nothing that goes wrong in showing it is
    ever raised.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        is_bar: bool = True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stream` is where the process logs; `is_bar` False: no bar, not even on a terminal."""
        self._now = now
        self._planned: dict[str, int | None] = {}
        self._done: dict[str, int] = {}
        self._phase = COMPARING
        self._drift = self._requests = 0
        self._samples: deque[tuple[float, int, int]] = deque()
        self._next = 0.0 if is_bar and _is_terminal(stream) else now() + _LOG_SECONDS
        self._bar = _Bar(stream) if is_bar and _is_terminal(stream) else None

    def plan(self, object_name: str, total: int | None) -> None:
        """Say how many objects there will be, None where nobody knows."""
        self._planned[object_name] = total
        self._show()

    def moved(self, object_name: str, done: int, drift: int, requests: int) -> None:
        """Say how many of an object are compared, how many differ and were asked for, in all.

        Rates begin with an object's first call: a run that resumes calls it with what it took over.
        """
        self._planned.setdefault(object_name, None)
        if object_name not in self._done:
            # What it begins with is nobody's pace.
            self._samples = deque((then, count + done, sent) for then, count, sent in self._samples)
        self._done[object_name] = done
        self._drift, self._requests = drift, requests
        self._show()

    def phase(self, text: str) -> None:
        """Say what is done after the windows; cheap enough to be called again with each step."""
        self._phase = text
        self._show()

    def close(self) -> None:
        """Take the bar away; nothing is shown any more."""
        if self._bar is not None:
            self._bar.close()
        self._next = float("inf")

    def _show(self) -> None:
        now = self._now()
        count = sum(self._done.values())
        if self._done and (not self._samples or now - self._samples[-1][0] >= _SAMPLE_SECONDS):
            self._samples.append((now, count, self._requests))
            while now - self._samples[0][0] > _RATE_SECONDS and len(self._samples) > 2:  # noqa: PLR2004 - a rate is between two
                self._samples.popleft()
        if now < self._next:
            return
        facts = self._facts(now, count)
        if self._bar is not None:
            self._next = now + _REDRAW_SECONDS
            self._bar.show(facts)
        else:
            self._next = now + _LOG_SECONDS
            _log_facts(facts)

    def _facts(self, now: float, count: int) -> Facts:
        planned = self._all_planned()
        rate = request_rate = left = None
        first = self._samples[0] if self._samples else None
        if self._phase == COMPARING and first is not None and now > first[0]:
            rate = (count - first[1]) / (now - first[0])
            request_rate = (self._requests - first[2]) / (now - first[0])
            if planned is not None and rate > 0:
                left = (planned - count) / rate
        return Facts(
            phase=self._phase,
            done=count,
            planned=planned,
            drift=self._drift,
            requests=self._requests,
            rate=rate,
            request_rate=request_rate,
            seconds_left=left,
        )

    def _all_planned(self) -> int | None:
        """Return how many objects there will be in all; afterwards, how many there were."""
        total = 0
        for name, planned in self._planned.items():
            done = self._done.get(name, 0)
            if self._phase != COMPARING:
                total += done
            elif planned is None:
                return None
            else:
                total += max(planned, done)
        return total


class _Bar:
    """One line at the foot of a terminal, over which log lines are written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_unicode = _can_encode(stream)
        self._line = ""
        self._lock = threading.Lock()
        aside = _Aside(self, stream)
        self._handlers = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream
        ]
        for handler in self._handlers:
            handler.setStream(aside)

    def show(self, facts: Facts) -> None:
        # A character in the last column would make some terminals begin a new line.
        text = line(facts, max(_width(self._stream) - 1, 1), is_unicode=self._is_unicode)
        with self._lock:
            self._line = text
            self._put(f"\r{text}{_CLEAR_REST}")

    def above(self, text: str) -> None:
        """Write a line of somebody else's, in one piece with the bar that it pushes down."""
        with self._lock:
            self._put(f"\r{_CLEAR_REST}{text}{self._line}" if self._line else text)

    def close(self) -> None:
        for handler in self._handlers:
            handler.setStream(self._stream)
        with self._lock:
            if self._line:
                self._line = ""
                self._put(f"\r{_CLEAR_REST}")

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal went away, or cannot show what it said it could.
            self._line = ""


class _Aside(io.TextIOBase):
    """What a log handler writes to while there is a bar."""

    def __init__(self, bar: _Bar, stream: TextIO) -> None:
        self._bar = bar
        self._stream = stream

    def write(self, text: str) -> int:
        self._bar.above(text)
        return len(text)

    def fileno(self) -> int:
        return self._stream.fileno()


def _log_facts(facts: Facts) -> None:
    share, left = facts.share, facts.seconds_left
    log.event(
        _log,
        "run.progress",
        phase=facts.phase,
        done=facts.done,
        planned=facts.planned,
        percent=None if share is None else round(100 * share, 1),
        per_second=None if facts.rate is None else round(facts.rate, 1),
        requests_per_second=None if facts.request_rate is None else round(facts.request_rate, 1),
        seconds_left=None if left is None else round(left),
        drift=facts.drift,
        stripe_requests=facts.requests,
    )


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:  # closed
        return False


def _can_encode(stream: TextIO) -> bool:
    try:
        "█▏▕".encode(stream.encoding or "ascii")
    except (LookupError, UnicodeError):
        return False
    return True


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def line(facts: Facts, width: int, *, is_unicode: bool) -> str:
    """Return one line of at most `width` characters, the least important left out first."""
    # Number: what stays longest. The order is that of the line.
    parts = [(0, facts.phase), (5, _count(facts))]
    if facts.share is not None:
        parts.insert(1, (1, f"{int(100 * facts.share):>3} %"))
    if facts.rate is not None:
        parts.append((4, f"{facts.rate:,.0f}/s"))
    if facts.request_rate is not None:
        parts.append((6, f"{facts.request_rate:,.1f} requests/s"))
    if facts.seconds_left is not None:
        parts.append((2, f"{duration(facts.seconds_left)} left"))
    parts.append((3, "no drift" if not facts.drift else f"drift {facts.drift:,}"))
    while len(parts) > 1 and _length(parts) > width:
        parts.remove(max(parts))
    texts = [text for _, text in parts]
    room = min(width - _length(parts) - 4, _BAR)
    if facts.share is not None and len(texts) > 1 and room >= _LEAST_BAR:
        texts.insert(2, bar(facts.share, room, is_unicode=is_unicode))
    return "  ".join(texts)[:width]


def bar(share: float, width: int, *, is_unicode: bool) -> str:
    """Return a bar of `width` characters between brackets, filled by `share` (0 to 1)."""
    if not is_unicode:
        return f"[{'#' * int(share * width):<{width}}]"
    whole, eighths = divmod(int(share * width * 8), 8)
    part = _EIGHTHS[eighths] if whole < width else ""
    return f"▕{'█' * whole + part:<{width}}▏"


def duration(seconds: float) -> str:
    """Return seconds as a clock shows them: 0:07, 2:39, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _count(facts: Facts) -> str:
    return f"{facts.done:,}" if facts.planned is None else f"{facts.done:,} of {facts.planned:,}"


def _length(parts: list[tuple[int, str]]) -> int:
    return sum(len(text) for _, text in parts) + 2 * (len(parts) - 1)
