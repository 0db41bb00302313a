-- One night, one id to ask for: a run and all that go on from it are one story, and what they find
-- and change is kept under its id. What a run was asked and how it ended stays with it.
ALTER TABLE stripe.runs
    ADD COLUMN first uuid REFERENCES stripe.runs (id),
    ADD COLUMN alive_at timestamptz,
    ADD COLUMN version text,
    ADD COLUMN flags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN reason text,
    ADD COLUMN totals jsonb,
    ADD COLUMN exit_status smallint;

WITH RECURSIVE chain AS (
    SELECT id, id AS first FROM stripe.runs WHERE resumes IS NULL
    UNION ALL
    SELECT r.id, c.first FROM stripe.runs AS r JOIN chain AS c ON c.id = r.resumes
)
UPDATE stripe.runs AS r SET
    first = nullif(c.first, r.id),
    alive_at = coalesce(r.finished_at, r.started_at)
FROM chain AS c
WHERE c.id = r.id;

ALTER TABLE stripe.runs
    ALTER COLUMN alive_at SET DEFAULT now(),
    ALTER COLUMN alive_at SET NOT NULL,
    ADD COLUMN story uuid GENERATED ALWAYS AS (coalesce(first, id)) STORED;
CREATE INDEX runs_first_idx ON stripe.runs (first);
CREATE INDEX runs_story_idx ON stripe.runs (story);

COMMENT ON TABLE stripe.runs IS
    'One attempt of reconcile that may write. The row without an outcome is the lease: there is one at most.';
COMMENT ON COLUMN stripe.runs.id IS
    'Of this attempt: the lease is its own, and fences it.';
COMMENT ON COLUMN stripe.runs.first IS
    'The attempt that began what this one goes on with. NULL: this one begins anew.';
COMMENT ON COLUMN stripe.runs.story IS
    'The id under which drifts, changes and the report are found: that of the attempt that began it all.';
COMMENT ON COLUMN stripe.runs.alive_at IS
    'The last sign of life; when an abandoned run ended.';
COMMENT ON COLUMN stripe.runs.finished_at IS
    'When it gave its lease back. Of an abandoned run: its last sign of life, not when it was taken over.';
COMMENT ON COLUMN stripe.runs.version IS 'Of the product.';
COMMENT ON COLUMN stripe.runs.flags IS 'The arguments of the command, as they were typed.';
COMMENT ON COLUMN stripe.runs.reason IS
    'Why it is no success, what was written by then, and what is to be done. NULL: it is one.';
COMMENT ON COLUMN stripe.runs.totals IS
    '{consequence: {"count", "monthly_amount": {currency: minor units}}}, over the whole story, without what was in flight.';
COMMENT ON COLUMN stripe.runs.exit_status IS
    'Of the command. NULL while it runs, and of an abandoned run: nobody knows.';
COMMENT ON COLUMN stripe.runs.counts IS
    'By object, since the story began: stripe, database, in_sync, and what was unusual. `events`: those that Stripe lists, and how many of them the webhook missed.';
COMMENT ON COLUMN stripe.drifts.run_id IS
    'The story''s id: that of the run that began; those that went on from it keep what they find under it.';
COMMENT ON COLUMN stripe.changes.run_id IS
    'The story''s id, as in drifts. NULL: an event made the change, or somebody removed the row by hand.';

-- What waited for its repair in a run from which none went on.
ALTER TABLE stripe.drifts
    DROP CONSTRAINT drifts_action_check,
    ADD CONSTRAINT drifts_action_check
        CHECK (action IN ('pending', 'repaired', 'in_flight', 'refused', 'dropped'));
COMMENT ON COLUMN stripe.drifts.action IS
    'pending: waits until every window has been compared. dropped: it waited in a run from which none went on; the next one compared it anew.';

CREATE VIEW stripe.nights AS
SELECT DISTINCT ON (r.story)
    r.story AS id,
    min(r.started_at) OVER story AS started_at,
    r.finished_at,
    count(*) OVER story AS attempts,
    r.outcome,
    r.reason,
    r.exit_status,
    r.totals,
    (r.counts -> 'events' ->> 'webhook_missed')::bigint AS webhook_missed,
    (r.counts -> 'events' ->> 'webhook_expected')::bigint AS webhook_expected,
    r.version,
    r.flags
FROM stripe.runs AS r
WHERE r.scope = 'all'
WINDOW story AS (PARTITION BY r.story)
ORDER BY r.story, r.started_at DESC;
COMMENT ON VIEW stripe.nights IS
    'One row: a run over everything with all that went on from it, and how the last of these ended. Its id finds drifts, changes and the report.';

CREATE OR REPLACE VIEW stripe.progress AS
SELECT
    r.story AS run_id,
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
