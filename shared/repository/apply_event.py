"""An event's two statements: what a decision about it needs is read, and its outcome is written.

The caller owns the transaction (a statement in autocommit mode is one); nothing here commits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.objects.declaration import Held, MirroredObject
from shared.repository import column_sql as sql
from shared.repository import compared, ledger
from shared.repository.ledger import Entry
from shared.repository.statement import object_statement
from shared.repository.write import Write, encode, written

_decoder = msgspec.json.Decoder(Held)


class Found(NamedTuple):
    """What a decision about an event needs, read in one snapshot.

    `done`: the event's outcome in the ledger, None if it was never here. `compared`: when the
    latest comparison of all such objects began (epoch), None if there was none.
    """

    done: str | None
    compared: int | None
    held: Held | None


def look(
    connection: Connection[Any], mirrored: MirroredObject, object_id: str, event_id: str | None
) -> Found:
    """Return what the ledger says of the event, and what is held of the object."""
    parameters = {"id": object_id, "event_id": event_id}
    row = _LOOK.of(mirrored).execute(connection, parameters).fetchone()
    assert row is not None
    done, compared_at, held = row
    return Found(done, compared_at, None if held is None else _decoder.decode(held))


_LOOK = object_statement(
    look,
    lambda mirrored: (
        f"""
SELECT
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    {compared.began(mirrored)},
    (
        SELECT
        {sql.held_row(mirrored)}::text
        FROM stripe.{mirrored.table} AS o
        WHERE o.id = %(id)s::text
    )
"""
    ),
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
    parameters = {**msgspec.structs.asdict(entry), "ended": ended}
    parameters["rows"] = encode([write], mirrored)
    row = _WRITE_FOR_EVENT.of(mirrored).execute(connection, parameters).fetchone()
    return row is not None


def _text_for_event(mirrored: MirroredObject) -> str:
    """Write one row, and its event's ledger row.

    Nothing is written where a comparison has begun since an event's snapshot `ended` that is to
    replace the row; NULL for what Stripe was asked for. LIMIT 1 tells the planner that it is one
    row: it expects a hundred rows of JSON, and would read a table of up to 15,000 rows from end to
    end for them; a parameter would have it plan anew for each event.
    """
    only = f"""
    WHERE NOT {compared.is_history(mirrored, "%(ended)s::bigint")}
    LIMIT 1"""
    return f"""{written(mirrored, only)},
ledger AS (
    {ledger.entered(ledger.one_event("w.id", "%(outcome)s::text", "FROM written AS w"))}
)
SELECT id FROM written
"""


_WRITE_FOR_EVENT = object_statement(write_for_event, _text_for_event)
