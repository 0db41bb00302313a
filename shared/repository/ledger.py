"""The ledger of events. The caller owns the transaction; nothing here commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
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


def failed(connection: Connection[Any]) -> tuple[int, int | None]:
    """Return how many events have failed so far, and when the oldest was received (epoch)."""
    row = connection.execute(
        """
        SELECT count(*), extract(epoch FROM min(received_at))::bigint
        FROM stripe.events
        WHERE outcome = 'failed'
        """
    ).fetchone()
    assert row is not None
    return row[0], row[1]
