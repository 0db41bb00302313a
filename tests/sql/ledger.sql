-- ledger.close_waiting
-- Let events that failed for this reason be stale, where a run has put their rows right.
UPDATE stripe.events AS e SET outcome = 'stale', error = NULL, processed_at = now()
FROM stripe.drifts AS d
WHERE e.outcome = 'failed'
    AND e.error = %(error)s
    AND d.run_id = %(run_id)s
    AND d.object_id = e.object_id
    AND d.action IN ('repaired', 'in_flight');

-- ledger.drop_payloads
-- Drop the payloads of `most` events that were done and received so many days ago.
UPDATE stripe.events SET payload = NULL
WHERE id IN (
    SELECT id
    FROM stripe.events
    WHERE payload IS NOT NULL
        AND outcome <> 'failed'
        AND received_at < now() - make_interval(days => %(days)s)
    ORDER BY received_at
    LIMIT %(most)s
);

-- ledger.enter
-- Write the ledger row of an event that changes no object, or a further attempt at it.
INSERT INTO stripe.events (
        id, type, object_id, created, api_version, source, outcome, error, payload
    )
    SELECT
        %(event_id)s::text, %(type)s::text, %(object_id)s::text, to_timestamp(%(created)s::bigint),
        %(api_version)s::text, %(source)s::text, %(outcome)s::text, %(error)s::text, %(payload)s::bytea
    ON CONFLICT (id) DO UPDATE SET
        object_id = coalesce(EXCLUDED.object_id, events.object_id),
        outcome = EXCLUDED.outcome,
        error = EXCLUDED.error,
        payload = EXCLUDED.payload,
        attempts = events.attempts + 1,
        processed_at = now();

-- ledger.enter_many
-- Write the ledger rows of events, or a further attempt at those that have failed.
INSERT INTO stripe.events (
        id, type, object_id, created, api_version, source, outcome, error, payload
    )
    SELECT
        id, type, object_id, to_timestamp(created), api_version, source, outcome, error, payload
    FROM unnest(
        %(event_ids)s::text[], %(types)s::text[], %(object_ids)s::text[], %(createds)s::bigint[],
        %(api_versions)s::text[], %(sources)s::text[], %(outcomes)s::text[], %(errors)s::text[],
        %(payloads)s::bytea[]
    ) AS e (id, type, object_id, created, api_version, source, outcome, error, payload)
    ON CONFLICT (id) DO UPDATE SET
        object_id = coalesce(EXCLUDED.object_id, events.object_id),
        outcome = EXCLUDED.outcome,
        error = EXCLUDED.error,
        payload = EXCLUDED.payload,
        attempts = events.attempts + 1,
        processed_at = now()
    WHERE events.outcome = 'failed'
    RETURNING id;

-- ledger.fail_again
-- Count a further failed attempt at a failed event.
UPDATE stripe.events
SET attempts = attempts + 1, error = %(error)s, processed_at = now()
WHERE id = %(id)s AND outcome = 'failed';

-- ledger.failed
-- Return how many events have failed so far, and the oldest of them, `most` at most.
SELECT count(*) OVER (), id, type, object_id, attempts, error,
    extract(epoch FROM received_at)::bigint
FROM stripe.events
WHERE outcome = 'failed'
ORDER BY received_at, id
LIMIT %(most)s;

-- ledger.find
-- Return an event's outcome, None where it never arrived.
SELECT outcome FROM stripe.events WHERE id = %(id)s;

-- ledger.first_look
-- Return up to when (epoch, Stripe's clock) the first look at the event list has come.
SELECT extract(epoch FROM min(events_until))::bigint FROM stripe.runs;

-- ledger.known
-- Return which of these events are in the ledger, and from which source.
SELECT id, source FROM stripe.events WHERE id = ANY(%(ids)s);

-- ledger.looked_until
-- Return up to when (epoch, Stripe's clock) the last look at the event list has come.
SELECT extract(epoch FROM events_until)::bigint
FROM stripe.runs
WHERE events_until IS NOT NULL
ORDER BY started_at DESC
LIMIT 1;

-- ledger.note_look
-- Note that the event list was looked through up to then (epoch, Stripe's clock).
UPDATE stripe.runs SET events_until = to_timestamp(%(until)s)
WHERE id = %(id)s AND outcome IS NULL;

-- ledger.oldest
-- Return when (epoch, Stripe's clock) the oldest event of the ledger was made.
SELECT extract(epoch FROM min(created))::bigint FROM stripe.events;

-- ledger.read
-- Return these events, oldest first, where their payloads are still kept.
SELECT id, type, extract(epoch FROM created)::bigint, payload
FROM stripe.events
WHERE id = ANY(%(ids)s) AND payload IS NOT NULL
ORDER BY received_at, id;

-- ledger.replayable
-- Return the ids of failed events to try again, oldest first.
SELECT id
FROM stripe.events
WHERE outcome = 'failed'
    AND payload IS NOT NULL
    AND (%(most)s::int IS NULL OR attempts < %(most)s::int)
    AND (%(event_id)s::text IS NULL OR id = %(event_id)s::text)
ORDER BY received_at, id;
