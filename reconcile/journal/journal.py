"""What a run remembers, and how it writes: in the database, or for a report in a file.

Both keep the differences out of memory, and a run goes the same way with either. A report holds no
lease, keeps nothing for a next run and changes nothing: there its journal has nothing to do.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from reconcile.comparison.findings import Findings
from reconcile.windows.window import Window, joined
from shared.repository.drifts import DriftRow, Tally
from shared.repository.ledger import Entry
from shared.repository.progress import Progress
from shared.repository.runs import Ending


class Begun(NamedTuple):
    """What is known of a run when it begins; times in epoch seconds.

    `id`: under it drifts and changes are found, those of the unfinished run too from which this one
    goes on. `attempt`: this run's own, None for a report. `compared_since`: when the unfinished run
    began.
    """

    id: str
    started_at: int
    attempt: str | None = None
    compared_since: int | None = None


class Journal(Protocol):
    """What a run needs of its journal, whether it repairs or reports.

    `inserts`: whether what is missing is written with the window that found it. `last_waiting`:
    when the last difference was found that waits for the second look, on time.monotonic(); 0 where
    none was.
    """

    begun: Begun
    progress: Progress
    inserts: bool
    last_waiting: float

    def begin(self, began: int, /) -> None:
        """Note when the comparison of everything begins (epoch, Stripe's clock)."""

    def keep(self, found: Findings, /) -> None:
        """Keep a window's findings and the cursor behind it.

        What a further look at an object finds takes the place of what was found before.
        """

    def waiting(self, names: AbstractSet[tuple[str, str]], /) -> set[tuple[str, str]]:
        """Return those objects, by name and id, of which a difference waits for its repair."""

    def enter(self, entries: Sequence[Entry], covered: Window, /) -> set[str]:
        """Enter events that never arrived, or a further attempt at failed ones, and the cursor.

        `covered`: what part of the event list is done with them. Returns the ids that were entered:
        the others have been done by somebody else meanwhile.
        """

    def note_events_until(self, until: int, /) -> None:
        """Note up to when (Stripe's clock) the event list was looked through."""

    def pending(self) -> Generator[list[DriftRow], None, None]:
        """Yield the differences that wait, in batches; to be closed by whoever stops before."""

    def amend(self, before: list[DriftRow], after: list[DriftRow], /) -> None:
        """Replace what was said of a batch, or of a part; a row that stands is the same in both."""

    def repair(self, rows: list[DriftRow], /) -> list[DriftRow]:
        """Write a batch of waiting differences, each at the revision that was read of its row.

        Returns those that lost: somebody changed their row meanwhile.
        """

    def refuse(self, names: Iterable[str], /) -> None:
        """Note that nothing of these objects that waited is written."""

    def close_waiting_events(self, error: str, /) -> None:
        """Let failed events with this reason be history whose rows wait no more."""

    def rewind(self) -> None:
        """Take the cursor back: what is not forbidden is compared, the next run begins anew."""

    def require_lease(self) -> None:
        """Raise LeaseLost where another run was seen to have taken over."""

    def is_gone_on_from(self) -> bool:
        """Return whether the next run goes on from this one, if it is no success."""

    def finish(self, ending: Ending, /) -> None:
        """Give the lease back and keep how the run ended."""

    def all(self, consequence: str | None = None) -> Iterator[DriftRow]:
        """Yield every difference, or those of one consequence, for the report."""

    def tallies(self) -> list[Tally]:
        """Count every difference, for the report."""

    def close(self) -> None:
        """Give back what it was kept in; nothing can be read any more."""


def count_differences(progress: Progress, found: Findings) -> None:
    """Count what a window has found; a further look at an object finds nothing more."""
    if found.again is None:
        progress.drift += found.differences


def mark_done(progress: Progress, name: str, window: Window) -> None:
    """Move the cursor over a window."""
    if window.gte < window.lt:
        done = progress.done.get(name, [])
        progress.done[name] = joined(done, window)
