"""Two sides of a window -> what is in sync, what differs, what must be asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from shared import truth
from shared.errors import UnreadableObject
from shared.objects.declaration import Content, Held, MirroredObject
from shared.objects.difference import Fields
from shared.repository.window import WindowRow
from shared.truth import Interval

Kind = Literal["missing_in_database", "missing_in_stripe", "differs"]


class Difference(NamedTuple):
    """One object on which the two sides differ.

    `content` is None where Stripe does not know the id, `held` where the database has no row.
    `as_of` is the interval of Stripe's side. `fields`: {field: (in the database, in Stripe)}; of
    one that the database lacks only what tells of it in brief, for it lacks all of `content`.
    """

    id: str
    kind: Kind
    held: Held | None
    content: Content | None
    as_of: Interval
    fields: Fields


class Comparison(NamedTuple):
    """What a window's two sides say.

    `doubtful` are ids of which the list may not speak: rows younger than a list may lag, items
    that are not all embedded. `absent` are rows that the list leaves out. Both must be asked for.
    """

    in_sync: int
    differences: list[Difference]
    doubtful: list[str]
    absent: list[str]


class Listed(NamedTuple):
    """One object of a list and the interval in which it was true."""

    content: Content
    as_of: Interval


class Sifted(NamedTuple):
    """What is left of a page when all that is in sync is taken away.

    `equal`: the rows in sync. `unequal`: objects with the row that they do not equal, None where
    there is none. `granting`: how many of those in sync let a customer in. `unreadable`: (id,
    reason).
    """

    equal: list[WindowRow]
    granting: int
    unequal: list[tuple[Any, WindowRow | None]]
    unreadable: list[tuple[str, str]]


def sift(
    mirrored: MirroredObject,
    rows: dict[str, WindowRow],
    objects: Iterable[Any],
    access: frozenset[str],
) -> Sifted:
    """Take what is listed out of `rows`, and settle each listed object.

    This is all that is ever done for an object in sync: both sides are of one Struct, and equal or
    not is one comparison. What is not equal may still agree (12.5 and 12.50): `compare_one` says.
    `access`: the values that let a customer in, empty for objects that let nobody in.
    """
    granting = 0
    access_of = mirrored.access_of
    equal: list[WindowRow] = []
    unequal: list[tuple[Any, WindowRow | None]] = []
    unreadable: list[tuple[str, str]] = []
    settled, take = mirrored.settled, rows.pop
    for one in objects:
        try:
            settled(one)
        except UnreadableObject as error:
            unreadable.append((one.id, str(error)))
            continue
        row = take(one.id, None)
        if row is not None and row.content == one and row.missing is None:
            equal.append(row)
            if access and access_of(one) in access:
                granting += 1
        else:
            unequal.append((one, row))
    return Sifted(equal, granting, unequal, unreadable)


def compare_window(
    mirrored: MirroredObject, held: Mapping[str, Held], listed: Mapping[str, Listed]
) -> Comparison:
    """Compare rows, read before they were listed, with what Stripe lists of the same seconds."""
    in_sync = 0
    differences: list[Difference] = []
    doubtful: list[str] = []
    for object_id, (content, as_of) in listed.items():
        row = held.get(object_id)
        if content.items is None:
            doubtful.append(object_id)
            continue
        difference = compare_one(mirrored, object_id, row, content, as_of)
        if difference is None:
            in_sync += 1
        elif row is not None and not truth.speaks_for(as_of, row.as_of):
            doubtful.append(object_id)
        else:
            differences.append(difference)
    absent: list[str] = []
    for object_id, row in held.items():
        if object_id in listed:
            continue
        if may_be_absent(mirrored, row):
            in_sync += 1
        else:
            absent.append(object_id)
    return Comparison(in_sync, differences, doubtful, absent)


def compare_one(
    mirrored: MirroredObject,
    object_id: str,
    held: Held | None,
    content: Content | None,
    as_of: Interval,
) -> Difference | None:
    """Compare one row with Stripe's whole answer; None where they agree."""
    if content is None:
        if held is None or held.missing_in_stripe_since is not None:
            return None
        if mirrored.is_emptied(held.row):
            return None  # of some objects Stripe knows no more once they are deleted
        mark: Fields = {"missing_in_stripe_since": (None, as_of.lower)}
        return Difference(object_id, "missing_in_stripe", held, None, as_of, mark)
    if held is None:
        brief = mirrored.in_brief(content)
        return Difference(object_id, "missing_in_database", None, content, as_of, brief)
    content = mirrored.completed(content, held)
    fields = mirrored.differences(held, content)
    if not fields:
        return None
    return Difference(object_id, "differs", held, content, as_of, fields)


def may_be_absent(mirrored: MirroredObject, row: Held) -> bool:
    """Return whether Stripe's list rightly leaves a row out: known missing, or deleted.

    Somebody else may have said so. Then the list names it all the same, but for what lives on a
    test clock: there a mark has to be a run's, which is set as of the answer that it tells of. A
    deletion is Stripe's where nothing is left but what Stripe leaves. `Statements.beyond` says the
    same.
    """
    if row.missing_in_stripe_since is not None:
        is_runs = row.missing_in_stripe_since == row.as_of.lower
        return is_runs or not mirrored.is_on_test_clock(row.row)
    return mirrored.is_emptied(row.row)
