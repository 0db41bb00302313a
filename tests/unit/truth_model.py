"""A model of the world around the rule of truth, for one object and with a real-valued clock.

Stripe changes the object at moments; events, slow questions and list pages are processes that
interleave at random. The row is written as shared/mirror.py and reconcile/ write it: read it with
its revision, decide with the functions of shared/truth.py, perhaps ask, write only at the revision
that was read. Every part of the rule can be replaced, to see that the model notices.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import ceil, floor
from typing import NamedTuple, TypeAlias

from shared import truth
from shared.truth import Interval, Verdict

Process: TypeAlias = Generator[float, None, None]
"""What happens to one event, question or page; yields the moments at which it goes on."""

TERMINAL = 10
"""Contents from here on are states that Stripe never leaves."""

ATTEMPTS = 50


def seen_by(began: float, dated: float, took: float) -> Interval:
    """Return when an answer was true, as shared/stripe_http.py tells it from the Date header."""
    second = floor(min(max(dated, began), began + took))
    return Interval(floor(second - took), ceil(second + 1 + took))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rule under test; the defaults are the product's."""

    of_event: Callable[..., Interval] = truth.of_event
    of_page: Callable[[Interval], Interval] = truth.of_page
    decide: Callable[..., Verdict] = truth.decide
    after_event: Callable[[Interval | None, Interval], Interval] = truth.after_event
    after_answer: Callable[[Interval | None, Interval], Interval] = truth.after_answer
    confirmation_moves_revision: bool = True
    is_guarded: bool = True


class Row(NamedTuple):
    """What the database holds; `version` counts Stripe's states and is unknown to the rule."""

    content: int
    version: int
    as_of: Interval
    revision: int


class Ending(NamedTuple):
    """How a history ended. `asked`: questions of events to Stripe."""

    is_wrong: bool
    went_back: bool
    asked: int


@dataclass(frozen=True, kw_only=True)
class Chances:
    """What histories are made of. `calm`: share of long pauses between two changes."""

    calm: float = 0.15
    loss: float = 0.0
    twins: float = 0.15
    again: float = 0.3
    pages: float = 0.3
    slow: float = 3.0


class History:
    """One history of one object."""

    def __init__(self, chance: random.Random, rule: Rule, chances: Chances) -> None:
        self.rule = rule
        self.now = 0.0
        self.row: Row | None = None
        self.asked = 0
        self.went_back = False
        self._random = chance.random
        self._chances = chances
        self._done: set[int] = set()
        self._queue: list[tuple[float, int, Process]] = []
        self._started = 0
        self._make_changes()

    def _make_changes(self) -> None:
        random_, chances = self._random, self._chances
        moment = 1_000_000.0 + random_()
        content = 0
        self._changes: list[tuple[float, int]] = [(moment, content)]
        for _ in range(1 + int(random_() * 4)):
            calm = random_() < chances.calm
            moment += random_() * 900 if calm else random_() ** 2 * 2
            if content >= TERMINAL or random_() < 0.1:
                content = TERMINAL + int(random_() * 2)
            else:
                content = (content + 1 + int(random_() * 2)) % 3
            self._changes.append((moment, content))
        number = 0
        for version, (moment, _) in enumerate(self._changes):
            for _ in range(2 if random_() < chances.twins else 1):
                number += 1
                if random_() < chances.loss:
                    continue
                for _ in range(2 if random_() < chances.again else 1):
                    self._start(moment + random_() ** 3 * 6, self._deliver(number, version))
        if random_() < chances.pages:
            first, last = self._changes[0][0], self._changes[-1][0]
            self._start(first + random_() * (last - first + 900), self._page())

    def play(self) -> Ending:
        """Let everything happen, reconcile once at the end if events were lost, and judge."""
        self._run()
        if self._chances.loss:
            self.now = max(self.now, self._changes[-1][0]) + truth.LIST_LAG + self._random() * 900
            self._start(self.now, self._page())
            self._run()
        content = self._changes[-1][1]
        is_wrong = self.row is None or self.row.content != content
        return Ending(is_wrong, self.went_back, self.asked)

    def _run(self) -> None:
        queue = self._queue
        while queue:
            self.now, number, process = heapq.heappop(queue)
            moment = next(process, None)
            if moment is not None:
                heapq.heappush(queue, (moment, number, process))

    def _start(self, moment: float, process: Process) -> None:
        self._started += 1
        heapq.heappush(self._queue, (moment, self._started, process))

    def _version_at(self, moment: float) -> int:
        """Return Stripe's state at a moment, -1 before the object was made."""
        version = -1
        for at, _ in self._changes:
            if at > moment:
                break
            version += 1
        return version

    def _deliver(self, event: int, version: int) -> Process:
        rule = self.rule
        at, content = self._changes[version]
        incoming = rule.of_event(floor(at), is_creation=version == 0)
        for _ in range(ATTEMPTS):
            held = self.row
            if event in self._done:
                return
            as_of = held.as_of if held else None
            verdict = rule.decide(
                as_of,
                incoming,
                equal=held is not None and held.content == content,
                held_is_terminal=held is not None and held.content >= TERMINAL,
                incoming_is_terminal=content >= TERMINAL,
            )
            if verdict is Verdict.STALE:
                self._done.add(event)
                return
            written, until = version, rule.after_event(as_of, incoming)
            if verdict is Verdict.ASK:
                self.asked += 1
                began = self.now
                yield began + self._pause()
                written, read = self._version_at(self.now), self.now
                yield read + self._pause()
                answer = seen_by(began, began + self._random() * 9, self.now - began)
                until = rule.after_answer(as_of, answer)
            yield self.now + self._pause() * 0.3
            if event in self._done:
                return
            if self._write(held, written, until):
                self._done.add(event)
                return
        raise AssertionError("an event loses every race")

    def _page(self) -> Process:
        """One object's part of a nightly run: its window, and whatever has to be asked for."""
        rule = self.rule
        held, began = self.row, self.now
        yield began + self._pause()
        version = self._version_at(self.now - self._random() * (truth.LIST_LAG - 5))
        yield self.now + self._pause()
        answer = seen_by(began, began + self._random() * 9, self.now - began)
        as_of = rule.of_page(answer)
        is_listed = version >= 0
        if is_listed and held and self._changes[version][1] == held.content:
            return
        if not is_listed and held is None:
            return
        clear = held is None or truth.speaks_for(as_of, held.as_of)
        if is_listed and clear:
            yield self.now + self._pause()
            if self._write(held, version, rule.after_answer(held.as_of if held else None, as_of)):
                return
        for _ in range(ATTEMPTS):
            held, began = self.row, self.now
            yield began + self._pause()
            version = self._version_at(self.now)
            yield self.now + self._pause()
            if held and self._changes[version][1] == held.content:
                return
            answer = seen_by(began, began + self._random() * 9, self.now - began)
            yield self.now + self._pause()
            if self._write(held, version, rule.after_answer(held.as_of if held else None, answer)):
                return
        raise AssertionError("a repair loses every race")

    def _pause(self) -> float:
        return self._random() ** 2 * self._chances.slow

    def _write(self, held: Row | None, version: int, as_of: Interval) -> bool:
        """Write the state `version` where the row is still the one that was read."""
        row = self.row
        if self.rule.is_guarded and (row.revision if row else 0) != (held.revision if held else 0):
            return False
        content = self._changes[version][1]
        revision = row.revision if row else 0
        if row is not None and row.content == content:
            version = max(version, row.version)
            revision += self.rule.confirmation_moves_revision
        else:
            revision += 1
            self.went_back |= row is not None and version < row.version
        self.row = Row(content, version, as_of, revision)
        return True
