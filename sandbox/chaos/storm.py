"""One chaos run from the first process to the judgement."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox import product
from sandbox.chaos.database import IN_REPAIR, DatabaseSide
from sandbox.chaos.faults import Faults
from sandbox.chaos.judge import Findings, Judge, Proof
from sandbox.chaos.plan import Plan
from sandbox.chaos.postman import Facts
from sandbox.chaos.product_side import NO_RUN, Reconciler, WebhookService
from sandbox.chaos.stripe_process import StripeProcess

# Of a Stripe that lives for a few minutes.
_KEY = "sk_live_double"
_SIGNING_SECRET = "whsec_chaos"  # noqa: S105

_LEASE_SECONDS = 10
_LIST_LAG = 600
"""Seconds by which the contract lets a list lag behind its objects."""


@dataclass(kw_only=True)
class Result:
    """All that the tables show."""

    plan: Plan
    events: int
    facts: Facts
    findings: Findings
    differ_before: int
    differ_after: list[str]
    repaired_after: int | None
    helped: int
    faults: dict[str, int]
    runs: dict[str, int]
    repaired: int
    clock_off: tuple[float, float]
    seconds: float
    words: list[str] = field(default_factory=list)


class Storm:
    """Everything that runs, and the order in which it happens."""

    def __init__(self, plan: Plan, folder: Path, stack: ExitStack) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed + 3)
        self._database = DatabaseSide()
        stack.callback(self._database.close)
        ports = [product.free_port() for _ in range(2)]
        urls = [f"http://127.0.0.1:{port}/webhook" for port in ports]
        self._stripe = StripeProcess(plan, urls, _SIGNING_SECRET, _KEY)
        stack.callback(self._stripe.close)
        environ = product.environment(
            DATABASE_URL=self._database.url,
            STRIPE_API_BASE=self._stripe.url,
            STRIPE_SECRET_KEY=_KEY,
            STRIPE_WEBHOOK_SECRET=_SIGNING_SECRET,
            LEASE_SECONDS=str(_LEASE_SECONDS),
            GRACE_SECONDS="2",
            MAX_REPAIRS="60%",
            DEADLINE_SECONDS="120",
        )
        done = product.run("migrate", environ=environ)
        if done.returncode != 0:
            raise RuntimeError(f"migrate failed:\n{done.stderr}")
        self._database.prepare()
        self._webhooks = []
        for number, port in enumerate(ports):
            service = WebhookService(port, environ, folder / f"webhook-{number}.log")
            stack.callback(service.end)
            self._webhooks.append(service)
        self._reconciler = Reconciler(environ, folder)
        stack.callback(self._end_runs)
        self._faults = Faults(
            plan,
            database=self._database,
            webhooks=self._webhooks,
            reconciler=self._reconciler,
            stripe=self._stripe,
        )
        self._judge = Judge(self._database, self._stripe.call)
        self._proofs: list[Proof] = []

    def run(self, say: Callable[[str], None]) -> Result:
        began = time.monotonic()
        plan = self._plan
        for webhook in self._webhooks:
            webhook.recover()
        clock_off = self._clock_off()
        seconds = plan.seconds
        for number in range(1, plan.rounds + 1):
            share = max(seconds / (plan.rounds - number + 1), 0.1)
            seconds -= self._live_a_round(plan.events * number // plan.rounds, share)
            faults = self._faults.counts.total()
            say(f"round {number} of {plan.rounds}: {self._made()} events, {faults} faults")
        words, events = [], self._made()
        if events < plan.events:
            words.append(
                f"{plan.seconds:.0f} s were over after {events} of {plan.events} events:"
                " the others were left out"
            )
        waiting = self._settle()
        if waiting:
            words.append(f"{waiting} letters were not accepted within {plan.settle:.0f} s")
        facts = self._stripe.facts()
        say("the storm is over; reading Stripe's history")
        self._judge.load()
        before = self._judge.differing()
        say(f"{len(before)} objects differ from Stripe; reconciling")
        # An interrupted run is resumed, and what it had compared before the calm is not looked at
        # again; the last run is the first that begins and ends in the calm.
        resumed = self._reconcile()
        last = self._reconcile()
        after = self._judge.differing()
        again = self._reconcile()
        for webhook in self._webhooks:
            webhook.stop()
        say("judging every version of every row")
        findings = self._judge.judge(facts, self._proofs)
        words += [f"{name} differed: {self._judge.explain(name)}" for name in after[:3]]
        words += [
            f"{text}, in Stripe's history: {self._judge.nearest(text)}"
            for text in findings.evidence[:3]
        ]
        words += [
            f"a reconcile in the calm did not end well: {report and report['run']}"
            for report in (resumed, last, again)
            if report is None or report["run"]["outcome"] != "success"
        ]
        return Result(
            plan=plan,
            events=events,
            facts=facts,
            findings=findings,
            differ_before=len(before),
            differ_after=after,
            repaired_after=None if again is None else again["counts"]["drift"],
            helped=self._reconciler.helped + sum(one.helped for one in self._webhooks),
            faults={name: self._faults.counts[name] for name in self._faults.names()},
            runs=dict(self._reconciler.endings),
            repaired=self._reconciler.repaired,
            clock_off=(clock_off, self._clock_off()),
            seconds=time.monotonic() - began,
            words=words,
        )

    def _made(self) -> int:
        return self._stripe.progress().events

    def _live_a_round(self, until_events: int, seconds: float) -> float:
        """Life, faults and reconcile at once; then a moment's calm in which the clock jumps.

        The calm before the next round ends with a run that is killed in the middle of its repairs.
        Returns for how many seconds there was life.
        """
        began, made = time.monotonic(), self._made()
        self._stripe.tell("live", until_events=until_events, seconds=seconds)
        self._faults.start()
        with self._reconciling():
            while (progress := self._stripe.progress()).living:
                share = max(
                    (progress.events - made) / (until_events - made),
                    (time.monotonic() - began) / seconds,
                )
                if share > 1 - self._plan.lull:
                    self._faults.stop()
                threading.Event().wait(0.2)
            lived = time.monotonic() - began
            self._faults.stop()
        self._stripe.tell("pause")
        self._stripe.tell("jump", seconds=self._plan.jump)
        if until_events < self._plan.events:
            # With the faults at work hardly a run gets as far as its repairs; this one does.
            with self._faults.ambushed(IN_REPAIR):
                self._reconcile()
            self._compare()
        self._stripe.tell("resume")
        return lived

    def _compare(self) -> None:
        """A whole run in the calm, and what it proves of every row; late letters come after it."""
        self._reconcile()
        since = self._stripe.call("now") - _LIST_LAG
        report = self._reconcile()
        if report is not None and report["run"]["outcome"] == "success":
            self._proofs.append(self._judge.proof(since))

    @contextmanager
    def _reconciling(self) -> Iterator[None]:
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                self._reconciler.run()
                over.wait(self._chance.uniform(0.2, 2.0))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            self._reconciler.stop()
            thread.join()

    def _settle(self) -> int:
        """Let every service stand again and every letter arrive; how many did not."""
        for webhook in self._webhooks:
            webhook.recover()
        self._stripe.tell("hurry")
        deadline = time.monotonic() + self._plan.settle
        while (waiting := self._stripe.progress().waiting) and time.monotonic() < deadline:
            threading.Event().wait(0.2)
        self._stripe.tell("pause")
        self._stripe.tell("jump", seconds=self._plan.list_lag)
        return waiting

    def _reconcile(self) -> dict[str, Any] | None:
        """A run in the calm that gets the lease; a killed run's has to expire first."""
        deadline = time.monotonic() + 4 * _LEASE_SECONDS
        while True:
            ending, report = self._reconciler.run(DEADLINE_SECONDS="0")
            if ending != NO_RUN or time.monotonic() > deadline:
                return report
            threading.Event().wait(1.0)

    def _clock_off(self) -> float:
        now: float = self._stripe.call("now")
        return now - time.time()

    def _end_runs(self) -> None:
        for process in self._reconciler.processes():
            process.kill()


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Result:
    """Run it, with the processes' logs in `folder`; no process is left, also after an error."""
    with ExitStack() as stack:
        return Storm(plan, folder, stack).run(say)
