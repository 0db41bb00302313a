"""Both sides of one step of a window, once all that is in sync is taken away. Pure."""

from __future__ import annotations

from reconcile.compare import Listed, sift
from reconcile.inspected import Inspected
from reconcile.listing import Step
from reconcile.windows import Window
from shared.errors import UnreadableObject
from shared.mirrored import Held, MirroredObject
from shared.repository.window_rows import WindowRow, WindowRows


def sides(
    mirrored: MirroredObject, rows: WindowRows, step: Step, access: frozenset[str]
) -> tuple[Inspected, dict[str, Held], dict[str, Listed]]:
    """Take the rows of a step out of `rows`, and return what is left to compare on either side.

    What is in sync, and what cannot be read, is counted. `access`: the statuses that let a customer
    in, empty for objects that have no status.
    """
    found = Inspected(mirrored=mirrored, window=Window(step.floor, step.ceiling))
    counts = found.counts
    held: dict[str, Held] = {}
    listed: dict[str, Listed] = {}
    for part in step.parts:
        sifted = sift(mirrored, rows.rows, part.objects, access)
        counts["stripe"] += len(part.objects) + len(part.unreadable)
        for name in ("in_sync", "database"):
            counts[name] += sifted.in_sync
        counts["granting"] += sifted.granting
        found.unreadable.update(sifted.unreadable)
        found.unreadable.update((one.id, str(one.error)) for one in part.unreadable)
        for one, row in sifted.odd:
            held_row = row.held(mirrored) if row else rows.odd.pop(one.id, None)
            try:
                content = mirrored.content(one)
            except UnreadableObject as error:
                found.unreadable[one.id] = str(error)
                counts["database"] += held_row is not None
                continue
            listed[content.id] = Listed(content, part.as_of)
            if held_row is not None:
                held[content.id] = held_row
    for name in found.unreadable:
        counts["database"] += _take(rows, name)
    held |= _unlisted(mirrored, rows, step.floor)
    counts["database"] += len(held)
    return found, held, listed


def _unlisted(mirrored: MirroredObject, rows: WindowRows, floor: int) -> dict[str, Held]:
    """Take out the rows that a list should have named by now: those from `floor` on."""
    left: list[WindowRow] = []
    for row in rows.rows.values():  # newest first
        if row.content.created < floor:
            break
        left.append(row)
    held = {row.content.id: row.held(mirrored) for row in left}
    created = mirrored.decoded.index["created"]
    held |= {name: row for name, row in rows.odd.items() if int(row.row[created] or 0) >= floor}
    for name in held:
        _take(rows, name)
    return held


def _take(rows: WindowRows, name: str) -> bool:
    return (rows.rows.pop(name, None) or rows.odd.pop(name, None)) is not None
