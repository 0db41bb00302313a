"""The journal of a report: an unnamed temporary file."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, islice
from typing import IO

import msgspec

from reconcile.comparison.findings import Findings
from reconcile.journal.drift import closed, drift, tallied
from reconcile.journal.journal import Begun, count_differences, mark_done
from reconcile.journal.spool import SortedSpool
from reconcile.windows.window import Window
from shared.repository import drifts
from shared.repository.drifts import Customer, DriftRow, Tally
from shared.repository.ledger import Entry
from shared.repository.progress import Progress
from shared.repository.runs import Ending

_IN_MEMORY = 1 << 20


class FileJournal:
    """The journal of a report: writes nothing but an unnamed temporary file."""

    def __init__(
        self, access: frozenset[str], who: Callable[[list[str]], dict[str, Customer]]
    ) -> None:
        """`who` returns those of some customers that the database knows, by id."""
        self.begun = Begun(str(uuid.uuid4()), int(time.time()))
        self.progress = Progress()
        self.inserts = False
        self.last_waiting = 0.0
        self._access = access
        self._who = who
        self._spool: IO[bytes] = _spool()
        self._sorted: SortedSpool | None = None
        self._unsaid: dict[tuple[str, str], DriftRow] = {}
        self._later: dict[tuple[str, str], DriftRow | None] = {}

    def begin(self, began: int) -> None:
        """Note when it begins: an event from before then is history for what is compared."""
        self.progress.began = began

    def keep(self, found: Findings) -> None:
        """Spool a window's differences; what a further look finds is held in memory."""
        count_differences(self.progress, found)
        if found.differences:
            self.last_waiting = time.monotonic()
        rows = [
            drift(found.mirrored, difference, self._access)
            for difference in (*found.missing, *found.waiting)
        ]
        if found.again is not None:
            self._later[found.mirrored.name, found.again] = rows[0] if rows else None
            rows.clear()
        for row in rows:
            self._append(self._spool, row)
        self.progress.of(found.mirrored.name).add(found.counts)
        mark_done(self.progress, found.mirrored.name, found.window)

    def waiting(self, _names: AbstractSet[tuple[str, str]]) -> set[tuple[str, str]]:
        """Nothing waits: a report repairs nothing and enters no event."""
        return set()

    def enter(self, entries: Sequence[Entry], _covered: Window) -> set[str]:
        """Say that all are entered, for nobody else has: a report enters none."""
        return {entry.event_id for entry in entries}

    def note_events_until(self, _until: int) -> None:
        """Nothing is kept for the next run."""

    def pending(self) -> Generator[list[DriftRow], None, None]:
        """Yield what waits; amendments are kept beside and take its place at the end.

        Closed before the end, as by a run that stops half-way, it keeps what was not amended as it
        was found.
        """
        before, self._spool = self._spool, _spool()
        before.seek(0)
        rows = self._waiting(before)
        try:
            while batch := list(islice(rows, drifts.BATCH)):
                self._unsaid = {(row.object, row.object_id): row for row in batch}
                yield batch
        finally:
            for row in chain(self._unsaid.values(), rows):
                self._append(self._spool, row)
            self._unsaid = {}
            self._later.clear()
            before.close()

    def amend(self, _before: list[DriftRow], after: list[DriftRow]) -> None:
        """Spool what is now said of a batch, or of a part of it."""
        for row in after:
            self._unsaid.pop((row.object, row.object_id), None)
            self._append(self._spool, row)

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
        """Yield every difference in order; what still waits is reported as it stands."""
        yield from self._in_order().read(consequence)

    def tallies(self) -> list[Tally]:
        """Count every difference."""
        return tallied(self._in_order().unsorted())

    def close(self) -> None:
        """Remove the spools."""
        self._spool.close()
        if self._sorted is not None:
            self._sorted.close()

    def _in_order(self) -> SortedSpool:
        """Return what was found, sorted once: nothing is added after the first question."""
        if self._sorted is None:
            self._spool.seek(0)
            self._sorted = SortedSpool(self._named(self._found(self._spool)))
            self._spool.close()
        return self._sorted

    def _named(self, found: Iterator[DriftRow]) -> Iterator[DriftRow]:
        """Yield each with its last word and its customer, as the database has it if it does."""
        while rows := list(islice(found, drifts.BATCH)):
            known = self._who(list({row.customer.id for row in rows if row.customer is not None}))
            for row in rows:
                last = closed(row, "reported") if row.action == "pending" else row
                customer = known.get(row.customer.id) if row.customer is not None else None
                yield msgspec.structs.replace(last, customer=customer or row.customer)

    def _waiting(self, spool: IO[bytes]) -> Iterator[DriftRow]:
        """Yield what waits; what is closed goes on into the next spool."""
        for row in self._found(spool):
            if row.action == "pending":
                yield row
            else:
                self._append(self._spool, row)

    def _found(self, spool: IO[bytes]) -> Iterator[DriftRow]:
        """Yield what was spooled, what was found later in its place."""
        for line in spool:
            row = drifts.from_line(line)
            name = row.object, row.object_id
            if name not in self._later:
                yield row
            elif self._later[name] is None:
                yield closed(row, "in_flight")
        yield from (row for row in self._later.values() if row is not None)

    def _append(self, spool: IO[bytes], row: DriftRow) -> None:
        spool.write(drifts.as_line(row))


def _spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
