"""The process in which Stripe is: the double over HTTP, life in it, and the postman.

It is told what to do in JSON, a line each, on its standard input, and ends when that ends.
"""

import random
import sys
import threading
import time
from typing import Any

import msgspec
from msgspec import Struct

from sandbox.chaos.life import Life
from sandbox.chaos.plan import Plan
from sandbox.chaos.postman import Facts, Postman
from sandbox.stripe_double import StripeDouble

_TICK = 0.02
_LONGEST_BACKLOG = 1_500
_MOST_AT_ONCE = 50


class Begin(Struct, kw_only=True):
    """The first line."""

    plan: Plan
    urls: list[str]
    secret: str
    key: str


class Progress(Struct, kw_only=True):
    """How far it has come: events made, letters due, letters not accepted yet."""

    events: int
    backlog: int
    waiting: int
    living: bool


class StripeSide:
    """What the commands act on."""

    def __init__(self, begin: Begin, double: StripeDouble) -> None:
        self._plan = begin.plan
        self._control = double.control.realm(livemode="_live_" in begin.key)
        self._postman = Postman(self._control, begin.urls, [begin.secret], begin.plan)
        self._life = Life(self._control, begin.plan)
        self._life.begin()
        self._events = 0
        self._chance = random.Random(begin.plan.seed + 2)
        self._thread: threading.Thread | None = None

    def live(self, until_events: int, seconds: float) -> None:
        """Go on living, beside this, until so many events are made or the time is up."""
        deadline = time.monotonic() + seconds
        self._thread = threading.Thread(
            target=self._live, args=(until_events, deadline), daemon=True
        )
        self._thread.start()

    def progress(self) -> Progress:
        return Progress(
            events=self._events,
            backlog=self._postman.backlog(),
            waiting=self._postman.waiting(),
            living=self._thread is not None and self._thread.is_alive(),
        )

    def pause(self) -> None:
        self._postman.pause()

    def resume(self) -> None:
        self._postman.resume()

    def hurry(self) -> None:
        self._postman.hurry()

    def jump(self, seconds: float) -> None:
        """Only while nobody asks: a clock that jumps within a request is not Stripe's."""
        self._control.advance(seconds)

    def facts(self) -> Facts:
        """The last word: nothing is sent afterwards."""
        return self._postman.stop()

    def _live(self, until_events: int, deadline: float) -> None:
        control, postman = self._control, self._postman
        ticks = threading.Event()
        last = time.monotonic()
        while self._events < until_events and last < deadline:
            ticks.wait(_TICK)
            now, before = time.monotonic(), last
            last = now
            if postman.backlog() > _LONGEST_BACKLOG:
                continue
            for _ in range(min(1 + int(self._plan.rate * (now - before)), _MOST_AT_ONCE)):
                self._life.change()
            made = control.outbox()
            control.drop(*made)
            self._events += len(made)
            for event_id in made:
                if self._chance.random() < self._plan.listed_late:
                    control.list_event_late(event_id, self._plan.list_lag)
                postman.post(event_id)


def main() -> None:
    begin = msgspec.json.decode(sys.stdin.readline(), type=Begin)
    clock = time.time() + begin.plan.clock_off
    with StripeDouble.start(clock=clock, ticking=True, seed=begin.plan.seed) as double:
        side = StripeSide(begin, double)
        _say({"url": double.url})
        for line in sys.stdin:
            command: dict[str, Any] = msgspec.json.decode(line)
            _say(getattr(side, command.pop("do"))(**command))


def _say(value: object) -> None:
    print(msgspec.json.encode(value).decode(), flush=True)


if __name__ == "__main__":
    main()
