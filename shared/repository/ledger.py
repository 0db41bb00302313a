"""The ledger of events. The caller owns the transaction; nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.repository.statement import statement


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event's ledger row; `created` in epoch seconds, `payload` as it was signed."""

    event_id: str
    type: str
    object_id: str | None
    created: int
    api_version: str | None
    source: str
    outcome: str
    error: str | None
    payload: bytes


def entered(events: str) -> str:
    """Return what writes the ledger rows of the `events` that a query yields.

    A further attempt at one that is there replaces what was said of it; of one that is done already
    it raises psycopg.errors.UniqueViolation, with nothing written.
    """
    return f"""INSERT INTO stripe.events (
        id, type, object_id, created, api_version, source, outcome, error, payload
    )
    {events}
    ON CONFLICT (id) DO UPDATE SET
        object_id = coalesce(EXCLUDED.object_id, events.object_id),
        outcome = EXCLUDED.outcome,
        error = EXCLUDED.error,
        payload = EXCLUDED.payload,
        attempts = events.attempts + 1,
        processed_at = now()"""


def one_event(object_id: str, outcome: str, of: str = "") -> str:
    """Return the query that yields the one event of an `Entry`; `of`: where the two come from."""
    return f"""SELECT
        %(event_id)s::text, %(type)s::text, {object_id}, to_timestamp(%(created)s::bigint),
        %(api_version)s::text, %(source)s::text, {outcome}, %(error)s::text, %(payload)s::bytea
    {of}""".rstrip()


def enter(connection: Connection[Any], entry: Entry) -> None:
    """Write the ledger row of an event that changes no object, or a further attempt at it.

    Raises psycopg.errors.UniqueViolation, with nothing written, where the event is done already.
    """
    _ENTER.execute(connection, msgspec.structs.asdict(entry))


_ENTER = statement(enter, entered(one_event("%(object_id)s::text", "%(outcome)s::text")))


def enter_many(connection: Connection[Any], entries: Sequence[Entry]) -> set[str]:
    """Write the ledger rows of events, or a further attempt at those that have failed.

    Returns the ids that were written: nothing is said anew of an event that is done.
    """
    if not entries:
        return set()
    columns = {
        f"{name}s": [getattr(entry, name) for entry in entries] for name in Entry.__struct_fields__
    }
    return {row[0] for row in _ENTER_MANY.execute(connection, columns)}


_ENTER_MANY = statement(
    enter_many,
    entered("""SELECT
        id, type, object_id, to_timestamp(created), api_version, source, outcome, error, payload
    FROM unnest(
        %(event_ids)s::text[], %(types)s::text[], %(object_ids)s::text[], %(createds)s::bigint[],
        %(api_versions)s::text[], %(sources)s::text[], %(outcomes)s::text[], %(errors)s::text[],
        %(payloads)s::bytea[]
    ) AS e (id, type, object_id, created, api_version, source, outcome, error, payload)""")
    + """
    WHERE events.outcome = 'failed'
    RETURNING id
""",
)


def close_waiting(connection: Connection[Any], run_id: str, error: str) -> None:
    """Let events that failed for this reason be stale, where a run has put their rows right."""
    _CLOSE_WAITING.execute(connection, {"run_id": run_id, "error": error})


_CLOSE_WAITING = statement(
    close_waiting,
    """
UPDATE stripe.events AS e SET outcome = 'stale', error = NULL, processed_at = now()
FROM stripe.drifts AS d
WHERE e.outcome = 'failed'
    AND e.error = %(error)s
    AND d.run_id = %(run_id)s
    AND d.object_id = e.object_id
    AND d.action IN ('repaired', 'in_flight')
""",
)


class Failed(NamedTuple):
    """A ledger row that could not be applied so far; `received_at` in epoch seconds."""

    event_id: str
    type: str
    object_id: str | None
    attempts: int
    error: str | None
    received_at: int


def failed(connection: Connection[Any], most: int) -> tuple[int, list[Failed]]:
    """Return how many events have failed so far, and the oldest of them, `most` at most."""
    rows = _FAILED.execute(connection, {"most": most}).fetchall()
    return (rows[0][0] if rows else 0), [Failed(*row[1:]) for row in rows]


_FAILED = statement(
    failed,
    """
SELECT count(*) OVER (), id, type, object_id, attempts, error,
    extract(epoch FROM received_at)::bigint
FROM stripe.events
WHERE outcome = 'failed'
ORDER BY received_at, id
LIMIT %(most)s
""",
)


def replayable(
    connection: Connection[Any], *, most_attempts: int | None, event_id: str | None = None
) -> list[str]:
    """Return the ids of failed events to try again, oldest first.

    Those tried `most_attempts` times already are left alone; None leaves none alone.
    """
    rows = _REPLAYABLE.execute(connection, {"most": most_attempts, "event_id": event_id}).fetchall()
    return [row[0] for row in rows]


_REPLAYABLE = statement(
    replayable,
    """
SELECT id
FROM stripe.events
WHERE outcome = 'failed'
    AND payload IS NOT NULL
    AND (%(most)s::int IS NULL OR attempts < %(most)s::int)
    AND (%(event_id)s::text IS NULL OR id = %(event_id)s::text)
ORDER BY received_at, id
""",
)


class Kept(NamedTuple):
    """An event of the ledger as it was signed; `created` in epoch seconds."""

    id: str
    type: str
    created: int
    body: bytes


def read(connection: Connection[Any], ids: Sequence[str]) -> list[Kept]:
    """Return these events, oldest first, where their payloads are still kept."""
    rows = _READ.execute(connection, {"ids": list(ids)})
    return [Kept(*row) for row in rows]


_READ = statement(
    read,
    """
SELECT id, type, extract(epoch FROM created)::bigint, payload
FROM stripe.events
WHERE id = ANY(%(ids)s) AND payload IS NOT NULL
ORDER BY received_at, id
""",
)


def find(connection: Connection[Any], event_id: str) -> str | None:
    """Return an event's outcome, None where it never arrived."""
    row = _FIND.execute(connection, {"id": event_id}).fetchone()
    return None if row is None else row[0]


_FIND = statement(
    find,
    """
SELECT outcome FROM stripe.events WHERE id = %(id)s
""",
)


def fail_again(connection: Connection[Any], event_id: str, error: str) -> None:
    """Count a further failed attempt at a failed event."""
    _FAIL_AGAIN.execute(connection, {"id": event_id, "error": error})


_FAIL_AGAIN = statement(
    fail_again,
    """
UPDATE stripe.events
SET attempts = attempts + 1, error = %(error)s, processed_at = now()
WHERE id = %(id)s AND outcome = 'failed'
""",
)


def oldest(connection: Connection[Any]) -> int | None:
    """Return when (epoch, Stripe's clock) the oldest event of the ledger was made."""
    row = _OLDEST.execute(connection).fetchone()
    return None if row is None else row[0]


_OLDEST = statement(
    oldest,
    """
SELECT extract(epoch FROM min(created))::bigint FROM stripe.events
""",
)


def known(connection: Connection[Any], ids: Sequence[str]) -> dict[str, str]:
    """Return which of these events are in the ledger, and from which source."""
    rows = _KNOWN.execute(connection, {"ids": list(ids)}).fetchall()
    return dict(rows)


_KNOWN = statement(
    known,
    """
SELECT id, source FROM stripe.events WHERE id = ANY(%(ids)s)
""",
)


def drop_payloads(connection: Connection[Any], *, days: int, most: int) -> int:
    """Drop the payloads of `most` events that were done and received so many days ago.

    The rows and their outcomes stay for ever; a failed event keeps its payload until it is done.
    Returns how many were dropped.
    """
    return _DROP_PAYLOADS.execute(connection, {"days": days, "most": most}).rowcount


_DROP_PAYLOADS = statement(
    drop_payloads,
    """
UPDATE stripe.events SET payload = NULL
WHERE id IN (
    SELECT id
    FROM stripe.events
    WHERE payload IS NOT NULL
        AND outcome <> 'failed'
        AND received_at < now() - make_interval(days => %(days)s)
    ORDER BY received_at
    LIMIT %(most)s
)
""",
)


def looked_until(connection: Connection[Any]) -> int | None:
    """Return up to when (epoch, Stripe's clock) the last look at the event list has come."""
    row = _LOOKED_UNTIL.execute(connection).fetchone()
    return None if row is None else row[0]


_LOOKED_UNTIL = statement(
    looked_until,
    """
SELECT extract(epoch FROM events_until)::bigint
FROM stripe.runs
WHERE events_until IS NOT NULL
ORDER BY started_at DESC
LIMIT 1
""",
)


def note_look(connection: Connection[Any], run_id: str, until: int) -> None:
    """Note that the event list was looked through up to then (epoch, Stripe's clock)."""
    _NOTE_LOOK.execute(connection, {"id": run_id, "until": until})


_NOTE_LOOK = statement(
    note_look,
    """
UPDATE stripe.runs SET events_until = to_timestamp(%(until)s)
WHERE id = %(id)s AND outcome IS NULL
""",
)


def first_look(connection: Connection[Any]) -> int | None:
    """Return up to when (epoch, Stripe's clock) the first look at the event list has come."""
    row = _FIRST_LOOK.execute(connection).fetchone()
    return None if row is None else row[0]


_FIRST_LOOK = statement(
    first_look,
    """
SELECT extract(epoch FROM min(events_until))::bigint FROM stripe.runs
""",
)
