"""Stripe's side of delivery: every event again and again until it is accepted, or never at all."""

import heapq
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from sandbox.chaos.plan import NEW_SHAPE, OLD_SHAPE, Plan
from sandbox.stripe_double.control.control import Control
from sandbox.stripe_double.delivery.sending import DeliveryPlan, Reply, Sender

_SENDERS = 16
_TIMEOUT = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0


class Letter(Struct, order=True, kw_only=True):
    """One sending of one event. `due` on time.monotonic(); `version` None: its thin twin."""

    due: float
    number: int
    event_id: str
    version: str | None
    endpoint: int
    tries: int = 0


class Facts(Struct, kw_only=True):
    """What the postman knows at the end; `accepted` and `answered`: see the fields.

    `accepted`: by event, when (host, epoch) the first 2xx came. `answers`: how many answers of
    which status or error. `outcomes`: the words in the 2xx answers.
    """

    sent: int = 0
    lost: list[str] = []
    accepted: dict[str, float] = {}
    answers: dict[str, int] = {}
    outcomes: dict[str, int] = {}
    unaccepted: int = 0


class _Period(Struct, frozen=True):
    current_period_start: int
    current_period_end: int


class _Items(Struct):
    data: list[_Period]
    has_more: bool


class _Object(Struct):
    items: _Items | None = None


class _Data(Struct):
    object: _Object


class _Event(Struct):
    data: _Data


_periods = msgspec.json.Decoder(_Event)


class Postman:
    """Sends letters when they are due, by several senders at once, to any of the endpoints."""

    def __init__(
        self, control: Control, urls: Sequence[str], secrets: Sequence[str], plan: Plan
    ) -> None:
        self._control = control
        self._urls = urls
        self._secrets = secrets
        self._plan = plan
        self._chance = random.Random(plan.seed + 1)
        self._changed = threading.Condition()
        self._letters: list[Letter] = []
        self._numbers = itertools.count()
        self._paused = self._stopped = False
        self._in_hand = 0
        self.facts = Facts()
        self._answers: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_SENDERS)]
        for thread in self._threads:
            thread.start()

    def post(self, event_id: str) -> None:
        """Decide an event's fate and take it in."""
        chance, plan = self._chance, self._plan
        if chance.random() < plan.lost:
            self.facts.lost.append(event_id)
            return
        now = time.monotonic()
        delay = chance.expovariate(20)
        if chance.random() < plan.reordered:
            delay = min(0.2 + chance.expovariate(6 / plan.longest_delay), plan.longest_delay)
        fates = [(delay, chance.choice((OLD_SHAPE, NEW_SHAPE)))]
        if chance.random() < plan.duplicated:
            second = chance.choice((0.0, chance.uniform(0.0, plan.longest_delay)))
            fates.append((delay + second, chance.choice((OLD_SHAPE, NEW_SHAPE))))
        thin = chance.random() < plan.thin
        with self._changed:
            for delay, version in fates:
                self._put(event_id, version, now + delay)
            if thin:
                self._put(event_id, None, now + chance.uniform(0.0, 2.0))
            self._changed.notify()

    def backlog(self) -> int:
        """How many letters are due and not yet sent."""
        now = time.monotonic()
        with self._changed:
            return sum(letter.due <= now for letter in self._letters)

    def waiting(self) -> int:
        """How many letters are not accepted yet, due or not."""
        with self._changed:
            return len(self._letters) + self._in_hand

    def pause(self) -> None:
        """Returns when nothing is being sent any more."""
        with self._changed:
            self._paused = True
            self._changed.wait_for(lambda: self._in_hand == 0)

    def resume(self) -> None:
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def hurry(self) -> None:
        """No letter waits for its time any more; the order of their times stays."""
        now = time.monotonic()
        with self._changed:
            for letter in self._letters:
                letter.due = min(letter.due, now)
            heapq.heapify(self._letters)
            self._changed.notify_all()

    def stop(self) -> Facts:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self.facts.answers = dict(self._answers)
        self.facts.outcomes = dict(self._outcomes)
        self.facts.unaccepted = len(self._letters)
        return self.facts

    def _put(self, event_id: str, version: str | None, due: float) -> None:
        letter = Letter(
            due=due,
            number=next(self._numbers),
            event_id=event_id,
            version=version,
            endpoint=self._chance.randrange(len(self._urls)),
        )
        heapq.heappush(self._letters, letter)

    def _work(self) -> None:
        plan = DeliveryPlan(timeout=_TIMEOUT)
        senders = [Sender(url, self._secrets, plan) for url in self._urls]
        while (letter := self._take()) is not None:
            reply = senders[letter.endpoint].send(self._body(letter), thin=letter.version is None)
            self._note(letter, reply)
        for sender in senders:
            sender.close()

    def _take(self) -> Letter | None:
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if not self._paused and self._letters and self._letters[0].due <= now:
                    self._in_hand += 1
                    return heapq.heappop(self._letters)
                wait = self._letters[0].due - now if self._letters and not self._paused else None
                self._changed.wait(wait)
            return None

    def _body(self, letter: Letter) -> bytes:
        """In the older shape only where that can say it all: it knows one period for all items."""
        if letter.version is None:
            return self._control.thin_body(letter.event_id)
        body = self._control.event_body(letter.event_id, api_version=NEW_SHAPE)
        if letter.version == OLD_SHAPE:
            items = _periods.decode(body).data.object.items
            if items is None or (len(set(items.data)) == 1 and not items.has_more):
                return self._control.event_body(letter.event_id, api_version=OLD_SHAPE)
        return body

    def _note(self, letter: Letter, reply: Reply) -> None:
        accepted = reply.status is not None and 200 <= reply.status < 300
        with self._changed:
            self._in_hand -= 1
            self.facts.sent += 1
            self._answers[str(reply.status or reply.error)] += 1
            if accepted:
                self._outcomes[msgspec.json.decode(reply.body)["outcome"]] += 1
                self.facts.accepted.setdefault(letter.event_id, time.time())
            else:
                pause = min(_FIRST_PAUSE * 2**letter.tries, _LONGEST_PAUSE)
                letter.due = time.monotonic() + self._chance.uniform(pause / 2, pause)
                letter.tries += 1
                letter.endpoint = self._chance.randrange(len(self._urls))
                heapq.heappush(self._letters, letter)
            self._changed.notify_all()
