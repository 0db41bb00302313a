"""Both sides of one step of a window, once all that is in sync is taken away. Pure."""

from __future__ import annotations

from operator import attrgetter

from reconcile.comparison.compare import Listed, sift
from reconcile.comparison.findings import Findings
from reconcile.comparison.known_rows import fingerprints
from reconcile.windows.listing import Step
from reconcile.windows.window import Window
from shared.errors import UnreadableObject
from shared.objects.declaration import Held, MirroredObject
from shared.repository.window import WindowRow, WindowRows


def take_step(
    mirrored: MirroredObject, rows: WindowRows, step: Step, access: frozenset[str]
) -> tuple[Findings, dict[str, Held], dict[str, Listed]]:
    """Take the rows of a step out of `rows`, and return what is left to compare on either side.

    What is in sync, and what cannot be read, is counted; what was recognised is gone already.
    `access`: the statuses that let a customer in, empty for objects that have no status.
    """
    found = Findings(mirrored=mirrored, window=Window(step.floor, step.ceiling))
    counts = found.counts
    held: dict[str, Held] = {}
    listed: dict[str, Listed] = {}
    for part in step.parts:
        sifted = sift(mirrored, rows.rows, part.objects, access)
        counts.stripe += len(part.objects) + len(part.unreadable)
        counts.in_sync += len(sifted.equal)
        counts.database += len(sifted.equal)
        found.equal += fingerprints(sifted.equal, part.bodies)
        counts.granting += sifted.granting
        found.unreadable.update(sifted.unreadable)
        found.unreadable.update((one.id, str(one.error)) for one in part.unreadable)
        for one, row in sifted.unequal:
            held_row = row.held(mirrored) if row else rows.irregular.pop(one.id, None)
            try:
                content = mirrored.content(one)
            except UnreadableObject as error:
                found.unreadable[one.id] = str(error)
                counts.database += held_row is not None
                continue
            listed[content.id] = Listed(content, part.as_of)
            if held_row is not None:
                held[content.id] = held_row
    for name in found.unreadable:
        counts.database += _take(rows, name)
    held |= _unlisted(mirrored, rows, step.floor)
    counts.database += len(held)
    return found, held, listed


def never_listed(mirrored: MirroredObject, rows: WindowRows) -> set[str]:
    """Return the rows that no list names: deleted, on a test clock, or known to be missing."""
    found = {name for name, row in rows.rows.items() if row.missing is not None}
    for reason in ("deleted", "test_clock"):
        if reason in mirrored.decoded.index:
            told = attrgetter(f"content.{reason}")
            found.update(name for name, row in rows.rows.items() if told(row))
    return found


def _unlisted(mirrored: MirroredObject, rows: WindowRows, floor: int) -> dict[str, Held]:
    """Take out the rows that a list should have named by now: those from `floor` on."""
    left: list[WindowRow] = []
    for row in rows.rows.values():  # newest first
        if row.content.created < floor:
            break
        left.append(row)
    held = {row.content.id: row.held(mirrored) for row in left}
    held |= {
        name: row
        for name, row in rows.irregular.items()
        if (mirrored.created(row.row) or 0) >= floor
    }
    for name in held:
        _take(rows, name)
    return held


def _take(rows: WindowRows, name: str) -> bool:
    return (rows.rows.pop(name, None) or rows.irregular.pop(name, None)) is not None
