"""Runs of reconcile: the lease, the cursor, the outcome. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.errors import LeaseHeld, LeaseLost
from shared.repository import compared
from shared.repository.progress import EVENTS, Progress
from shared.repository.statement import statement

EVERYTHING = "all"
"""The scope of a run over everything; any other scope is the id of one subscription."""

MOST_WAITING = 1_000
"""Differences that may wait in a run that is gone on from: each is asked for again, for Stripe may
have taken it back by now. With more of them it is cheaper to compare everything anew."""

LOST = "another run has taken the lease over; this one writes no more"

RESUME_HOURS = 36
"""How old an unfinished run may be to be gone on from: what it compared is as old by then."""

_progress_decoder = msgspec.json.Decoder(Progress)


class Started(msgspec.Struct, kw_only=True, frozen=True):
    """A run that holds the lease; `progress` is what it took over from the run it resumes.

    `id` is this attempt's, and fences it. `night` is the id of the run that began what this one
    goes on with, or its own: what all of them find and change is kept under it. `since`: when that
    run began (epoch).
    """

    id: str
    started_at: int
    resumes: str | None
    night: str
    since: int
    progress: Progress


class Asked(NamedTuple):
    """What a run was asked, to be kept with it: the product's version, the arguments as typed."""

    version: str | None = None
    flags: tuple[str, ...] = ()


def start(
    connection: Connection[Any],
    *,
    run_id: str,
    scope: str,
    holder: str,
    lease_seconds: int,
    asked: Asked = Asked(),  # noqa: B008 (it cannot change)
) -> Started:
    """Take the lease, from an expired holder too, and go on from an unfinished run of this scope.

    Unfinished is a run that was stopped or failed before everything was compared and settled.

    Raises LeaseHeld while another run holds it.
    """
    _abandon_expired(connection)
    before = _unfinished(connection) if scope == EVERYTHING else None
    progress = before.progress if before else compared.still_new(connection, scope)
    resumes = before.id if before else None
    row = _START.execute(
        connection,
        {
            "id": run_id,
            "scope": scope,
            "holder": holder,
            "lease": lease_seconds,
            "resumes": resumes,
            "first": before.night if before else None,
            "version": asked.version,
            "flags": [_storable(flag) for flag in asked.flags],
            **progress.kept(),
            "since": progress.since,
        },
    ).fetchone()
    if row is None:
        raise _held_by(connection)
    if before is None and scope == EVERYTHING:
        _drop_pending(connection, run_id)
    return Started(
        id=run_id,
        started_at=row[0],
        resumes=resumes,
        night=before.night if before else run_id,
        since=before.since if before else row[0],
        progress=progress,
    )


_START = statement(
    start,
    """
INSERT INTO stripe.runs (
    id, scope, holder, lease_expires_at, resumes, first, version, flags,
    done, counts, counts_before, planned, drift, new_objects, compared_since
)
VALUES (
    %(id)s, %(scope)s, %(holder)s, now() + make_interval(secs => %(lease)s),
    %(resumes)s, %(first)s, %(version)s, %(flags)s::text[],
    %(done)s::jsonb, %(counts)s::jsonb, %(counts)s::jsonb, %(planned)s::jsonb, %(drift)s,
    %(new)s::text[], to_timestamp(%(since)s::bigint)
)
ON CONFLICT ((true)) WHERE outcome IS NULL DO NOTHING
RETURNING floor(extract(epoch FROM started_at))::bigint
""",
)


def _abandon_expired(connection: Connection[Any]) -> None:
    """Note of a run whose lease has expired that it ended with its last sign of life."""
    _ABANDON_EXPIRED.execute(connection)


_ABANDON_EXPIRED = statement(
    _abandon_expired,
    """
UPDATE stripe.runs SET
    outcome = 'abandoned',
    finished_at = alive_at,
    reason = 'it gave no sign of life until its lease expired; the run that began at '
        || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC took over'
WHERE outcome IS NULL AND lease_expires_at < now()
""",
)


class _Unfinished(NamedTuple):
    id: str
    night: str
    since: int
    progress: Progress


def _unfinished(connection: Connection[Any]) -> _Unfinished | None:
    """Return the last run over everything if it is to be gone on from."""
    parameters = {"scope": EVERYTHING, "hours": RESUME_HOURS, "events": EVENTS}
    row = _UNFINISHED.execute(connection, parameters).fetchone()
    if row is None or not is_gone_on_from(connection, row[0]):
        return None
    return _Unfinished(row[0], row[1], row[2], _progress_decoder.decode(row[3]))


_UNFINISHED = statement(
    _unfinished,
    """
SELECT
    l.id::text, first.id::text, floor(extract(epoch FROM first.started_at))::bigint,
    json_build_object(
        'done', l.done,
        'counts', l.counts - %(events)s::text,
        'webhook', l.counts -> %(events)s::text,
        'planned', l.planned,
        'new', l.new_objects,
        'drift', l.drift,
        'before', l.done,
        'since', extract(epoch FROM l.compared_since)::bigint
    )::text
FROM stripe.runs AS l
JOIN stripe.runs AS first ON first.id = l.story
WHERE l.id = (
        SELECT id
        FROM stripe.runs
        WHERE scope = %(scope)s AND outcome IS NOT NULL
        ORDER BY started_at DESC
        LIMIT 1
    )
    AND l.outcome IN ('incomplete', 'abandoned', 'failed')
    -- Nights that stop may each come further; one that fails may fail in the same way for days.
    AND CASE WHEN l.outcome = 'failed' THEN first.started_at ELSE l.started_at END
        > now() - make_interval(hours => %(hours)s)
""",
)


def _drop_pending(connection: Connection[Any], run_id: str) -> None:
    """Note that what waited in the run before waits no more: this one compares it anew."""
    _DROP_PENDING.execute(connection, {"scope": EVERYTHING, "id": run_id})


_DROP_PENDING = statement(
    _drop_pending,
    """
UPDATE stripe.drifts SET action = 'dropped', spooled = NULL
WHERE action = 'pending'
    AND run_id = (
        SELECT story
        FROM stripe.runs
        WHERE scope = %(scope)s AND id <> %(id)s
        ORDER BY started_at DESC
        LIMIT 1
    )
""",
)


def is_gone_on_from(connection: Connection[Any], run_id: str) -> bool:
    """Return whether the next run goes on from this one, if it ends unfinished."""
    row = _IS_GONE_ON_FROM.execute(
        connection, {"id": run_id, "scope": EVERYTHING, "waiting": MOST_WAITING}
    ).fetchone()
    return row is not None and row[0]


_IS_GONE_ON_FROM = statement(
    is_gone_on_from,
    """
SELECT l.scope = %(scope)s AND l.done <> '{}' AND (
    SELECT count(*)
    FROM stripe.drifts AS d
    WHERE d.run_id = l.story AND d.action = 'pending'
) <= %(waiting)s
FROM stripe.runs AS l
WHERE l.id = %(id)s
""",
)


def _held_by(connection: Connection[Any]) -> LeaseHeld:
    """Say which run holds the lease, and until when."""
    row = _HELD_BY.execute(connection).fetchone()
    return LeaseHeld(*row) if row else LeaseHeld("", 0)


_HELD_BY = statement(
    _held_by,
    """
SELECT story::text || ' on ' || holder, extract(epoch FROM lease_expires_at)::bigint
FROM stripe.runs
WHERE outcome IS NULL
""",
)


def extend(
    connection: Connection[Any], run_id: str, progress: Progress, *, lease_seconds: int
) -> bool:
    """Extend the lease and tell what the run is at; False once somebody has taken it."""
    row = _EXTEND.execute(
        connection,
        {
            "id": run_id,
            "phase": progress.phase,
            "stripe_requests": progress.stripe_requests,
            "lease": lease_seconds,
        },
    ).fetchone()
    return row is not None


_EXTEND = statement(
    extend,
    """
UPDATE stripe.runs
SET phase = %(phase)s,
    stripe_requests = %(stripe_requests)s,
    lease_expires_at = now() + make_interval(secs => %(lease)s)
WHERE id = %(id)s AND outcome IS NULL
RETURNING 1
""",
)


def lock(connection: Connection[Any], run_id: str) -> int:
    """Lock the run's row until the commit, and return the number of its last write.

    First statement of every transaction of a run. It is the fence: whoever takes the lease over
    waits for this write, and it raises LeaseLost once somebody has taken it. A write of the run's
    own that is still under way, its connection lost, is waited for, too.
    """
    row = _LOCK.execute(connection, {"id": run_id}).fetchone()
    if row is None:
        raise LeaseLost(LOST)
    return int(row[0])


_LOCK = statement(
    lock,
    """
SELECT step FROM stripe.runs WHERE id = %(id)s AND outcome IS NULL FOR UPDATE
""",
)


def advance(
    connection: Connection[Any],
    run_id: str,
    progress: Progress,
    number: int,
    *,
    lease_seconds: int,
) -> None:
    """Keep the cursor, how far the run is and the number of this write, and extend the lease.

    Last statement of every transaction of a run, which has locked its row.
    """
    _ADVANCE.execute(
        connection,
        {
            "id": run_id,
            **progress.kept(),
            "since": progress.since if progress.before else progress.began,
            "number": number,
            "lease": lease_seconds,
        },
    )


_ADVANCE = statement(
    advance,
    """
UPDATE stripe.runs
SET done = %(done)s::jsonb,
    counts = %(counts)s::jsonb,
    planned = %(planned)s::jsonb,
    drift = %(drift)s,
    new_objects = %(new)s::text[],
    stripe_requests = %(stripe_requests)s,
    phase = %(phase)s,
    compared_since = to_timestamp(%(since)s::bigint),
    alive_at = now(),
    step = %(number)s,
    lease_expires_at = now() + make_interval(secs => %(lease)s)
WHERE id = %(id)s
""",
)


class Ending(NamedTuple):
    """How a run ended, to be kept with it; `totals` by consequence, None where nobody knows."""

    outcome: str
    reason: str | None = None
    totals: Mapping[str, Any] | None = None
    exit_status: int | None = None


def finish(connection: Connection[Any], run_id: str, ending: Ending) -> None:
    """Give the lease back and keep how the run ended, unless the lease was lost before."""
    _FINISH.execute(
        connection,
        {
            "id": run_id,
            "outcome": ending.outcome,
            "reason": None if ending.reason is None else _storable(ending.reason),
            "totals": None
            if ending.totals is None
            else msgspec.json.encode(ending.totals).decode(),
            "exit_status": ending.exit_status,
        },
    )


_FINISH = statement(
    finish,
    """
UPDATE stripe.runs SET
    outcome = %(outcome)s,
    finished_at = now(),
    alive_at = now(),
    reason = %(reason)s,
    totals = %(totals)s::jsonb,
    exit_status = %(exit_status)s
WHERE id = %(id)s AND outcome IS NULL
""",
)


def note_exit_status(connection: Connection[Any], run_id: str, exit_status: int) -> None:
    """Note that a run that had ended could not say so: its command ended otherwise."""
    _NOTE_EXIT_STATUS.execute(connection, {"id": run_id, "exit_status": exit_status})


_NOTE_EXIT_STATUS = statement(
    note_exit_status,
    """
UPDATE stripe.runs SET exit_status = %(exit_status)s
WHERE id = %(id)s AND exit_status IS NOT NULL
""",
)


def _storable(text: str) -> str:
    """Return text that a UTF-8 database takes: arguments need not be text at all."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "")
