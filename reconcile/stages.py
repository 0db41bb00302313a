"""The stages of a run, each as one method, in the order in which `Run` goes through them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from reconcile.comparison.findings import Findings
from reconcile.comparison.inspector import Inspector
from reconcile.comparison.known_rows import KnownRows
from reconcile.comparison.object_inspector import ObjectInspector
from reconcile.connections import RetryingDatabase
from reconcile.deadline import Watch
from reconcile.deliveries.deliveries import Deliveries
from reconcile.deliveries.events import Events
from reconcile.deliveries.expiry import expire
from reconcile.gate import Limit, Plan
from reconcile.journal.journal import Journal
from reconcile.progress import COMPARING
from reconcile.repair import SecondLook, repair
from reconcile.sweep import Sweep
from shared import log
from shared.errors import ListingBroken, RepairRefused, StripeError, UnknownId
from shared.objects.catalogue import MIRRORED, named_by
from shared.objects.declaration import MirroredObject
from shared.repository import compared
from shared.repository.account import Account
from shared.repository.rows import number
from shared.stripe.api import StripeApi

_log = logging.getLogger(__name__)

_PULSE = 1.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked to do. `deadline` on time.monotonic(), None for none; seconds else.

    `every_field`: recognise nothing by its fingerprint. `is_strict`: exit 3 where drift was found.
    `flags`: the arguments as they were typed.
    """

    writes: bool
    subscription: str | None
    limit: Limit
    grace: int
    deadline: float | None
    lease_seconds: int
    payload_days: int
    access: frozenset[str]
    every_field: bool = False
    is_strict: bool = False
    flags: tuple[str, ...] = ()


class Stages:
    """What a run does between its lease and its outcome; every method raises what stops it."""

    def __init__(
        self,
        database: RetryingDatabase,
        stripe: StripeApi,
        options: Options,
        journal: Journal,
        watch: Watch,
        account: Account,
    ) -> None:
        self._database = database
        self._stripe = stripe
        self._options = options
        self._journal = journal
        self._watch = watch
        self._fault: StripeError | None = None
        self._objects = ObjectInspector(database, stripe, options.access)
        self._inspector = Inspector(
            database,
            stripe,
            objects=self._objects,
            grace=options.grace,
            access=options.access,
            known_rows=KnownRows.of(database, recall=not options.every_field),
            watch=watch,
        )
        self._deliveries = Deliveries(database, stripe, self._objects, journal, watch, account)
        self._second_look = SecondLook(database, self._objects, journal, watch, options.access)

    def begin(self) -> None:
        """Remember that it begins, and note how many rows there are to compare.

        A run that goes on from another counts on from what that one planned; what the last one was
        to fill for the first time, and did not compare to its end, is new still.
        """
        self._watch.enter(COMPARING)
        progress = self._journal.progress
        known = self._database.read(compared.names) - {*progress.new}
        progress.new = [mirrored.name for mirrored in MIRRORED if mirrored.name not in known]
        self._journal.begin(self._stripe.now(MIRRORED))
        planned = progress.planned
        for mirrored in MIRRORED:
            if mirrored.name not in planned:
                # None where only Stripe knows.
                planned[mirrored.name] = self._rows(mirrored) or None

    def compare(self) -> None:
        """Compare every window, and keep what it comes to. Raises ListingBroken too."""
        sweep = Sweep(
            self._database, self._stripe, self._inspector, self._watch, self._journal.progress
        )
        for found in sweep.findings():
            self._journal.keep(found)
            _tell(found)
            self._watch.show()
            if sweep.is_drained:
                self._deliveries.read_ahead(self._options.grace)
        counts = self._journal.progress.counts.values()
        if left_out := sum(count.left_out for count in counts):
            raise ListingBroken(left_out)

    def look_at(self, object_id: str) -> None:
        """Compare this one subscription only. Raises UnknownId."""
        self._watch.enter(COMPARING)
        found = self._objects.single(named_by(object_id), object_id)
        counts = found.counts
        if not (counts.stripe or counts.database or counts.unreadable):
            raise UnknownId(f"neither Stripe nor the database knows {object_id}")
        self._journal.keep(found)

    def look_after_events(self) -> Events:
        """Try the failed events again, and enter the events that never arrived.

        What fails on its first try waits for the next night: once more at once would only use up an
        attempt. Without an answer from Stripe, what was compared can be repaired all the same.
        """
        self._watch.enter("events")
        if self._options.writes:
            self._deliveries.replay()
        try:
            return self._deliveries.missed(self._options.grace)
        except StripeError as error:
            self._fault = error
            return Events()

    def look_after_put_off_events(self, events: Events) -> bool:
        """Look at objects that decide no access and were put off; False where there were none.

        Counts among `events` what the next run has to try again. What stops this run from now on
        keeps none of the next one from comparing anew what decides access.
        """
        if not self._deliveries.put_off:
            return False
        self._journal.rewind()
        self._watch.enter("events")
        events.left += self._deliveries.look_after_put_off()
        return True

    def await_grace(self) -> None:
        """Wait until the youngest difference is older than the grace time."""
        self._watch.enter("second look")
        if self._journal.last_waiting:
            until = self._journal.last_waiting + self._options.grace
            while (left := until - time.monotonic()) > 0:
                self._watch.require()
                self._watch.wait(min(left, _PULSE))

    def look_again(self) -> Plan:
        """Look again at all that waits, and return what stands of it."""
        later = frozenset(self._deliveries.put_off)
        plan = Plan(self._journal.progress.counts, self._options.limit, later)
        self._second_look.look(plan)
        return plan

    def repair(self, plan: Plan, refused: Mapping[str, RepairRefused]) -> tuple[str, ...]:
        """Write what stands, but for objects that were `refused`; return why they were, by then.

        Events whose rows waited for it are history then. Raises RepairRefused where what was asked
        for again exceeds the limit.
        """
        self._watch.enter("repairs")
        held_back = repair(self._journal, self._second_look, plan, refused, self._watch)
        self._deliveries.close_waiting()
        return held_back

    def finish(self) -> None:
        """Let the next run begin anew, and drop payloads that have done their time.

        Raises the StripeError for which the events could not be looked after.
        """
        self._journal.rewind()
        if self._options.writes and self._options.subscription is None:
            self._watch.step()
            for _ in expire(self._database, self._options.payload_days):
                self._watch.step()
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Ask Stripe for nothing more."""
        self._deliveries.close()

    def _rows(self, mirrored: MirroredObject) -> int:
        return self._database.read(lambda connection: number(connection, mirrored))


def _tell(found: Findings) -> None:
    """Log what a window came to."""
    log.event(
        _log,
        "window.compared",
        level=logging.DEBUG,
        object=found.mirrored.name,
        gte=found.window.gte,
        lt=found.window.lt,
        counts=msgspec.structs.asdict(found.counts),
    )
