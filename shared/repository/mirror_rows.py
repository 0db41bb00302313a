"""Rows of the mirrored objects: read them with their revision, write them at that revision.

The caller owns the transaction (a statement in autocommit mode is one); nothing here commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.objects.column import Columns, Row
from shared.objects.declaration import Content, Held, MirroredObject
from shared.objects.difference import Fields
from shared.repository.ledger import Entry
from shared.repository.statements import statements
from shared.truth import Interval


class Write(NamedTuple):
    """One row to write: at the revision that was read before, or None where there was no row.

    `fields`: the change to record, empty for a confirmation.
    """

    content: Content
    as_of: Interval
    at_revision: int | None
    fields: Fields


class Found(NamedTuple):
    """What a decision about an event needs, read in one snapshot.

    `done`: the event's outcome in the ledger, None if it was never here. `compared`: when the
    latest comparison of all such objects began (epoch), None if there was none.
    """

    done: str | None
    compared: int | None
    held: Held | None


class Mark(NamedTuple):
    """How old a row is: its object's `created` (epoch), and when its snapshot was true."""

    created: int | None
    as_of: Interval


class _ManyRow(msgspec.Struct, array_like=True, gc=False):
    row: Row
    items: tuple[Row, ...] | None
    lower: int
    upper: int
    revision: int
    missing: int | str | None

    def held(self) -> Held:
        as_of = Interval(self.lower, self.upper)
        return Held(self.row, self.items or (), as_of, self.revision, self.missing)


_many_decoder = msgspec.json.Decoder(list[_ManyRow])
_ids_decoder = msgspec.json.Decoder(list[str])
_items_decoder = msgspec.json.Decoder(tuple[tuple[str | int | bool | None, ...], ...])


def read_held(
    connection: Connection[Any], mirrored: MirroredObject, object_id: str, event_id: str | None
) -> Found:
    """Return what the ledger says of the event, and what is held of the object."""
    parameters = {"id": object_id, "event_id": event_id}
    row = statements(mirrored).held.execute(connection, parameters).fetchone()
    assert row is not None
    done, compared, *held = row
    return Found(done, compared, _held(mirrored, held) if held[0] is not None else None)


def read_many(
    connection: Connection[Any], mirrored: MirroredObject, ids: Sequence[str]
) -> dict[str, Held]:
    """Return what is held of these ids; an id without a row is left out."""
    row = statements(mirrored).many.execute(connection, {"ids": id_list(ids)}).fetchone()
    assert row is not None
    found = _many_decoder.decode(row[0]) if row[0] is not None else []
    return {str(one.row[0]): one.held() for one in found}


def read_marks(
    connection: Connection[Any], mirrored: MirroredObject, ids: Sequence[str]
) -> dict[str, Mark]:
    """Return how old the rows of these ids are; an id without a row is left out."""
    rows = statements(mirrored).marks.execute(connection, {"ids": id_list(ids)})
    return {row[0]: Mark(row[1], Interval(row[2], row[3])) for row in rows}


def id_list(ids: Sequence[str]) -> str:
    """Return ids as the JSON that the statements take: an array of text takes psycopg 3 us each."""
    return msgspec.json.encode(ids).decode()


def boundaries(connection: Connection[Any], mirrored: MirroredObject, every: int) -> list[int]:
    """Return the `created` (epoch) of every so-manieth row that a list may name, ascending.

    There windows may be cut. Of rows that no list names every third so many gives one, too.
    """
    rows = statements(mirrored).boundaries.execute(connection, {"every": every})
    return [row[0] for row in rows]


def recorded_created(
    connection: Connection[Any], mirrored: MirroredObject, ids: Sequence[str]
) -> dict[str, int]:
    """Return the `created` (epoch) that was last recorded of each object, whatever its row says.

    It never changes at Stripe, so a row that says otherwise was written by somebody else.
    """
    parameters = {"ids": id_list(ids), "object": mirrored.name}
    return dict(statements(mirrored).recorded.execute(connection, parameters).fetchall())


def number(connection: Connection[Any], mirrored: MirroredObject) -> int:
    """Return how many rows there are."""
    row = statements(mirrored).number.execute(connection, {}).fetchone()
    assert row is not None
    return int(row[0])


def newest_ids(connection: Connection[Any], mirrored: MirroredObject, count: int) -> list[str]:
    """Return the ids of the newest rows that Stripe is believed to know.

    Not those of test clocks, which vanish with their clock.
    """
    rows = statements(mirrored).newest.execute(connection, {"count": count})
    return [row[0] for row in rows]


class Beyond(NamedTuple):
    """The rows in which no window looks.

    `absent`: how many of them Stripe's lists would leave out anyhow, known missing or deleted.
    `ids` are all others.
    """

    absent: int
    ids: list[str]


def read_beyond(connection: Connection[Any], mirrored: MirroredObject, end: int) -> Beyond:
    """Return the rows without a `created`, and those whose `created` lies outside `[0, end)`."""
    row = statements(mirrored).beyond.execute(connection, {"end": end}).fetchone()
    assert row is not None
    return Beyond(row[0], _ids_decoder.decode(row[1] or "[]"))


def _held(mirrored: MirroredObject, row: Sequence[Any]) -> Held:
    count = len(mirrored.columns)
    items = row[count]
    lower, upper, revision, missing = row[count + 1 :]
    return Held(
        row=tuple(row[:count]),
        items=_items_decoder.decode(items) if items is not None else (),
        as_of=Interval(lower, upper),
        revision=revision,
        missing_in_stripe_since=missing,
    )


def write_for_event(
    connection: Connection[Any],
    mirrored: MirroredObject,
    write: Write,
    entry: Entry,
    *,
    ended: int | None = None,
) -> bool:
    """Write one row with its items, its change and its event's ledger row, all or nothing.

    `ended`: when the snapshot of the event itself ended, where that is what is to replace the row.

    Returns False, with nothing written, where the row is no longer the one that was read, or where
    a comparison has begun since that ended. Raises
    psycopg.errors.UniqueViolation, with nothing written, where the event is done already;
    psycopg.DataError or IntegrityError where the content breaks a rule of the database.
    """
    parameters = {
        "rows": encode([write], mirrored),
        "event_id": entry.event_id,
        "type": entry.type,
        "created": entry.created,
        "api_version": entry.api_version,
        "source": entry.source,
        "outcome": entry.outcome,
        "payload": entry.payload,
        "ended": ended,
    }
    written = statements(mirrored).write_single.execute(connection, parameters)
    return written.fetchone() is not None


def write_for_run(
    connection: Connection[Any], mirrored: MirroredObject, rows: str, run_id: str
) -> set[str]:
    """Write encoded rows for a run and return the ids that were written.

    The ids that are not returned were changed, or inserted, by somebody else since they were read.
    """
    parameters = {"rows": rows, "run_id": run_id}
    written = statements(mirrored).write.execute(connection, parameters)
    return {row[0] for row in written}


def mark_missing(
    connection: Connection[Any],
    mirrored: MirroredObject,
    object_id: str,
    at_revision: int,
    *,
    since: int,
    as_of: Interval,
    run_id: str,
) -> bool:
    """Mark a row whose id Stripe does not know; False where it was changed since it was read.

    `since` (epoch) and `as_of` are Stripe's time: an event from before then changes nothing back.
    """
    parameters = {
        "id": object_id,
        "at_revision": at_revision,
        "since": since,
        "lower": as_of.lower,
        "upper": as_of.upper,
        "run_id": run_id,
    }
    marked = statements(mirrored).mark_missing.execute(connection, parameters)
    return marked.fetchone() is not None


def encode(writes: Iterable[Write], mirrored: MirroredObject) -> str:
    """Return rows as the JSON that the write statement takes."""
    return msgspec.json.encode([encoded(write, mirrored) for write in writes]).decode()


def encoded(write: Write, mirrored: MirroredObject) -> dict[str, Any]:
    """Return one row as the JSON object that the write statement takes.

    Items are left out where they are as they were: they are then not touched.
    """
    content, fields = write.content, write.fields
    row = as_object(mirrored.decoded, content.row)
    row["lower"], row["upper"] = write.as_of
    row["at_revision"] = write.at_revision
    row["fields"] = fields or None
    touched = write.at_revision is None or any(name.startswith("items.") for name in fields)
    if mirrored.items is not None and content.items is not None and touched:
        row["items"] = [as_object(mirrored.items.decoded, item) for item in content.items]
    return row


def as_object(columns: Columns, row: Row) -> dict[str, Any]:
    """Return a row as the JSON object that the statements take."""
    found: dict[str, Any] = dict(zip(columns.names, row, strict=True))
    for name in columns.as_json:
        if (value := found[name]) is not None:
            found[name] = msgspec.Raw(value.encode())
    return found
