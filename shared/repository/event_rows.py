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
    parameters = _parameters(mirrored, content, incoming, entry)
    row = _statement(mirrored).execute(connection, parameters, prepare=True).fetchone()
    assert row is not None
    outcome, tried, done, compared, held = row
    if tried:
        return Attempt(outcome, outcome is None, None)
    return Attempt(None, False, Found(done, compared, None if held is None else _held(held)))


def apply_in_transaction(
    connection: Connection[Any],
    mirrored: MirroredObject,
    content: Content,
    incoming: Interval,
    entry: Entry,
) -> bool:
    """Do the same within a transaction of the caller's, and return whether it was applied.

    Nothing is prepared: where a pooler has lost it, the transaction would be over.
    """
    parameters = _parameters(mirrored, content, incoming, entry)
    row = _statement(mirrored).execute(connection, parameters, prepare=False).fetchone()
    return row is not None and row[0] == "applied"


def _parameters(
    mirrored: MirroredObject, content: Content, incoming: Interval, entry: Entry
) -> dict[str, str | bytes | bool | None]:
    return {
        "row": _encode(mirrored, content, incoming),
        "id": content.id,
        "is_terminal": mirrored.is_terminal(content.row),
        "event_id": entry.event_id,
        "type": entry.type,
        "created": str(entry.created),  # an int is sent in the smallest type that holds it
        "api_version": entry.api_version,
        "source": entry.source,
        "payload": entry.payload,
    }


class _Held(NamedTuple):
    """The shape of `Held` in the statement's answer."""

    row: tuple[str | int | bool | None, ...]
    items: tuple[tuple[str | int | bool | None, ...], ...] | None
    as_of: Interval
    revision: int
    missing_in_stripe_since: int | str | None


def _held(text: str) -> Held:
    held = _decoder.decode(text)
    return Held(held.row, held.items or (), held.as_of, held.revision, held.missing_in_stripe_since)


_decoder = msgspec.json.Decoder(_Held)


@cache
def _statement(mirrored: MirroredObject) -> Statement:
    return Statement(event_text(mirrored))


def _encode(mirrored: MirroredObject, content: Content, as_of: Interval) -> str:
    row = as_object(mirrored.decoded, content.row)
    row["lower"], row["upper"] = as_of
    if mirrored.items is not None:
        columns = mirrored.items.decoded
        row["items"] = [as_object(columns, item) for item in content.items or ()]
    return msgspec.json.encode(row).decode()
