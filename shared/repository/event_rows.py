"""An event in one round trip: applied where its snapshot is simply newer, else what is held.

The caller owns the transaction (a statement in autocommit mode is one); nothing here commits.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.objects.declaration import Content, Held, MirroredObject
from shared.repository.event_statement import event_text
from shared.repository.ledger import Entry
from shared.repository.mirror_rows import Found, as_object
from shared.repository.prepared import Prepared
from shared.repository.statement import Statement
from shared.truth import Interval


class Attempt(NamedTuple):
    """What one statement made of an event.

    `outcome`: `applied` or `unchanged`, written with everything that belongs to it; None: nothing
    was written. Then `lost`: another writer was first, so try again; or else `found`, what a
    decision needs.
    """

    outcome: str | None
    lost: bool
    found: Found | None


def apply_if_newer(
    connection: Connection[Any],
    mirrored: MirroredObject,
    content: Content,
    incoming: Interval,
    entry: Entry,
) -> Attempt:
    """Write an event's whole snapshot with its change and its ledger row if it is simply newer.

    May be repeated: what is done is not done again. `entry.outcome` is not looked at. Raises
    psycopg.errors.UniqueViolation, with nothing written, where another process has done the event
    meanwhile; psycopg.DataError or IntegrityError where the content breaks a rule of the database.
    """
    assert content.items is not None, "what is not whole cannot be applied without a question"
    outcome, tried, done, compared, held = _statement(mirrored).fetch(
        connection, _parameters(mirrored, content, incoming, entry)
    )
    if tried == b"t":
        return Attempt(_text(outcome), outcome is None, None)
    found = Found(
        _text(done),
        None if compared is None else int(compared),
        None if held is None else _held(held),
    )
    return Attempt(None, False, found)


def apply_in_transaction(
    connection: Connection[Any],
    mirrored: MirroredObject,
    content: Content,
    incoming: Interval,
    entry: Entry,
) -> bool:
    """Do the same within a transaction of the caller's, and return whether it was applied.

    Not by the prepared statement: where a pooler has lost that, the transaction would be over.
    """
    parameters = _parameters(mirrored, content, incoming, entry)
    as_text = {
        name: value.decode() if value is not None and name != "payload" else value
        for name, value in parameters.items()
    }
    row = _unprepared(mirrored).execute(connection, as_text).fetchone()
    return row is not None and row[0] == "applied"


def _parameters(
    mirrored: MirroredObject, content: Content, incoming: Interval, entry: Entry
) -> dict[str, bytes | None]:
    return {
        "row": _encode(mirrored, content, incoming),
        "id": content.id.encode(),
        "is_terminal": b"t" if mirrored.is_terminal(content.row) else b"f",
        "event_id": entry.event_id.encode(),
        "type": entry.type.encode(),
        "created": b"%d" % entry.created,
        "api_version": None if entry.api_version is None else entry.api_version.encode(),
        "source": entry.source.encode(),
        "payload": entry.payload,
    }


class _Held(NamedTuple):
    """The shape of `Held` in the statement's answer."""

    row: tuple[str | int | bool | None, ...]
    items: tuple[tuple[str | int | bool | None, ...], ...] | None
    as_of: Interval
    revision: int
    missing_in_stripe_since: int | str | None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _held(text: bytes) -> Held:
    held = _decoder.decode(text)
    return Held(held.row, held.items or (), held.as_of, held.revision, held.missing_in_stripe_since)


_decoder = msgspec.json.Decoder(_Held)


@cache
def _statement(mirrored: MirroredObject) -> Prepared:
    return Prepared(event_text(mirrored), binary="payload")


@cache
def _unprepared(mirrored: MirroredObject) -> Statement:
    return Statement(event_text(mirrored))


def _encode(mirrored: MirroredObject, content: Content, as_of: Interval) -> bytes:
    row = as_object(mirrored.decoded, content.row)
    row["lower"], row["upper"] = as_of
    if mirrored.items is not None:
        columns = mirrored.items.decoded
        row["items"] = [as_object(columns, item) for item in content.items or ()]
    return msgspec.json.encode(row)
