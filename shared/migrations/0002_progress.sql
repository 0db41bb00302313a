-- How far a run is, kept with its cursor, so that a second terminal can ask.

ALTER TABLE stripe.runs
    ADD COLUMN phase text,
    ADD COLUMN planned jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN counts_before jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN drift bigint NOT NULL DEFAULT 0,
    ADD COLUMN stripe_requests bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN stripe.runs.phase IS
    'What the run is at: comparing, second look, repairs, events. NULL: it has not said yet.';
COMMENT ON COLUMN stripe.runs.counts IS
    'By object, since the run began that this one goes on from: stripe, database, in_sync, and what was unusual.';
COMMENT ON COLUMN stripe.runs.planned IS
    'By object, how many rows there are to compare; null where there are none yet, so that nobody knows.';
COMMENT ON COLUMN stripe.runs.counts_before IS
    'What this run took over of `counts`: the rest is its own work.';
COMMENT ON COLUMN stripe.runs.drift IS
    'Differences found so far, counted as `counts` are, those in flight among them.';
COMMENT ON COLUMN stripe.runs.stripe_requests IS
    'Requests that this run had sent to Stripe when it last wrote.';

CREATE VIEW stripe.progress AS
SELECT
    r.id AS run_id,
    r.started_at,
    r.phase,
    o.compared,
    o.planned,
    CASE WHEN r.phase = 'comparing' THEN round(o.mine / s.seconds) END AS per_second,
    round(r.stripe_requests / s.seconds, 1) AS requests_per_second,
    CASE WHEN r.phase = 'comparing' AND o.mine > 0 THEN
        make_interval(secs => round((o.planned - o.compared) * s.seconds / o.mine)::double precision)
    END AS time_left,
    r.drift,
    r.stripe_requests,
    r.lease_expires_at > now() AS is_alive
FROM stripe.runs AS r
CROSS JOIN LATERAL (
    SELECT greatest(extract(epoch FROM now() - r.started_at), 1)::numeric AS seconds
) AS s
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(each.compared), 0)::bigint AS compared,
        coalesce(sum(each.compared - each.before), 0) AS mine,
        CASE WHEN bool_and(each.planned IS NOT NULL) THEN
            sum(greatest(each.planned, each.compared))::bigint
        END AS planned
    FROM (
        SELECT
            (r.planned ->> name)::bigint AS planned,
            coalesce((r.counts -> name ->> side)::bigint, 0) AS compared,
            coalesce((r.counts_before -> name ->> side)::bigint, 0) AS before
        FROM jsonb_object_keys(r.planned) AS name
        CROSS JOIN LATERAL (
            SELECT CASE WHEN r.planned ->> name IS NULL THEN 'stripe' ELSE 'database' END AS side
        ) AS which
    ) AS each
) AS o
WHERE r.outcome IS NULL;
COMMENT ON VIEW stripe.progress IS
    'The run that is under way: how far it is, how fast, how long still. is_alive false: its lease expired, it was killed.';
