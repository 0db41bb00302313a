-- runs.abandon_expired
-- Note of a run whose lease has expired that it ended with its last sign of life.
UPDATE stripe.runs SET
    outcome = 'abandoned',
    finished_at = alive_at,
    reason = 'it gave no sign of life until its lease expired; the run that began at '
        || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC took over'
WHERE outcome IS NULL AND lease_expires_at < now();

-- runs.advance
-- Keep the cursor, how far the run is and the number of this write, and extend the lease.
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
WHERE id = %(id)s;

-- runs.drop_pending
-- Note that what waited in the run before waits no more: this one compares it anew.
UPDATE stripe.drifts SET action = 'dropped', spooled = NULL
WHERE action = 'pending'
    AND run_id = (
        SELECT story
        FROM stripe.runs
        WHERE scope = %(scope)s AND id <> %(id)s
        ORDER BY started_at DESC
        LIMIT 1
    );

-- runs.extend
-- Extend the lease and tell what the run is at; False once somebody has taken it.
UPDATE stripe.runs
SET phase = %(phase)s,
    stripe_requests = %(stripe_requests)s,
    lease_expires_at = now() + make_interval(secs => %(lease)s)
WHERE id = %(id)s AND outcome IS NULL
RETURNING 1;

-- runs.finish
-- Give the lease back and keep how the run ended, unless the lease was lost before.
UPDATE stripe.runs SET
    outcome = %(outcome)s,
    finished_at = now(),
    alive_at = now(),
    reason = %(reason)s,
    totals = %(totals)s::jsonb,
    exit_status = %(exit_status)s
WHERE id = %(id)s AND outcome IS NULL;

-- runs.held_by
-- Say which run holds the lease, and until when.
SELECT story::text || ' on ' || holder, extract(epoch FROM lease_expires_at)::bigint
FROM stripe.runs
WHERE outcome IS NULL;

-- runs.is_gone_on_from
-- Return whether the next run goes on from this one, if it ends unfinished.
SELECT l.scope = %(scope)s AND l.done <> '{}' AND (
    SELECT count(*)
    FROM stripe.drifts AS d
    WHERE d.run_id = l.story AND d.action = 'pending'
) <= %(waiting)s
FROM stripe.runs AS l
WHERE l.id = %(id)s;

-- runs.lock
-- Lock the run's row until the commit, and return the number of its last write.
SELECT step FROM stripe.runs WHERE id = %(id)s AND outcome IS NULL FOR UPDATE;

-- runs.note_exit_status
-- Note that a run that had ended could not say so: its command ended otherwise.
UPDATE stripe.runs SET exit_status = %(exit_status)s
WHERE id = %(id)s AND exit_status IS NOT NULL;

-- runs.start
-- Take the lease, from an expired holder too, and go on from an unfinished run of this scope.
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
RETURNING floor(extract(epoch FROM started_at))::bigint;

-- runs.unfinished
-- Return the last run over everything if it is to be gone on from.
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
        > now() - make_interval(hours => %(hours)s);
