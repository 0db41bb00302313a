"""What goes wrong, in an order that hangs on the seed."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

import psutil
import psycopg

from sandbox.chaos.crash_points import CRASH_POINTS, CrashPoint, stage
from sandbox.chaos.database import BEFORE_CURSOR, DatabaseSide
from sandbox.chaos.plan import Plan
from sandbox.chaos.product_side import Reconciler, WebhookService
from sandbox.chaos.stripe_process import StripeProcess

# Each with what it is called in the table.
_STRIPE_TROUBLE: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("Stripe answers 429", "status", {"status": 429, "reason": "endpoint-rate"}),
    ("Stripe answers 500", "status", {"status": 500}),
    ("Stripe resets connections", "reset", {}),
    ("Stripe's bodies break off", "half_body", {}),
    ("Stripe's bodies drip", "slow_body", {"seconds": 1.5}),
    ("Stripe hangs", "hang", {"seconds": 3.0}),
    ("Stripe answers HTML", "html", {}),
    ("Stripe's lists are cut short", "truncated_list", {"endpoint": "subscriptions.list"}),
    ("Stripe's lists are empty", "empty_list", {"endpoint": "subscriptions.list"}),
)


Fault: TypeAlias = Callable[[], None]


class Faults:
    """One after another until they are stopped; what is lasting runs on beside the next one."""

    def __init__(
        self,
        plan: Plan,
        *,
        database: DatabaseSide,
        webhooks: list[WebhookService],
        reconciler: Reconciler,
        stripe: StripeProcess,
    ) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed + 2)
        self._database = database
        self._webhooks = webhooks
        self._reconciler = reconciler
        self._stripe = stripe
        self._stop = threading.Event()
        self._trouble_until = 0.0
        self.counts: Counter[str] = Counter()
        self._decks: tuple[list[Fault], list[Fault]] = ([], [])
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Two hands: one for everything, one for `reconcile`, of which there is but one at a time.

        Each plays every fault once before any comes again.
        """
        self._stop.clear()
        self._threads = [
            threading.Thread(target=self._work, args=arguments, daemon=True)
            for arguments in (
                (self._decks[0], self._all_faults, self._plan.pause, random.Random(self._random())),
                (
                    self._decks[1],
                    self._faults_of_runs,
                    self._plan.pause_of_runs,
                    random.Random(self._random()),
                ),
            )
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when the last one is over and nothing is broken any more. Safe to call twice."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._trouble_until:
            self._end_trouble()

    def names(self) -> list[str]:
        """Everything that may happen, also what did not."""
        own = [
            *("kill -9 of a webhook worker", "kill -9 of a gunicorn master"),
            *("kill -9 of a running reconcile", "PostgreSQL crashed and restarted"),
            *("PostgreSQL frozen", "database connections cut", "disk full"),
            "two reconcile started together",
        ]
        return [
            *own[:3],
            *(point.name for point in CRASH_POINTS),
            *own[3:],
            *(name for name, _, _ in _STRIPE_TROUBLE),
        ]

    def _random(self) -> int:
        return self._chance.randrange(2**32)

    def _work(
        self,
        deck: list[Fault],
        new_deck: Callable[[], list[Fault]],
        pause: tuple[float, float],
        chance: random.Random,
    ) -> None:
        while not self._stop.wait(chance.uniform(*pause)):
            if not deck:
                deck += new_deck()
                chance.shuffle(deck)
            if self._trouble_until and time.monotonic() >= self._trouble_until:
                self._end_trouble()
            fault = deck.pop()
            # What a fault is aimed at may just have gone by another one.
            with suppress(psycopg.Error, psutil.NoSuchProcess, ProcessLookupError, TimeoutError):
                fault()

    def _all_faults(self) -> list[Fault]:
        deck: list[Fault] = [
            *[self._kill_worker] * 2,
            self._kill_master,
            self._crash_database,
            self._freeze_database,
            *[self._cut_connections] * 2,
            *[self._fill_disk] * 2,
        ]
        deck += [self._staged(one) for one in CRASH_POINTS if one.process == "webhook"]
        deck += [self._trouble(*trouble) for trouble in _STRIPE_TROUBLE]
        return deck

    def _faults_of_runs(self) -> list[Fault]:
        deck: list[Fault] = [self._kill_reconcile, self._run_together]
        deck += [self._staged(one) for one in CRASH_POINTS if one.gate == BEFORE_CURSOR]
        return deck

    @contextmanager
    def ambushed(self, gate: int) -> Iterator[None]:
        """While inside, the first process that comes to this point is killed there."""
        over = threading.Event()
        (point,) = [one for one in CRASH_POINTS if one.gate == gate]

        def wait() -> None:
            self.counts[point.name] += stage(self._database, point, over)

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _kill_worker(self) -> None:
        workers = self._chance.choice(self._webhooks).workers()
        if workers:
            self._chance.choice(workers).kill()
            self.counts["kill -9 of a webhook worker"] += 1

    def _kill_master(self) -> None:
        self._chance.choice(self._webhooks).kill_master()
        self.counts["kill -9 of a gunicorn master"] += 1

    def _kill_reconcile(self) -> None:
        running = self._reconciler.processes()
        if running:
            running[0].kill()
            self.counts["kill -9 of a running reconcile"] += 1

    def _crash_database(self) -> None:
        self._database.server.stop_hard()
        self._stop.wait(self._chance.uniform(0.0, 1.0))
        self._database.server.restart()
        self.counts["PostgreSQL crashed and restarted"] += 1

    def _freeze_database(self) -> None:
        self._database.server.freeze()
        self._stop.wait(self._chance.uniform(*self._plan.freeze))
        self._database.server.thaw()
        self.counts["PostgreSQL frozen"] += 1

    def _cut_connections(self) -> None:
        if self._database.cut_connections():
            self.counts["database connections cut"] += 1

    def _fill_disk(self) -> None:
        with self._database.full_disk():
            self._stop.wait(self._chance.uniform(0.5, 2.0))
        self.counts["disk full"] += 1

    def _run_together(self) -> None:
        """Beside the run that is going on, or two at once."""
        beside = [threading.Thread(target=self._reconciler.run, daemon=True) for _ in range(2)]
        for thread in beside:
            thread.start()
        self.counts["two reconcile started together"] += 1

    def _staged(self, point: CrashPoint) -> Fault:
        def crash() -> None:
            if stage(self._database, point, self._stop):
                self.counts[point.name] += 1

        return crash

    def _trouble(self, name: str, kind: str, fields: dict[str, object]) -> Fault:
        def trouble() -> None:
            self._stripe.call("fault", kind, count=None, probability=0.4, **fields)
            self._trouble_until = time.monotonic() + self._chance.uniform(2.0, 6.0)
            self.counts[name] += 1

        return trouble

    def _end_trouble(self) -> None:
        self._trouble_until = 0.0
        self._stripe.call("clear_faults")
