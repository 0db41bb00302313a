"""After the last window: the second look, the gate, the repairs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from reconcile import gate
from reconcile.compare import compare_one
from reconcile.drift import OBJECTS, drift, fills, settled, spooled
from reconcile.gate import Limit, Tally
from reconcile.inspection import Inspector
from reconcile.journal import Journal
from reconcile.run_journal import RunJournal
from shared import log
from shared.database import Database
from shared.errors import UnreadableObject
from shared.mirrored import Held
from shared.repository import mirror_rows
from shared.repository.drifts import DriftRow

_log = logging.getLogger(__name__)

_ROUNDS = 5
_ASKERS = 8


class Plan:
    """Every change to a row that stands after the second look, held against the limit as a whole.

    Whatever stage it comes from.
    """

    def __init__(self, counts: dict[str, dict[str, int]], limit: Limit) -> None:
        """`counts`: the run's, by object name."""
        self._counts = counts
        self._limit = limit
        self._changes: Counter[str] = Counter()
        self._ending_access: Counter[str] = Counter()

    def add(self, row: DriftRow) -> None:
        """Count a difference, if it is to change a row that there is."""
        self._count(row, 1)

    def replace(self, before: DriftRow, after: DriftRow) -> None:
        """Count what is now said of an object in the place of what was."""
        self._count(before, -1)
        self._count(after, 1)

    def check(self) -> None:
        """Raise RepairRefused where it is more than is allowed."""
        gate.check(
            [
                Tally(
                    object=name,
                    rows=self._counts.get(name, {}).get("database", 0),
                    granting=self._counts.get(name, {}).get("granting", 0),
                    changes=self._changes[name],
                    ending_access=self._ending_access[name],
                )
                for name in OBJECTS
            ],
            self._limit,
        )

    def _count(self, row: DriftRow, times: int) -> None:
        if row.action == "pending" and row.kind != "missing_in_database" and not fills(row):
            self._changes[row.object] += times
            self._ending_access[row.object] += times * row.ends_access


class SecondLook:
    """The second look: what the webhook has brought in the meantime is no drift."""

    def __init__(
        self,
        database: Database,
        inspector: Inspector,
        journal: Journal,
        access: frozenset[str],
    ) -> None:
        self._database = database
        self._inspector = inspector
        self._journal = journal
        self._access = access

    def look(self, plan: Plan, alive: Callable[[], None]) -> None:
        """Look at everything that waits once more, and put what stands into the plan.

        A difference that this run has found, and whose row is untouched, stands as it was found.
        Where somebody has written the row since, or where an earlier run has found it and Stripe
        may have taken it back, Stripe is asked again. `alive` is called between two batches.
        """
        with ThreadPoolExecutor(_ASKERS, thread_name_prefix="ask") as pool:
            for before in self._journal.pending():
                alive()
                held = self._held(before)
                rows = [held[row.object].get(row.object_id) for row in before]
                after = list(pool.map(self._again, before, rows))
                self._journal.amend(before, after)
                for row in after:
                    plan.add(row)

    def ask(self, row: DriftRow) -> DriftRow:
        """Ask Stripe for one object again and return what is now to be said of it."""
        mirrored = OBJECTS[row.object]
        try:
            difference = self._inspector.one(mirrored, row.object_id).difference
        except UnreadableObject as error:
            log.event(
                _log,
                "object.unreadable",
                level=logging.ERROR,
                object=row.object,
                object_id=row.object_id,
                error=str(error),
            )
            return settled(row, "refused")
        if difference is None:
            return settled(row, "in_flight")
        return drift(mirrored, difference, self._access)

    def _held(self, rows: list[DriftRow]) -> dict[str, dict[str, Held]]:
        held: dict[str, dict[str, Held]] = {}
        for name, mirrored in OBJECTS.items():
            ids = [row.object_id for row in rows if row.object == name]
            held[name] = self._database.read(
                lambda connection, mirrored=mirrored, ids=ids: mirror_rows.read_many(  # type: ignore[misc]
                    connection, mirrored, ids
                )
            )
        return held

    def _again(self, row: DriftRow, held: Held | None) -> DriftRow:
        found = spooled(row)
        mirrored = OBJECTS[row.object]
        now = compare_one(mirrored, row.object_id, held, found.content(), found.interval)
        if now is None:
            return settled(row, "in_flight")
        is_mine = found.interval.upper > (self._journal.progress.began or 0)
        if is_mine and (held.revision if held else None) == found.at_revision:
            return row
        return self.ask(row)


def repair(journal: RunJournal, second: SecondLook, plan: Plan, still: Callable[[], None]) -> None:
    """Write everything that waits, each at the revision that was read before Stripe was asked.

    `still` is called between two batches and may stop the run: what waits goes on waiting.

    What loses its revision is asked for again, passes the gate with all that is written, and is
    tried again; a row that somebody keeps writing is in flight, and theirs.
    """
    for batch in journal.pending():
        still()
        left = batch
        for _ in range(_ROUNDS):
            lost = journal.repair(left)
            if not lost:
                break
            after = [second.ask(row) for row in lost]
            journal.amend(lost, after)
            for before, now in zip(lost, after, strict=True):
                plan.replace(before, now)
            plan.check()
            left = [row for row in after if row.action == "pending"]
        else:
            journal.amend(left, [settled(row, "in_flight") for row in left])
