"""The journal of a report: unnamed temporary files."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, islice

import msgspec

from reconcile.comparison.findings import Findings
from reconcile.journal.drift import closed, drift, tallied
from reconcile.journal.journal import Begun, count_differences, mark_done
from reconcile.journal.spool import Block, SortedSpool, Spool
from reconcile.windows.window import Window
from shared.repository import drifts
from shared.repository.drifts import Customer, DriftRow, Tally
from shared.repository.ledger import Entry
from shared.repository.progress import Progress
from shared.repository.runs import Ending


class FileJournal:
    """The journal of a report: writes nothing but unnamed temporary files.

    What a run would insert at once needs no second look; what would wait gets one.
    """

    def __init__(
        self,
        access: frozenset[str],
        who: Callable[[list[str]], dict[str, Customer]],
        still_new: Progress | None = None,
    ) -> None:
        """`who` returns those of some customers that the database knows, by id.

        `still_new`: what no run has compared to its end.
        """
        self.begun = Begun(str(uuid.uuid4()), int(time.time()))
        self.progress = still_new or Progress()
        self.inserts = False
        self.last_waiting = 0.0
        self._access = access
        self._who = who
        self._found = Spool()
        self._blocks: list[Block] = []
        self._said = SortedSpool()
        self._unsaid: dict[tuple[str, str], DriftRow] = {}
        self._later: dict[tuple[str, str], DriftRow | None] = {}

    def begin(self, began: int) -> None:
        """Note when it begins: an event from before then is history for what is compared."""
        self.progress.began = began

    def keep(self, found: Findings) -> None:
        """Spool a window's differences; what a further look finds is held in memory."""
        count_differences(self.progress, found)
        if found.waiting:
            self.last_waiting = time.monotonic()
        mirrored, access = found.mirrored, self._access
        rows = [drift(mirrored, one, access, "reported") for one in found.missing]
        rows += [drift(mirrored, one, access) for one in found.waiting]
        if found.again is not None:
            self._later[mirrored.name, found.again] = rows[0] if rows else None
        else:
            self._blocks += self._found.write(rows)
        self.progress.of(mirrored.name).add(found.counts)
        mark_done(self.progress, mirrored.name, found.window)

    def waiting(self, _names: AbstractSet[tuple[str, str]]) -> set[tuple[str, str]]:
        """Nothing waits: a report repairs nothing and enters no event."""
        return set()

    def enter(self, entries: Sequence[Entry], _covered: Window) -> set[str]:
        """Say that all are entered, for nobody else has: a report enters none."""
        return {entry.event_id for entry in entries}

    def note_events_until(self, _until: int) -> None:
        """Nothing is kept for the next run."""

    def pending(self) -> Generator[list[DriftRow], None, None]:
        """Yield what waits; what is said of it then takes its place.

        Closed before the end, as by a run that stops half-way, it keeps what was not amended as it
        was found.
        """
        rows = self._waiting()
        try:
            while batch := list(islice(rows, drifts.BATCH)):
                self._unsaid = {(row.object, row.object_id): row for row in batch}
                yield batch
        finally:
            self._say(chain(self._unsaid.values(), rows))
            self._unsaid = {}

    def amend(self, _before: list[DriftRow], after: list[DriftRow]) -> None:
        """Keep what is now said of a batch, or of a part of it."""
        for row in after:
            self._unsaid.pop((row.object, row.object_id), None)
        self._say(after)

    def repair(self, _rows: list[DriftRow]) -> list[DriftRow]:
        """Nothing is written, and so nothing is lost."""
        return []

    def refuse(self, _names: Iterable[str]) -> None:
        """Nothing waited to be written."""

    def close_waiting_events(self, _error: str) -> None:
        """No event was entered."""

    def rewind(self) -> None:
        """There is no cursor."""

    def require_lease(self) -> None:
        """There is no lease."""

    def is_gone_on_from(self) -> bool:
        """Nothing is kept for the next run."""
        return False

    def finish(self, _ending: Ending) -> None:
        """There is no lease to give back, and nobody to be told."""

    def all(self, consequence: str | None = None) -> Iterator[DriftRow]:
        """Yield every difference in order, with its customer as the database has it if it does."""
        found = self._in_order().read(consequence)
        while rows := list(islice(found, drifts.BATCH)):
            known = self._who(list({row.customer.id for row in rows if row.customer is not None}))
            for row in rows:
                customer = known.get(row.customer.id) if row.customer is not None else None
                yield msgspec.structs.replace(row, customer=customer or row.customer)

    def tallies(self) -> list[Tally]:
        """Count every difference."""
        return tallied(self._in_order().unsorted())

    def close(self) -> None:
        """Remove the spools."""
        self._found.close()
        self._said.close()

    def _in_order(self) -> SortedSpool:
        """Return what is said of all that was found, also where nobody has looked at it again."""
        self._say(self._waiting())
        return self._said

    def _say(self, rows: Iterable[DriftRow]) -> None:
        """Take rows for the report; what still waits is reported as it stands."""
        self._said.add(closed(row, "reported") if row.action == "pending" else row for row in rows)

    def _waiting(self) -> Iterator[DriftRow]:
        """Yield what waits, once; of all else nothing more is to be said."""
        for row in self._found_last():
            if row.action == "pending":
                yield row
            else:
                self._say([row])

    def _found_last(self) -> Iterator[DriftRow]:
        """Yield what was found, or what a further look at its object has found instead."""
        blocks, self._blocks = self._blocks, []
        for row in self._found.read(blocks):
            name = row.object, row.object_id
            if name in self._later:
                if self._later[name] is None:
                    yield closed(row, "in_flight")
            else:
                yield row
        later = [row for row in self._later.values() if row is not None]
        self._later.clear()
        self._found.close()
        yield from later
