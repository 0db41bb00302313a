"""A model of the world around the rule of truth, for one object and with a real-valued clock.

Stripe changes the object at moments, and does not always make an event of it; events that arrive at
once, late or never, slow questions and nightly runs that are stopped anywhere are processes that
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
HOURS = 5 * 3600.0
GRACE = 5.0


def seen_by(began: float, dated: float, took: float) -> Interval:
    """Return when an answer was true, as shared/stripe/clock.py tells it from the Date header."""
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
    tells_nothing_new: Callable[[Interval | None, Interval, int | None], bool] = (
        truth.tells_nothing_new
    )
    confirmation_moves_revision: bool = True
    is_guarded: bool = True
    comparison_is_remembered: bool = True
    missed_events_are_news: bool = False
    waiting_is_asked_for_again: bool = True


class Row(NamedTuple):
    """What the database holds.

    `version` counts Stripe's states and is unknown to the rule: the row is known to be no older.
    """

    content: int
    version: int
    as_of: Interval
    revision: int


class Ending(NamedTuple):
    """How a history ended.

    `forgot`: a run came to its end, and the row was older than an event that the ledger calls done.
    `undid`: it came to its end, and a row that was right before it was wrong. `asked`: questions of
    events to Stripe.
    """

    is_wrong: bool
    went_back: bool
    forgot: bool
    undid: bool
    asked: int


class Found(NamedTuple):
    """A difference that waits for its repair: the row as it was read, and Stripe's side."""

    held: Row | None
    version: int
    as_of: Interval


@dataclass(frozen=True, kw_only=True)
class Chances:
    """What histories are made of.

    `calm`: share of long pauses between two changes. `silent`: changes without an event. `loss`:
    events that never arrive; `late`: that arrive within hours, after a night maybe. `nights`: how
    many there are at most before the last one; `stops`: share of them that are stopped somewhere.
    """

    calm: float = 0.15
    silent: float = 0.0
    loss: float = 0.0
    late: float = 0.0
    twins: float = 0.15
    again: float = 0.3
    nights: int = 1
    stops: float = 0.3
    slow: float = 3.0

    @property
    def needs_a_night(self) -> bool:
        """Whether deliveries alone may leave the row wrong."""
        return self.loss > 0 or self.silent > 0


class History:
    """One history of one object."""

    def __init__(self, chance: random.Random, rule: Rule, chances: Chances) -> None:
        self.rule = rule
        self.now = 0.0
        self.row: Row | None = None
        self.asked = 0
        self.went_back = False
        self.forgot = False
        self.undid = False
        self._random = chance.random
        self._chances = chances
        self.compared: int | None = None
        self._done: set[int] = set()
        self._events: list[tuple[int, int, float]] = []
        self._is_night = False
        self._next_night = 0.0
        self._compared_since: int | None = None
        self._waiting: Found | None = None
        self._queue: list[tuple[float, int, Process]] = []
        self._started = 0
        self._make_changes()
        self._make_events()
        self._make_nights()

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

    def _make_events(self) -> None:
        random_, chances = self._random, self._chances
        number = 0
        for version, (moment, _) in enumerate(self._changes):
            if random_() < chances.silent:
                continue
            for _ in range(2 if random_() < chances.twins else 1):
                number += 1
                is_listed_late = random_() < chances.late
                shown = moment + (random_() * HOURS if is_listed_late else 0.0)
                self._events.append((number, version, shown))
                if random_() < chances.loss:
                    continue
                for _ in range(2 if random_() < chances.again else 1):
                    is_late = random_() < chances.late
                    delay = random_() * HOURS if is_late else random_() ** 3 * 6
                    self._start(moment + delay, self._deliver(number, version))

    def _make_nights(self) -> None:
        """Some nights anywhere, and one in peace when nothing changes any more, where it is needed.

        Late events and the nights after it must leave right what that one has left right.
        """
        random_, chances = self._random, self._chances
        first, last = self._changes[0][0], self._changes[-1][0]
        for _ in range(int(random_() * (chances.nights + 1))):
            night = self._night()
            if random_() < chances.stops:
                night = stopped(night, int(random_() * 12))
            self._start(first + random_() * (last - first + 900), night)
        if chances.needs_a_night:
            # Two, for the first may go on from one that was stopped.
            peace = last + truth.LIST_LAG + 1_000 + random_() * 900
            self._start(peace, self._night())
            self._start(peace + truth.LIST_LAG + 100, self._night())
            if random_() < chances.stops:
                moment = peace + 2 * truth.LIST_LAG + 200 + random_() * HOURS
                self._start(moment, stopped(self._night(), int(random_() * 12)))

    def play(self) -> Ending:
        """Let everything happen, and judge."""
        while self._queue:
            self.now, number, process = heapq.heappop(self._queue)
            moment = next(process, None)
            if moment is not None:
                heapq.heappush(self._queue, (moment, number, process))
        is_wrong = self.row is None or self.row.content != self._changes[-1][1]
        return Ending(is_wrong, self.went_back, self.forgot, self.undid, self.asked)

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
                compared=self.compared,
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
            if verdict is Verdict.REPLACE and truth.is_history(incoming, self.compared):
                continue  # a run began to compare since this was decided
            if self._write(held, written, until):
                self._done.add(event)
                return
        raise AssertionError("an event loses every race")

    def _night(self) -> Process:
        """One object's part of a nightly run; one at a time.

        Two within the time by which lists may lag are left out: there the second's list may be
        older than the first's, and no rule can tell.
        """
        if self._is_night or self.now < self._next_night:
            return
        self._is_night = True
        self._next_night = self.now + truth.LIST_LAG + 60
        try:
            yield from self._run()
        finally:
            self._is_night = False

    def _run(self) -> Process:
        began = self.now
        was_right = self._is_right()
        yield began + self._pause()
        begun = seen_by(began, self.now, self.now - began).lower
        if self.rule.comparison_is_remembered:
            self.compared = begun
        yield self.now + self._pause() * 0.3
        found, since = self._waiting, self._compared_since
        is_resumed = since is not None
        if since is None:
            found = yield from self._compare(begun)
            since = begun
        # The cursor, and what waits: a run that is stopped from here on is gone on from.
        self._compared_since, self._waiting = since, found
        yield self.now + self._pause()
        if self.rule.missed_events_are_news:
            yield from self._repair(found, begun)
        looked = False
        for event, version, _ in [one for one in self._events if one[2] <= self.now - GRACE]:
            if event in self._done:
                continue
            if self.rule.missed_events_are_news:
                yield from self._deliver(event, version)
                continue
            at = self._changes[version][0]
            incoming = self.rule.of_event(floor(at), is_creation=version == 0)
            held = self.row.as_of if self.row else None
            if not looked and not self.rule.tells_nothing_new(held, incoming, since):
                found = self._waiting = yield from self._ask(begun)
                looked = True
            yield self.now + self._pause() * 0.3
            self._done.add(event)
        yield self.now + self._pause()
        if is_resumed and not looked and found and self.rule.waiting_is_asked_for_again:
            found = yield from self._ask(begun)
        yield from self._repair(found, begun)
        self._compared_since = self._waiting = None
        newest = max((one[1] for one in self._events if one[0] in self._done), default=0)
        is_calm = self._version_at(began - truth.LIST_LAG) == self._version_at(self.now)
        self.undid |= is_calm and was_right and not self._is_right()
        states = [content for _, content in self._changes[newest:]]
        self.forgot |= self.row is not None and self.row.content not in states

    def _is_right(self) -> bool:
        """Whether the row is what Stripe has."""
        version = self._version_at(self.now)
        return self.row is not None and self.row.content == self._changes[version][1]

    def _compare(self, begun: int) -> Generator[float, None, Found | None]:
        """Compare with a page, which may lag, or with the object itself where it may not speak."""
        rule = self.rule
        held, asked = self.row, self.now
        yield asked + self._pause()
        version = self._version_at(self.now - self._random() * (truth.LIST_LAG - 5))
        yield self.now + self._pause()
        as_of = rule.of_page(seen_by(asked, asked + self._random() * 9, self.now - asked))
        is_listed = version >= 0
        if is_listed and held and self._changes[version][1] == held.content:
            self._prove(held, begun - truth.LIST_LAG)
            return None
        if not is_listed and held is None:
            return None
        if not is_listed or (held is not None and not truth.speaks_for(as_of, held.as_of)):
            return (yield from self._ask(begun))
        if held is None:
            yield self.now + self._pause()
            if self._write(None, version, as_of):
                return None
        return Found(held, version, as_of)

    def _ask(self, begun: int) -> Generator[float, None, Found | None]:
        """Ask for the object; None where the row says what the answer does."""
        held, asked = self.row, self.now
        yield asked + self._pause()
        version = self._version_at(self.now)
        yield self.now + self._pause()
        if held and self._changes[version][1] == held.content:
            self._prove(held, begun)
            return None
        return Found(held, version, seen_by(asked, asked + self._random() * 9, self.now - asked))

    def _repair(self, found: Found | None, begun: int) -> Process:
        for _ in range(ATTEMPTS):
            if found is None:
                return
            held, version, as_of = found
            until = self.rule.after_answer(held.as_of if held else None, as_of)
            if self._write(held, version, until):
                return
            found = yield from self._ask(begun)
            yield self.now + self._pause()
        raise AssertionError("a repair loses every race")

    def _prove(self, held: Row, since: int) -> None:
        """Note what a comparison proves: the row is a state that Stripe had at `since` or later."""
        row = self.row
        if row is not None and row.revision == held.revision:
            self.row = row._replace(version=max(row.version, self._version_at(since)))

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


def stopped(process: Process, after: int) -> Process:
    """Stop a process after so many of its steps, wherever that is."""
    for number, moment in enumerate(process):
        if number == after:
            process.close()
            return
        yield moment
