"""The journal of a run that repairs: the only door through which it writes what it compared.

Each of its transactions begins at the fence, so that a run whose lease was taken writes no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

import psycopg

from reconcile.comparison.findings import Findings
from reconcile.connections import RetryingDatabase
from reconcile.journal.drift import (
    closed,
    drift,
    spooled,
    write_of,
    write_of_spooled,
)
from reconcile.journal.journal import Begun, count_differences, mark_done
from reconcile.journal.lease import Lease, give_back
from reconcile.windows.window import Window
from shared import truth
from shared.database.connection import Connection
from shared.database.fault import describe
from shared.objects.catalogue import BY_NAME, MIRRORED
from shared.objects.declaration import MirroredObject
from shared.repository import compared, drifts, fingerprints, ledger, runs
from shared.repository.drifts import DriftRow, Tally
from shared.repository.ledger import Entry
from shared.repository.progress import EVENTS, Progress
from shared.repository.write import Write, encode, mark_missing, write_for_run

T = TypeVar("T")

_LONGEST_STATEMENT = 10.0
"""Seconds for which another's statement is waited for: twice as long as any of a webhook's."""

_PULSE = 0.02


class DatabaseJournal:
    """The journal of a run that repairs; the only door through which a run writes."""

    def __init__(self, database: RetryingDatabase, lease: Lease, access: frozenset[str]) -> None:
        started = lease.started
        since = started.since if started.resumes else None
        self.begun = Begun(started.night, started.started_at, started.id, since)
        self.progress = started.progress
        self.inserts = True
        self.last_waiting = 0.0
        self._run_id = started.id
        self._night = started.night
        self._database = database
        self._access = access
        self._lease = lease
        self._steps = 0

    def begin(self, began: int) -> None:
        """Remember that the comparison begins (epoch, Stripe's clock), before any row is read.

        An event that ended before then replaces no row from now on. Statements that are under way
        may not know that yet, so they are waited for.
        """
        self.progress.began = began
        names = [mirrored.name for mirrored in MIRRORED]
        self._write(lambda connection, _: compared.remember(connection, names, began))
        tables = [mirrored.table for mirrored in MIRRORED]
        until = time.monotonic() + _LONGEST_STATEMENT
        writers = self._database.read(lambda connection: compared.writers(connection, tables))
        while writers and time.monotonic() < until:
            self._database.pause(_PULSE)
            writers &= self._database.read(lambda c: compared.writers(c, tables))

    def keep(self, found: Findings) -> None:
        """Insert a window's missing rows and keep its differences and the cursor, all or nothing.

        Raises LeaseLost, with nothing written, when another run has taken over.
        """
        count_differences(self.progress, found)
        if found.waiting:
            self.last_waiting = time.monotonic()
        refused = self._write(lambda connection, draft: self._keep(connection, draft, found))
        found.counts.unwritable += refused

    def _keep(self, connection: Connection, draft: Progress, found: Findings) -> int:
        """Return how many rows could not be written."""
        mirrored, name = found.mirrored, found.mirrored.name
        fingerprints.remember(connection, found.equal)
        refused: dict[str, str] = {}
        if found.differences or found.confirmed or found.again:
            rows = [drift(mirrored, one, self._access) for one in found.waiting]
            writes = {one.id: write_of(one) for one in (*found.missing, *found.confirmed)}
            written, refused = _write(connection, mirrored, writes, self._night)
            for one in found.missing:
                # Where somebody was quicker, the row is looked at again at the end.
                quicker = "refused" if one.id in refused else "pending"
                action = "repaired" if one.id in written else quicker
                rows.append(drift(mirrored, one, self._access, action))
            drifts.record(connection, self._night, rows)
            if found.again is not None and not rows:
                drifts.withdraw(connection, self._night, name, found.again)
        draft.of(name).add(found.counts)
        draft.of(name).unwritable += len(refused)
        mark_done(draft, name, found.window)
        return len(refused)

    def waiting(self, names: AbstractSet[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those objects, by name and id, of which a difference waits for its repair."""
        if not names:
            return set()
        ids = [name for _, name in names]
        found = self._database.read(lambda c: drifts.waiting(c, self._night, list(BY_NAME), ids))
        return found & names

    def close_waiting_events(self, error: str) -> None:
        """Let failed events with this reason be history whose rows wait no more."""
        self._write(lambda connection, _: ledger.close_waiting(connection, self._night, error))

    def pending(self) -> Generator[list[DriftRow], None, None]:
        """Yield what waits for repair, in batches."""
        last: DriftRow | None = None
        while batch := self._database.read(
            lambda connection, last=last: drifts.pending(connection, self._night, last)  # type: ignore[misc]
        ):
            yield batch
            last = batch[-1]

    def amend(self, before: list[DriftRow], after: list[DriftRow]) -> None:
        """Replace what was said of a batch."""
        changed = [new for old, new in zip(before, after, strict=True) if new is not old]
        if changed:
            self._write(lambda connection, _: drifts.record(connection, self._night, changed))

    def repair(self, rows: list[DriftRow]) -> list[DriftRow]:
        """Write a batch of waiting differences, each at the revision its window read.

        Returns those that lost: somebody changed their row meanwhile.
        """
        return self._write(lambda connection, draft: self._repair(connection, draft, rows))

    def _repair(
        self, connection: Connection, draft: Progress, rows: list[DriftRow]
    ) -> list[DriftRow]:
        lost: list[DriftRow] = []
        done: list[DriftRow] = []
        for name, mirrored in BY_NAME.items():
            mine = [row for row in rows if row.object == name]
            known = {row.object_id: row for row in mine if row.kind != "missing_in_stripe"}
            writes = {row.object_id: write_of_spooled(row) for row in known.values()}
            written, refused = _write(connection, mirrored, writes, self._night)
            for row in mine:
                if row.object_id in refused:
                    done.append(closed(row, "refused"))
                    draft.of(name).unwritable += 1
                elif row.object_id in written or self._marked(connection, mirrored, row):
                    done.append(closed(row, "repaired"))
                else:
                    lost.append(row)
        drifts.record(connection, self._night, done)
        return lost

    def refuse(self, names: Iterable[str]) -> None:
        """Note that nothing of these objects that waited is written."""
        objects = list(names)
        self._write(lambda connection, _: drifts.refuse_pending(connection, self._night, objects))

    def require_lease(self) -> None:
        """Raise LeaseLost where another run was seen to have taken over."""
        self._lease.require()

    def rewind(self) -> None:
        """Take the cursor back: what is not forbidden is compared, the next run begins anew."""

        def rewind(_: Connection, draft: Progress) -> None:
            draft.done.clear()
            draft.new = [name for name in draft.new if name in draft.forbidden]

        self._write(rewind)

    def enter(self, entries: Sequence[Entry], covered: Window) -> set[str]:
        """Enter events that never arrived, or a further attempt at failed ones, and the cursor.

        `covered`: what part of the event list is done with them. Returns the ids that were entered:
        the others have been done by somebody else meanwhile.
        """

        def enter(connection: Connection, draft: Progress) -> set[str]:
            mark_done(draft, EVENTS, covered)
            return ledger.enter_many(connection, entries)

        return self._write(enter)

    def note_events_until(self, until: int) -> None:
        """Note up to when (Stripe's clock) the event list was looked through."""
        self._write(lambda c, _: ledger.note_look(c, self._run_id, until))

    def is_gone_on_from(self) -> bool:
        """Return whether the next run goes on from this one, if it is no success."""
        return self._database.read(lambda c: runs.is_gone_on_from(c, self._run_id))

    def finish(self, ending: runs.Ending) -> None:
        """Give the lease back and keep how the run ended."""
        give_back(self._database, self._run_id, ending)

    def all(self, consequence: str | None = None) -> Iterator[DriftRow]:
        """Yield every difference of this run, or those of one consequence, in their order."""
        last: tuple[str, str, str] | None = None
        while batch := self._database.read(
            lambda connection, last=last: drifts.after(connection, self._night, last, consequence)  # type: ignore[misc]
        ):
            yield from batch
            last = batch[-1].place

    def tallies(self) -> list[Tally]:
        """Count every difference of this run."""
        return self._database.read(lambda connection: drifts.count(connection, self._night))

    def close(self) -> None:
        """Leave everything in the database."""

    def _write(self, unit: Callable[[Connection, Progress], T]) -> T:
        """Carry out a unit in one transaction, once, whatever becomes of the connection meanwhile.

        It begins at the fence: the run's row is locked until the commit, so whoever takes the lease
        over waits for this write, and this one writes nothing once somebody has. The answer to a
        commit may be lost: so the unit has a number, the row tells the last one that was committed,
        and what is found done is not done again. A draft counts once it is committed.
        """
        self._steps += 1
        number = self._steps
        unanswered: list[tuple[Progress, T]] = []

        def attempt(connection: Connection) -> tuple[Progress, T]:
            if runs.lock(connection, self._run_id) == number:
                return unanswered[-1]
            draft = self.progress.draft()
            answer = unit(connection, draft)
            runs.advance(connection, self._run_id, draft, number, lease_seconds=self._lease.seconds)
            unanswered[:] = [(draft, answer)]
            return draft, answer

        draft, answer = self._database.write(attempt)
        self.progress.adopt(draft)
        return answer

    def _marked(self, connection: Connection, mirrored: MirroredObject, row: DriftRow) -> bool:
        if row.kind != "missing_in_stripe":
            return False
        waiting = spooled(row)
        assert waiting.at_revision is not None
        return mark_missing(
            connection,
            mirrored,
            row.object_id,
            waiting.at_revision,
            since=waiting.as_of.lower,
            as_of=truth.after_answer(waiting.held_as_of, waiting.as_of),
            run_id=self._night,
        )


def _write(
    connection: Connection, mirrored: MirroredObject, writes: dict[str, Write], run_id: str
) -> tuple[set[str], dict[str, str]]:
    """Write rows in one statement; where one breaks a rule of the database, one by one.

    Returns the ids written and, by id, why a row cannot be written at all.
    """
    if not writes:
        return set(), {}
    try:
        with connection.transaction():
            rows = encode(writes.values(), mirrored)
            return write_for_run(connection, mirrored, rows, run_id), {}
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        if len(writes) == 1:
            return set(), {next(iter(writes)): describe(error)}
    written: set[str] = set()
    refused: dict[str, str] = {}
    for object_id, write in writes.items():
        one, bad = _write(connection, mirrored, {object_id: write}, run_id)
        written |= one
        refused |= bad
    return written, refused
