"""Up to when Stripe's event list was looked through. The caller owns the transaction."""

from __future__ import annotations

from typing import Any

from psycopg import Connection


def reached(connection: Connection[Any]) -> int | None:
    """Return up to when (epoch, Stripe's clock) the last look at the event list has come."""
    row = connection.execute(
        """
        SELECT extract(epoch FROM events_until)::bigint
        FROM stripe.runs
        WHERE events_until IS NOT NULL
        ORDER BY started_at DESC
        LIMIT 1
        """
    ).fetchone()
    return None if row is None else row[0]


def note(connection: Connection[Any], run_id: str, until: int) -> None:
    """Note that the event list was looked through up to then (epoch, Stripe's clock)."""
    connection.execute(
        """
        UPDATE stripe.runs SET events_until = to_timestamp(%(until)s)
        WHERE id = %(id)s AND outcome IS NULL
        """,
        {"id": run_id, "until": until},
    )


def first(connection: Connection[Any]) -> int | None:
    """Return up to when (epoch, Stripe's clock) the first look at the event list has come."""
    row = connection.execute(
        "SELECT extract(epoch FROM min(events_until))::bigint FROM stripe.runs"
    ).fetchone()
    return None if row is None else row[0]
