"""Where a run keeps what it found: the database for a run that repairs, a file for a report.

Both keep the differences out of memory. Only the database's journal has a lease, a cursor and
writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

import msgspec

from reconcile.comparison.findings import Inspected
from reconcile.windows.window import Window, joined
from shared.repository.drifts import DriftRow, Tally
from shared.repository.runs import Progress

EVENTS = "events"
"""The name under which the cursor through Stripe's event list is kept."""


class Journal(Protocol):
    """What a run needs of its journal, whether it repairs or reports."""

    progress: Progress

    def begin(self, began: int) -> None:
        """Note when the comparison of everything begins (epoch, Stripe's clock)."""

    def keep(self, found: Inspected) -> None:
        """Keep a window's findings and the cursor behind it.

        What a further look at an object finds takes the place of what was found before.
        """

    def waiting(self, names: AbstractSet[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those objects, by name and id, of which a difference waits for its repair."""

    def pending(self) -> Generator[list[DriftRow], None, None]:
        """Yield the differences that wait, in batches; to be closed by whoever stops before."""

    def amend(self, before: list[DriftRow], after: list[DriftRow]) -> None:
        """Replace what was said of a batch, or of a part; a row that stands is the same in both."""

    def all(self, consequence: str | None = None) -> Iterator[DriftRow]:
        """Yield every difference, or those of one consequence, for the report."""

    def tallies(self) -> list[Tally]:
        """Count every difference, for the report."""

    def close(self) -> None:
        """Give back what it was kept in; nothing can be read any more."""


class Draft:
    """What a transaction makes of a run's cursor and counts: they count when it is committed."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    @classmethod
    def of(cls, progress: Progress) -> Draft:
        """Begin with what is committed."""
        done = {name: list(ranges) for name, ranges in progress.done.items()}
        counts = {name: dict(of) for name, of in progress.counts.items()}
        return cls(msgspec.structs.replace(progress, done=done, counts=counts))

    def add(self, name: str, counts: Counter[str]) -> None:
        """Add a window's counts to an object's."""
        add(self.progress, name, counts)

    def mark_done(self, name: str, window: Window) -> None:
        """Move the cursor over a window."""
        mark_done(self.progress, name, window)

    def rewind(self) -> None:
        """Take the cursor back."""
        self.progress.done.clear()

    def adopt(self, progress: Progress) -> None:
        """Let it be the run's."""
        for name in ("done", "counts"):
            mine: dict[str, Any] = getattr(progress, name)
            mine.clear()
            mine.update(getattr(self.progress, name))


def add(progress: Progress, name: str, counts: Counter[str]) -> None:
    """Add a window's counts to an object's."""
    total = Counter(progress.counts.get(name, {}))
    total.update(counts)
    progress.counts[name] = dict(total)


def mark_done(progress: Progress, name: str, window: Window) -> None:
    """Move the cursor over a window."""
    if window.gte < window.lt:
        done = progress.done.get(name, [])
        progress.done[name] = joined(done, window)
