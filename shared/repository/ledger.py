"""The ledger of events. The caller owns the transaction; nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection


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


def enter(connection: Connection[Any], entry: Entry) -> None:
    """Write the ledger row of an event that changes no object, or a further attempt at it.

    Raises psycopg.errors.UniqueViolation, with nothing written, where the event is done already.
    """
    connection.execute(
        """
        INSERT INTO stripe.events (
            id, type, object_id, created, api_version, source, outcome, error, payload
        )
        VALUES (
            %(event_id)s, %(type)s, %(object_id)s, to_timestamp(%(created)s), %(api_version)s,
            %(source)s, %(outcome)s, %(error)s, %(payload)s
        )
        ON CONFLICT (id) DO UPDATE SET
            object_id = EXCLUDED.object_id,
            outcome = EXCLUDED.outcome,
            error = EXCLUDED.error,
            payload = EXCLUDED.payload,
            attempts = events.attempts + 1,
            processed_at = now()
        """,
        {
            "event_id": entry.event_id,
            "type": entry.type,
            "object_id": entry.object_id,
            "created": entry.created,
            "api_version": entry.api_version,
            "source": entry.source,
            "outcome": entry.outcome,
            "error": entry.error,
            "payload": entry.payload,
        },
    )


def enter_many(connection: Connection[Any], entries: Sequence[Entry]) -> set[str]:
    """Write the ledger rows of events, or a further attempt at those that have failed.

    Returns the ids that were written: nothing is said anew of an event that is done.
    """
    if not entries:
        return set()
    rows = connection.execute(
        """
        INSERT INTO stripe.events (
            id, type, object_id, created, api_version, source, outcome, error, payload
        )
        SELECT id, type, object_id, to_timestamp(created), api_version, source, outcome, error,
            payload
        FROM unnest(
            %(ids)s::text[], %(types)s::text[], %(object_ids)s::text[], %(created)s::bigint[],
            %(api_versions)s::text[], %(sources)s::text[], %(outcomes)s::text[],
            %(errors)s::text[], %(payloads)s::bytea[]
        ) AS e(id, type, object_id, created, api_version, source, outcome, error, payload)
        ON CONFLICT (id) DO UPDATE SET
            object_id = coalesce(EXCLUDED.object_id, events.object_id),
            outcome = EXCLUDED.outcome,
            error = EXCLUDED.error,
            attempts = events.attempts + 1,
            processed_at = now()
        WHERE events.outcome = 'failed'
        RETURNING id
        """,
        {
            "ids": [entry.event_id for entry in entries],
            "types": [entry.type for entry in entries],
            "object_ids": [entry.object_id for entry in entries],
            "created": [entry.created for entry in entries],
            "api_versions": [entry.api_version for entry in entries],
            "sources": [entry.source for entry in entries],
            "outcomes": [entry.outcome for entry in entries],
            "errors": [entry.error for entry in entries],
            "payloads": [entry.payload for entry in entries],
        },
    )
    return {row[0] for row in rows}


def settle(connection: Connection[Any], run_id: str, error: str) -> None:
    """Let events that failed for this reason be stale, where a run has put their rows right."""
    connection.execute(
        """
        UPDATE stripe.events AS e SET outcome = 'stale', error = NULL, processed_at = now()
        FROM stripe.drifts AS d
        WHERE e.outcome = 'failed'
            AND e.error = %(error)s
            AND d.run_id = %(run_id)s
            AND d.object_id = e.object_id
            AND d.action IN ('repaired', 'in_flight')
        """,
        {"run_id": run_id, "error": error},
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
    rows = connection.execute(
        """
        SELECT count(*) OVER (), id, type, object_id, attempts, error,
            extract(epoch FROM received_at)::bigint
        FROM stripe.events
        WHERE outcome = 'failed'
        ORDER BY received_at, id
        LIMIT %(most)s
        """,
        {"most": most},
    ).fetchall()
    return (rows[0][0] if rows else 0), [Failed(*row[1:]) for row in rows]


def replayable(
    connection: Connection[Any], *, most_attempts: int | None, event_id: str | None = None
) -> list[str]:
    """Return the ids of failed events to try again, oldest first.

    Those tried `most_attempts` times already are left alone; None leaves none alone.
    """
    rows = connection.execute(
        """
        SELECT id
        FROM stripe.events
        WHERE outcome = 'failed'
            AND payload IS NOT NULL
            AND (%(most)s::int IS NULL OR attempts < %(most)s::int)
            AND (%(event_id)s::text IS NULL OR id = %(event_id)s::text)
        ORDER BY received_at, id
        """,
        {"most": most_attempts, "event_id": event_id},
    ).fetchall()
    return [row[0] for row in rows]


class Kept(NamedTuple):
    """An event of the ledger as it was signed; `created` in epoch seconds."""

    id: str
    type: str
    created: int
    body: bytes


def read(connection: Connection[Any], ids: Sequence[str]) -> list[Kept]:
    """Return these events, oldest first, where their payloads are still kept."""
    rows = connection.execute(
        """
        SELECT id, type, extract(epoch FROM created)::bigint, payload
        FROM stripe.events
        WHERE id = ANY(%(ids)s) AND payload IS NOT NULL
        ORDER BY received_at, id
        """,
        {"ids": list(ids)},
    )
    return [Kept(*row) for row in rows]


def find(connection: Connection[Any], event_id: str) -> tuple[str, bytes | None] | None:
    """Return an event's outcome and payload, None where it never arrived."""
    row = connection.execute(
        "SELECT outcome, payload FROM stripe.events WHERE id = %(id)s", {"id": event_id}
    ).fetchone()
    return None if row is None else (row[0], row[1])


def fail_again(connection: Connection[Any], event_id: str, error: str) -> None:
    """Count a further failed attempt at a failed event."""
    connection.execute(
        """
        UPDATE stripe.events
        SET attempts = attempts + 1, error = %(error)s, processed_at = now()
        WHERE id = %(id)s AND outcome = 'failed'
        """,
        {"id": event_id, "error": error},
    )


def oldest(connection: Connection[Any]) -> int | None:
    """Return when (epoch, Stripe's clock) the oldest event of the ledger was made."""
    row = connection.execute(
        "SELECT extract(epoch FROM min(created))::bigint FROM stripe.events"
    ).fetchone()
    return None if row is None else row[0]


def known(connection: Connection[Any], ids: Sequence[str]) -> dict[str, str]:
    """Return which of these events are in the ledger, and from which source."""
    rows = connection.execute(
        "SELECT id, source FROM stripe.events WHERE id = ANY(%(ids)s)", {"ids": list(ids)}
    ).fetchall()
    return dict(rows)


def drop_payloads(connection: Connection[Any], *, days: int, most: int) -> int:
    """Drop the payloads of `most` events that were done and received so many days ago.

    The rows and their outcomes stay for ever; a failed event keeps its payload until it is done.
    Returns how many were dropped.
    """
    return connection.execute(
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
        {"days": days, "most": most},
    ).rowcount
