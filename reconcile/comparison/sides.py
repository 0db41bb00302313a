"""Both sides of one step of a window, once all that is in sync is taken away. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter

from reconcile.comparison.compare import Listed, sift
from reconcile.comparison.findings import Findings
from reconcile.windows.listing import Step
from reconcile.windows.window import Window
from shared.errors import UnreadableObject
from shared.objects.declaration import Held, MirroredObject
from shared.repository.fingerprints import Fingerprint
from shared.repository.progress import Counts
from shared.repository.window import WindowRow, WindowRows
from shared.stripe.recognition import Body, Known


def sides(
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
        found.equal += _fingerprints(sifted.equal, part.bodies)
        counts.granting += sifted.granting
        found.unreadable.update(sifted.unreadable)
        found.unreadable.update((one.id, str(one.error)) for one in part.unreadable)
        for one, row in sifted.odd:
            held_row = row.held(mirrored) if row else rows.odd.pop(one.id, None)
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


def take_recognised(rows: WindowRows, step: Step, access: frozenset[str]) -> Counts:
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


def unrecognised(rows: WindowRows, step: Step) -> list[str]:
    """Return the ids of rows that are to be compared after all: their bodies are others now.

    Or no list names them, though they lie in what is listed.
    """
    if not rows.known:
        return []
    listed = {one.id for part in step.parts for one in part.objects}
    listed.update(one.id for part in step.parts for one in part.unreadable)
    return [name for name, one in rows.known.items() if one.created >= step.floor or name in listed]


def put_back(
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
        row = again.rows.get(name) or again.odd.get(name)
        if row is None:
            continue  # deleted by hand since
        if row.revision != known.revision and name in listed:
            overtaken.append(known)
        elif isinstance(row, Held):
            rows.odd[name] = row
        elif row.content.created is not None and row.content.created >= step.floor:
            late[name] = row
        else:  # somebody has moved it: out of the order in which rows are looked through
            rows.odd[name] = row.held(mirrored)
    if late:
        # In front, so that what is left unlisted is found: none of it lies below the step's floor.
        others = dict(rows.rows)
        rows.rows.clear()
        rows.rows.update(late)
        rows.rows.update(others)
    return overtaken


def never_listed(mirrored: MirroredObject, rows: WindowRows) -> set[str]:
    """Return the rows that no list names: deleted, on a test clock, or known to be missing."""
    found = {name for name, row in rows.rows.items() if row.missing is not None}
    for reason in ("deleted", "test_clock"):
        if reason in mirrored.decoded.index:
            told = attrgetter(f"content.{reason}")
            found.update(name for name, row in rows.rows.items() if told(row))
    return found


def _fingerprints(equal: Iterable[WindowRow], bodies: Mapping[str, Body]) -> Iterator[Fingerprint]:
    for row in equal if bodies else ():
        if (body := bodies.get(row.content.id)) is not None:
            yield Fingerprint(row.content.id, row.hash, body.length, body.hash)


def _unlisted(mirrored: MirroredObject, rows: WindowRows, floor: int) -> dict[str, Held]:
    """Take out the rows that a list should have named by now: those from `floor` on."""
    left: list[WindowRow] = []
    for row in rows.rows.values():  # newest first
        if row.content.created < floor:
            break
        left.append(row)
    held = {row.content.id: row.held(mirrored) for row in left}
    held |= {
        name: row for name, row in rows.odd.items() if (mirrored.created(row.row) or 0) >= floor
    }
    for name in held:
        _take(rows, name)
    return held


def _take(rows: WindowRows, name: str) -> bool:
    return (rows.rows.pop(name, None) or rows.odd.pop(name, None)) is not None
