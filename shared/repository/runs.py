"""Runs of reconcile: the lease, the cursor, the outcome. The caller owns the transaction."""

from __future__ import annotations

from typing import Any

import msgspec
from psycopg import Connection

from shared.errors import LeaseHeld, LeaseLost

Ranges = list[tuple[int, int]]
"""Ranges `[from, to)` of `created`, in epoch seconds."""


class Progress(msgspec.Struct, kw_only=True):
    """How far a run has come: the ranges compared and the counts, by object name."""

    done: dict[str, Ranges]
    counts: dict[str, dict[str, int]]


class Started(msgspec.Struct, kw_only=True, frozen=True):
    """A run that holds the lease; `progress` is what it took over from the run it resumes."""

    id: str
    started_at: int
    resumes: str | None
    progress: Progress


def start(
    connection: Connection[Any], *, run_id: str, scope: str, holder: str, lease_seconds: int
) -> Started:
    """Take the lease, from an expired holder too, and go on from an unfinished run of this scope.

    Unfinished is a run that was stopped or failed before everything was compared and settled.

    Raises LeaseHeld while another run holds it. The unfinished run's drifts are taken over with
    its cursor, so that the report at the end is whole.
    """
    connection.execute(
        """
        UPDATE stripe.runs SET outcome = 'abandoned', finished_at = now()
        WHERE outcome IS NULL AND lease_expires_at < now()
        """
    )
    before = _unfinished(connection, scope)
    progress = before[1] if before else Progress(done={}, counts={})
    resumes = before[0] if before else None
    row = connection.execute(
        """
        INSERT INTO stripe.runs (id, scope, holder, lease_expires_at, resumes, done, counts)
        VALUES (
            %(id)s, %(scope)s, %(holder)s, now() + make_interval(secs => %(lease)s),
            %(resumes)s, %(done)s::jsonb, %(counts)s::jsonb
        )
        ON CONFLICT ((true)) WHERE outcome IS NULL DO NOTHING
        RETURNING extract(epoch FROM started_at)::bigint
        """,
        {
            "id": run_id,
            "scope": scope,
            "holder": holder,
            "lease": lease_seconds,
            "resumes": resumes,
            "done": _json(progress.done),
            "counts": _json(progress.counts),
        },
    ).fetchone()
    if row is None:
        raise _held_by(connection)
    connection.execute(
        "UPDATE stripe.drifts SET run_id = %(id)s WHERE run_id = %(before)s",
        {"id": run_id, "before": resumes},
    )
    return Started(id=run_id, started_at=row[0], resumes=resumes, progress=progress)


def _unfinished(connection: Connection[Any], scope: str) -> tuple[str, Progress] | None:
    row = connection.execute(
        """
        SELECT id::text, outcome, done::text, counts::text
        FROM stripe.runs
        WHERE scope = %(scope)s AND outcome IS NOT NULL
        ORDER BY started_at DESC
        LIMIT 1
        """,
        {"scope": scope},
    ).fetchone()
    if row is None or row[1] not in {"incomplete", "abandoned", "failed"}:
        return None
    done = msgspec.json.decode(row[2], type=dict[str, Ranges])
    if not done:
        return None
    counts = msgspec.json.decode(row[3], type=dict[str, dict[str, int]])
    return row[0], Progress(done=done, counts=counts)


def _held_by(connection: Connection[Any]) -> LeaseHeld:
    row = connection.execute(
        """
        SELECT id::text || ' on ' || holder, extract(epoch FROM lease_expires_at)::bigint
        FROM stripe.runs
        WHERE outcome IS NULL
        """
    ).fetchone()
    return LeaseHeld(*row) if row else LeaseHeld("", 0)


def advance(
    connection: Connection[Any], run_id: str, progress: Progress, *, lease_seconds: int
) -> None:
    """Keep the cursor and extend the lease. First statement of every transaction of a run.

    It is the fence too: it locks the run's row until the commit, so that whoever takes the lease
    over waits for this write, and raises LeaseLost once somebody has taken it.
    """
    row = connection.execute(
        """
        UPDATE stripe.runs
        SET done = %(done)s::jsonb,
            counts = %(counts)s::jsonb,
            lease_expires_at = now() + make_interval(secs => %(lease)s)
        WHERE id = %(id)s AND outcome IS NULL
        RETURNING 1
        """,
        {
            "id": run_id,
            "done": _json(progress.done),
            "counts": _json(progress.counts),
            "lease": lease_seconds,
        },
    ).fetchone()
    if row is None:
        raise LeaseLost("another run has taken the lease over; this one writes no more")


def events_until(connection: Connection[Any]) -> int | None:
    """Return up to when (epoch, Stripe's clock) runs have compared the event list."""
    row = connection.execute(
        "SELECT extract(epoch FROM max(events_until))::bigint FROM stripe.runs"
    ).fetchone()
    return None if row is None else row[0]


def note_events_until(connection: Connection[Any], run_id: str, until: int) -> None:
    """Note that the event list was compared up to then (epoch, Stripe's clock)."""
    connection.execute(
        """
        UPDATE stripe.runs SET events_until = to_timestamp(%(until)s)
        WHERE id = %(id)s AND outcome IS NULL
        """,
        {"id": run_id, "until": until},
    )


def finish(connection: Connection[Any], run_id: str, outcome: str) -> None:
    """Give the lease back with the run's outcome, unless it was lost before."""
    connection.execute(
        """
        UPDATE stripe.runs SET outcome = %(outcome)s, finished_at = now()
        WHERE id = %(id)s AND outcome IS NULL
        """,
        {"id": run_id, "outcome": outcome},
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
