-- write.mark_missing.customer
-- Mark a row whose id Stripe does not know; False where it was changed since it was read.
WITH written AS (
    UPDATE stripe.customers SET
        missing_in_stripe_since = to_timestamp(%(since)s::bigint),
        as_of = tstzrange(to_timestamp(%(lower)s::bigint), to_timestamp(%(upper)s::bigint)),
        revision = revision + 1
    WHERE id = %(id)s AND revision = %(at_revision)s AND missing_in_stripe_since IS NULL
    RETURNING
        id,
        revision,
        jsonb_build_object(
            'missing_in_stripe_since', jsonb_build_array(NULL, %(since)s::bigint)
        ) AS fields
),
changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, event_id, run_id, fields)
    SELECT
        'customer', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, w.fields
    FROM written AS w
    WHERE w.fields IS NOT NULL
)
SELECT id FROM written;

-- write.write_for_run.customer
-- Write encoded rows for a run and return the ids that were written.
WITH incoming AS (
    SELECT given.*, r.*
    FROM json_to_recordset(%(rows)s::json) AS given (
        content json, items json, fields jsonb, lower bigint, upper bigint, at_revision bigint
    )
    CROSS JOIN LATERAL json_to_record(given.content) AS r (
        "id" text, "email" text, "name" text, "created" bigint, "deleted" boolean,
        "test_clock" text, "metadata" jsonb
    )
),
inserted AS (
    INSERT INTO stripe.customers (
        "id", "email", "name", "created", "deleted", "test_clock", "metadata", as_of, revision
    )
    SELECT
        r."id", r."email", r."name", to_timestamp(r."created"), r."deleted", r."test_clock",
        r."metadata",
        tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)),
        coalesce((
            SELECT c.revision
            FROM stripe.changes AS c
            WHERE c.object_id = r.id
            ORDER BY c.revision DESC
            LIMIT 1
        ), 0) + 1
    FROM incoming AS r
    WHERE r.at_revision IS NULL
    ON CONFLICT (id) DO NOTHING
    RETURNING id, revision
),
updated AS (
    UPDATE stripe.customers AS o SET
        "email" = r."email",
        "name" = r."name",
        "created" = to_timestamp(r."created"),
        "deleted" = r."deleted",
        "test_clock" = r."test_clock",
        "metadata" = r."metadata",
        missing_in_stripe_since = NULL,
        as_of = tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)),
        revision = o.revision + 1
    FROM incoming AS r
    WHERE o.id = r.id
        AND o.revision = r.at_revision
        AND o.id = ANY(ARRAY(SELECT i.id FROM incoming AS i))
    RETURNING o.id, o.revision
),
written AS (
    SELECT i.id, i.revision, r.items, (
        SELECT jsonb_object_agg(f.name, jsonb_build_array(NULL, f.value))
        FROM (
            SELECT c.key, c.value FROM json_each(r.content) AS c
            UNION ALL
            SELECT 'items.' || (i ->> 'id'), i FROM json_array_elements(r.items) AS i
        ) AS f (name, value)
    ) AS fields
    FROM inserted AS i
    JOIN incoming AS r USING (id)
    UNION ALL
    SELECT u.id, u.revision, r.items, r.fields
    FROM updated AS u
    JOIN incoming AS r USING (id)
),
changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, event_id, run_id, fields)
    SELECT
        'customer', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, w.fields
    FROM written AS w
    WHERE w.fields IS NOT NULL
)
SELECT json_agg(id)::text FROM written;
