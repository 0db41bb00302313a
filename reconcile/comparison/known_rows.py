"""Rows that are known to be equal to a body: where Stripe sends it, nothing need be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from reconcile.comparison import compare
from reconcile.connections import RetryingDatabase
from reconcile.windows.listing import Step
from reconcile.windows.window import Window
from shared.objects.declaration import Held, MirroredObject
from shared.repository.fingerprints import Fingerprint, read_salt
from shared.repository.progress import Counts
from shared.repository.window import WindowRow, WindowRows, read_again, read_window
from shared.stripe.page import Memory
from shared.stripe.recognition import Body, Known, seed


class KnownRows:
    """The one door to the fingerprints of a run; threads share it.

    It reads the rows of a window with what is known of them, tells the list what need not be
    decoded, and takes out of the rows what the list has recognised.
    """

    def __init__(self, database: RetryingDatabase, seed: int, *, recall: bool) -> None:
        """`seed`: what the hashes begin with; without `recall` nothing is known."""
        self._database = database
        self._seed = seed
        self._recall = recall

    @classmethod
    def of(cls, database: RetryingDatabase, *, recall: bool) -> Self:
        """Begin with the database's own salt, and with the code that compares the two sides."""
        return cls(database, seed(database.read(read_salt), compare.__file__), recall=recall)

    def rows(self, mirrored: MirroredObject, window: Window) -> WindowRows:
        """Read a window's rows; of those that are known only what recognises them."""
        return self._database.read(
            lambda connection: read_window(
                connection, mirrored, window.gte, window.lt, seed=self._seed, recall=self._recall
            )
        )

    def memory(self, mirrored: MirroredObject, rows: WindowRows) -> Memory | None:
        """Return what recognises the bodies of a list, None where no row can be equal to one.

        A list may name rows that are not looked for.
        """
        is_empty = not (rows.known or rows.rows or rows.irregular)
        is_needless = is_empty and mirrored.unlisted is None
        return None if is_needless else Memory(rows.known.copy(), self._seed)

    def again(self, mirrored: MirroredObject, names: list[str]) -> WindowRows:
        """Read the rows of these ids, wherever they lie, with all that is in them."""
        return self._database.read(
            lambda connection: read_again(connection, mirrored, names, self._seed)
        )

    def take(
        self, mirrored: MirroredObject, rows: WindowRows, step: Step, access: frozenset[str]
    ) -> tuple[Counts, list[str]]:
        """Take what a step has recognised out of `rows`, and read again what it has not.

        Returns the counts of it, and the ids of rows that somebody has written in between.
        `access`: the statuses that let a customer in, empty for objects that have no status.
        """
        counts = _take_recognised(rows, step, access)
        names = _unrecognised(rows, step)
        if not names:
            return counts, []
        again = self.again(mirrored, names)
        overtaken = _put_back(mirrored, rows, again, names, step)
        counts.database += len(overtaken)
        counts.granting += sum(known.status in access for known in overtaken)
        return counts, [known.id for known in overtaken]


def fingerprints(equal: Iterable[WindowRow], bodies: Mapping[str, Body]) -> Iterator[Fingerprint]:
    """Yield what recognises rows that were found equal to their bodies, which are told by id."""
    for row in equal if bodies else ():
        if (body := bodies.get(row.content.id)) is not None:
            yield Fingerprint(row.content.id, row.hash, body.length, body.hash)


def _take_recognised(rows: WindowRows, step: Step, access: frozenset[str]) -> Counts:
    """Take out of `rows` what was recognised, and return the counts of it."""
    number = granting = 0
    take = rows.known.pop
    for part in step.parts:
        for one in part.same:
            if take(one.id, None) is not None:
                number += 1
                granting += one.status in access
    return Counts(
        recognised=number, stripe=number, database=number, in_sync=number, granting=granting
    )


def _unrecognised(rows: WindowRows, step: Step) -> list[str]:
    """Return the ids of rows that are to be compared after all: their bodies are others now.

    Or no list names them, though they lie in what is listed.
    """
    if not rows.known:
        return []
    listed = {one.id for part in step.parts for one in part.objects}
    listed.update(one.id for part in step.parts for one in part.unreadable)
    return [name for name, one in rows.known.items() if one.created >= step.floor or name in listed]


def _put_back(
    mirrored: MirroredObject, rows: WindowRows, again: WindowRows, ids: Iterable[str], step: Step
) -> list[Known]:
    """Put rows that were read again in the place of what was known of them.

    A row that somebody has written in between is a newer one than the page may speak for: where it
    is listed it is left out, so that it is asked for. Returns what was known of these.
    """
    listed = {one.id for part in step.parts for one in part.objects}
    overtaken: list[Known] = []
    late: dict[str, WindowRow] = {}
    for name in ids:
        known = rows.known.pop(name)
        row = again.rows.get(name) or again.irregular.get(name)
        if row is None:
            continue  # deleted by hand since
        if row.revision != known.revision and name in listed:
            overtaken.append(known)
        elif isinstance(row, Held):
            rows.irregular[name] = row
        elif row.content.created is not None and row.content.created >= step.floor:
            late[name] = row
        else:  # somebody has moved it: out of the order in which rows are looked through
            rows.irregular[name] = row.held(mirrored)
    if late:
        # In front, so that what is left unlisted is found: none of it lies below the step's floor.
        others = dict(rows.rows)
        rows.rows.clear()
        rows.rows.update(late)
        rows.rows.update(others)
    return overtaken
