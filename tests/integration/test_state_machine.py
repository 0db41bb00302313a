"""Random Stripe changes, deliveries, runs and crashes interleaved on a real PostgreSQL.

STATE_MACHINE_EXAMPLES and STATE_MACHINE_STEPS make it run longer than in the suite.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from reconcile.report.model import Report, RunOutcome, totals
from sandbox.stripe_double import StripeDouble
from shared.errors import DatabaseUnavailable, Interrupted, LeaseHeld, StripeRefused
from shared.mirror import Outcome, Receipt
from shared.objects.catalogue import MIRRORED
from shared.truth import LIST_LAG
from tests import builders
from tests.integration import happenings, judge
from tests.integration.crashes import CRASHES, Crashes
from tests.integration.lived import Lived
from tests.integration.question import Question
from tests.integration.strategies import (
    BEFORE_BASIL,
    SETTINGS,
    changes,
    event_counts,
    lists,
    meddlings,
    moments,
    nights,
    numbers,
    retrievals,
    versions,
)
from tests.objects import endpoint

MOST_SUBSCRIPTIONS = 4  # with many events of each: that is where races are


class Interleavings(RuleBasedStateMachine):
    """One world: a database, a Stripe, a webhook, a nightly run."""

    url: str
    double: StripeDouble
    witness: psycopg.Connection

    def __init__(self) -> None:
        super().__init__()
        self.double.reset()
        self.control = self.double.control
        # Ahead of the host's clock, by which a run tells since when it looks for missed events.
        self.control.set_clock(int(time.time()) + 1000.25)
        self.control.switch(paused_without_items=True)
        self.crashes = Crashes(self.witness)
        self.crashes.empty_the_world()
        self._stack = contextlib.ExitStack()
        self.mirror = self._stack.enter_context(builders.mirror(self.url, self.double))
        self.accepted: set[str] = set()
        self.old_shapes: set[str] = set()
        self.proved: list[dict[str, judge.Mark]] = []
        self.question: Question | None = None
        self.hook_errors: list[BaseException] = []

    @initialize(
        lag=st.sampled_from([0.0, 30.0, 590.0]),
        quiet=st.sampled_from([0.0, 3.0, 700.0]),
        night=st.one_of(st.none(), nights),
    )
    def begin(self, lag: float, quiet: float, night: dict[str, Any] | None) -> None:
        """Most races need objects that are known, and lists that lag behind them; or a night."""
        self.control.switch(lag=lag)
        for mirrored in MIRRORED:
            Lived(self.control, mirrored)
            self._deliver(0, None)
        self.control.advance(quiet)
        if night is not None:
            self.night_after_a_change_that_was_taken_back(0, night)

    # Stripe

    @precondition(lambda self: self.question is None)
    @rule(what=changes, number=numbers, seconds=st.sampled_from([0.0, 3.0, 3.0, 40.0]))
    def change_that_arrives(self, what: str, number: int, seconds: float) -> None:
        self.change(what, number, 1)
        self._deliver(0, None)
        self.control.advance(seconds)

    @precondition(lambda self: self.question is None)
    @rule(seconds=st.sampled_from([0.3, 1.0, 3.0, 40.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.control.advance(seconds)

    @precondition(lambda self: len(self.control.ids("subscription")) < MOST_SUBSCRIPTIONS)
    @rule(
        status=st.sampled_from(["active", "incomplete", "trialing"]),
        items=st.sampled_from([1, 1, 2, 12]),
        events=event_counts,
    )
    def subscribe(self, status: str, items: int, events: int) -> None:
        wanted = [{"price": "basic", "quantity": n + 1} for n in range(items)]
        self.control.create_subscription(status=status, items=wanted, events=events)

    @rule(what=changes, number=numbers, events=event_counts)
    def change(self, what: str, number: int, events: int) -> None:
        happenings.happen(self.control, what, number, events)

    @rule(seconds=st.sampled_from([0.0, 30.0, 590.0]))
    def lists_lag(self, seconds: float) -> None:
        self.control.switch(lag=seconds)

    @rule(expanded=st.booleans())
    def customers_come_expanded(self, *, expanded: bool) -> None:
        self.control.switch(expand_customer=expanded)

    @precondition(lambda self: self.question is None)
    @rule(number=numbers, night=nights)
    def night_after_a_change_that_was_taken_back(self, number: int, night: dict[str, Any]) -> None:
        """Traps 23 and 24: lost, taken back, maybe in silence; then a night, and a delivery."""
        self.change(night["pair"][0], number, 1)
        lost = self._event(0)
        if lost is not None and not night["is_listed"]:
            self.control.list_event_late(lost, 18_000.0)
        self.control.advance(1.0)
        self.change(night["pair"][1], number, night["events"])
        self.control.advance(night["quiet"])
        self._reconcile()
        self._deliver(0, None)

    @rule(number=numbers, hours=st.sampled_from([0.2, 3.0, 20.0]))
    def list_an_event_late(self, number: int, hours: float) -> None:
        """A run knows nothing of it, so it may still be delivered, after a night or two."""
        name = self._event(number)
        if name is not None:
            self.control.list_event_late(name, hours * 3_600)

    # The webhook

    @rule(number=numbers, version=versions)
    def deliver(self, number: int, version: str | None) -> None:
        self._deliver(number, version)

    @rule(number=st.integers(0, 200))
    def deliver_again(self, number: int) -> None:
        if self.accepted:
            name = sorted(self.accepted)[number % len(self.accepted)]
            before = builders.world(self.witness)
            assert self._apply(name, None).outcome is Outcome.DUPLICATE
            assert builders.world(self.witness) == before

    @rule(one=changes, other=changes, number=numbers, when=moments, meddling=meddlings)
    def deliver_while_the_world_goes_on(
        self, one: str, other: str, number: int, when: Any, meddling: list[tuple[Any, ...]]
    ) -> None:
        """Traps 1 and 2: one second, and more happens inside the question that it needs."""
        self._change_twice(one, other, number)
        asked = endpoint(happenings.concerned(other), "retrieve")
        with self._hooked(when, lambda: self._meddle(meddling), asked):
            self._deliver(0, None)

    @rule(number=numbers, crash=st.sampled_from(CRASHES), skip=st.integers(0, 2))
    def deliver_and_crash(self, number: int, crash: str, skip: int) -> None:
        """Trap 11: whatever breaks the write leaves neither a row nor a ledger entry behind."""
        with self.crashes.armed(crash, skip), contextlib.suppress(DatabaseUnavailable):
            self._deliver(number, None)

    @rule(number=numbers, asked=retrievals)
    def lose_the_database_between_read_and_write(self, number: int, asked: str) -> None:
        hang_up = self.crashes.hang_up
        with (
            self._hooked("after_read", hang_up, asked),
            contextlib.suppress(DatabaseUnavailable),
        ):
            self._deliver(number, None)

    @precondition(lambda self: self.question is None)
    @rule(one=changes, other=changes, number=numbers, when=moments)
    def begin_a_slow_question(self, one: str, other: str, number: int, when: Any) -> None:
        """Trap 2: a question that is answered long after it was asked."""
        self._change_twice(one, other, number)
        event = self._event(0)
        if event is not None:
            asked = endpoint(happenings.concerned(other), "retrieve")
            self.question = Question(self.control, self.mirror, event, when, asked)
            if not self.question.is_open:
                self.end_the_slow_question()

    @precondition(lambda self: self.question is not None)
    @rule()
    def end_the_slow_question(self) -> None:
        assert self.question is not None
        receipt = self.question.end()
        self.question = None
        self._accept(receipt)

    # The nightly run

    @rule(
        asked=st.one_of(lists, retrievals),
        when=moments,
        meddling=meddlings,
    )
    def reconcile_while_the_world_goes_on(
        self, asked: str, when: Any, meddling: list[tuple[Any, ...]]
    ) -> None:
        """Trap 3: events are applied between the page and its write."""
        with self._hooked(when, lambda: self._meddle(meddling), asked):
            report = self._reconcile()
        assert report.run.outcome is RunOutcome.SUCCESS, report.run.reason

    @rule(crash=st.sampled_from(CRASHES), skip=st.integers(0, 4), lease_stays=st.booleans())
    def reconcile_and_crash(self, crash: str, skip: int, *, lease_stays: bool) -> None:
        """Traps 16 and 22: a killed run goes on at its cursor once its lease has expired."""
        with (
            self.crashes.armed(crash, skip, lease_stays=lease_stays),
            contextlib.suppress(DatabaseUnavailable),
        ):
            self._reconcile()
        try:
            self._reconcile()
        except LeaseHeld:
            assert lease_stays or crash == "runs"
            self.crashes.expire_the_lease()
            self._reconcile()

    @precondition(lambda self: self.question is None)
    @rule(
        asked=st.one_of(lists, st.just("events.list"), retrievals),
        when=moments,
        status=st.sampled_from([None, 401]),
    )
    def reconcile_and_stop(self, asked: str, when: Any, status: int | None) -> None:
        """Trap 23: SIGTERM, or a key that is revoked, in the middle of a run."""
        stop = threading.Event()
        if status is not None:
            self.control.fault("status", endpoint=asked, status=status, count=None)
        with (
            self._hooked(when, stop.set if status is None else lambda: None, asked),
            builders.run(self.url, self.double, stop=stop) as one,
            # Interrupted: before it had begun, at the question whose account the key is of.
            contextlib.suppress(StripeRefused, Interrupted),
        ):
            one.execute().close()
        self.control.clear_faults()

    @precondition(lambda self: self.question is None)
    @rule()
    def report(self) -> None:
        before = builders.world(self.witness)
        report = builders.reconcile(self.url, self.double, writes=False)
        assert report.run.outcome is RunOutcome.SUCCESS, report.run.reason
        assert builders.world(self.witness) == before

    # The end

    def teardown(self) -> None:
        """Deliver nothing more; one run makes the database equal to Stripe, the next finds that."""
        try:
            if self.question is not None:
                self.end_the_slow_question()
            assert not self.hook_errors, self.hook_errors
            self._judge_the_past()
            self.control.switch(lag=0.0)
            # By then the list of events shows them all.
            self.control.advance(21 * 3_600)
            report = self._reconcile()
            if report.run.compared_since is not None:
                # What the run before it had compared is not looked at again.
                report = self._reconcile()
            assert report.run.outcome is RunOutcome.SUCCESS, report.run.reason
            self._judge_the_past()
            judge.assert_present(self.witness, self.control)
            before = builders.world(self.witness, "runs")
            again = self._reconcile()
            assert again.run.outcome is RunOutcome.SUCCESS
            assert totals(again).drift == 0
            assert builders.world(self.witness, "runs") == before
        finally:
            self.control.clear_interventions()
            self._stack.close()

    def _judge_the_past(self) -> None:
        events = {name for name, _ in self.control.event_types()}
        assert self.accepted <= self._ledger() <= events
        judge.assert_past(self.witness, self.control, self.old_shapes, self.proved)

    def _ledger(self) -> set[str]:
        return {row[0] for row in self.witness.execute("SELECT id FROM stripe.events")}

    # What the rules share

    def _event(self, number: int) -> str | None:
        """Name one of the events that did not arrive yet, counted from the newest."""
        ledger = self._ledger()
        waiting = [name for name, _ in self.control.event_types() if name not in ledger]
        return waiting[-1 - number % len(waiting)] if waiting else None

    def _change_twice(self, one: str, other: str, number: int) -> None:
        """Change an object twice within one second; only the first event arrives."""
        self.change(one, number, 1)
        self._deliver(0, None)
        self.change(other, number, 1)

    def _deliver(self, number: int, version: str | None) -> None:
        name = self._event(number)
        if name is not None:
            self._accept(self._apply(name, version))

    def _apply(self, name: str, version: str | None) -> Receipt:
        body = self.control.event_body(name, api_version=version)
        receipt = builders.apply(self.mirror, body)
        if version == BEFORE_BASIL and receipt.object_id:
            self.old_shapes.add(receipt.object_id)
        return receipt

    def _accept(self, receipt: Receipt) -> None:
        assert receipt.outcome is not Outcome.FAILED, receipt
        self.accepted.add(receipt.event_id)

    def _reconcile(self) -> Report:
        """Run once, and note what a run that came to its end has proved."""
        since = self.control.now() - LIST_LAG - 1
        report = builders.reconcile(self.url, self.double)
        if report.run.outcome is RunOutcome.SUCCESS and report.run.compared_since is None:
            proved = judge.prove(self.witness, self.control, since, self.old_shapes)
            self.proved.append(proved)
        return report

    def _meddle(self, meddling: list[tuple[Any, ...]]) -> None:
        for what, *details in meddling:
            if what == "change":
                self.change(*details)
            else:
                self._deliver(details[0], None)

    @contextlib.contextmanager
    def _hooked(self, when: Any, work: Callable[[], None], asked: str) -> Iterator[None]:
        """Do some work inside the first request to an endpoint, if there is one."""

        def hook() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 (raised again by the test's own thread)
                self.hook_errors.append(error)

        if self.question is None:
            self.control.hook(hook, when=when, endpoint=asked, count=1)
        try:
            yield
        finally:
            if self.question is None:
                self.control.clear_interventions()
        assert not self.hook_errors, self.hook_errors


@pytest.fixture
def world(database_url: str, stripe_double: StripeDouble) -> Iterator[type[Interleavings]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        judge.install_witness(connection)
        Crashes(connection).install()

        class World(Interleavings):
            url = database_url
            double = stripe_double
            witness = connection

        yield World


def test_every_interleaving_ends_in_stripes_state(world: type[Interleavings]) -> None:
    """Traps 1-5, 8, 11, 16, 22: no row goes back, one run repairs all, the next finds nothing."""
    run_state_machine_as_test(world, settings=SETTINGS)
