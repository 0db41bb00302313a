-- apply_event.apply_if_newer.customer
-- Write an event's whole snapshot with its change and its ledger row if it is simply newer.
WITH newer AS (
    SELECT
        r.*,
        o.revision AS at_revision,
        ARRAY[
            CASE WHEN o."id" IS DISTINCT FROM r."id"
                THEN jsonb_build_array(o."id", r."id") END,
            CASE WHEN o."email" IS DISTINCT FROM r."email"
                THEN jsonb_build_array(o."email", r."email") END,
            CASE WHEN o."name" IS DISTINCT FROM r."name"
                THEN jsonb_build_array(o."name", r."name") END,
            CASE WHEN o."created" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(to_timestamp(r."created"), CASE WHEN isfinite(o."created") THEN to_timestamp(round(extract(epoch FROM o."created"))) END) ELSE to_timestamp(r."created") END
                THEN jsonb_build_array(stripe.seconds(o."created"), stripe.seconds(CASE WHEN r."deleted" THEN coalesce(to_timestamp(r."created"), CASE WHEN isfinite(o."created") THEN to_timestamp(round(extract(epoch FROM o."created"))) END) ELSE to_timestamp(r."created") END)) END,
            CASE WHEN o."deleted" IS DISTINCT FROM r."deleted"
                THEN jsonb_build_array(o."deleted", r."deleted") END,
            CASE WHEN o."test_clock" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(r."test_clock", o."test_clock") ELSE r."test_clock" END
                THEN jsonb_build_array(o."test_clock", CASE WHEN r."deleted" THEN coalesce(r."test_clock", o."test_clock") ELSE r."test_clock" END) END,
            CASE WHEN o."metadata" IS DISTINCT FROM r."metadata"
                THEN jsonb_build_array(CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END, r."metadata") END,
            CASE WHEN o.missing_in_stripe_since IS NOT NULL
                THEN jsonb_build_array(stripe.seconds(o."missing_in_stripe_since"), NULL) END
        ] AS pairs
    FROM json_to_record(%(row)s::json) AS r (
        "id" text, "email" text, "name" text, "created" bigint, "deleted" boolean,
        "test_clock" text, "metadata" jsonb, lower bigint, upper bigint
    )
    LEFT JOIN stripe.customers AS o ON o.id = %(id)s::text
    WHERE NOT EXISTS (
            SELECT FROM stripe.events AS e
            WHERE e.id = %(event_id)s::text AND e.outcome <> 'failed'
        )
        AND (o.id IS NULL OR tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)) >> o.as_of
            AND (%(is_terminal)s::boolean OR NOT o."deleted" IN (true)))
        AND NOT EXISTS (
            SELECT FROM stripe.compared AS c
            WHERE c.object = 'customer' AND c.began >= to_timestamp(r.upper)
        )
),
differing AS (
    SELECT f.name, f.pair
    FROM unnest(
        ARRAY[
            'id', 'email', 'name', 'created', 'deleted', 'test_clock', 'metadata',
            'missing_in_stripe_since'
        ],
        (SELECT pairs FROM newer)
    ) AS f (name, pair)
    WHERE f.pair IS NOT NULL
),
written AS (
    INSERT INTO stripe.customers AS o (
        "id", "email", "name", "created", "deleted", "test_clock", "metadata", as_of, revision
    )
    SELECT
        r."id", r."email", r."name", to_timestamp(r."created"), r."deleted", r."test_clock",
        r."metadata",
        tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)),
        coalesce(r.at_revision + 1, (
            SELECT c.revision
            FROM stripe.changes AS c
            WHERE c.object_id = r.id
            ORDER BY c.revision DESC
            LIMIT 1
        ), 0) + 1
    FROM newer AS r
    ON CONFLICT (id) DO UPDATE SET
        "email" = EXCLUDED."email",
        "name" = EXCLUDED."name",
        "created" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."created", CASE WHEN isfinite(o."created") THEN to_timestamp(round(extract(epoch FROM o."created"))) END) ELSE EXCLUDED."created" END,
        "deleted" = EXCLUDED."deleted",
        "test_clock" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."test_clock", o."test_clock") ELSE EXCLUDED."test_clock" END,
        "metadata" = EXCLUDED."metadata",
        missing_in_stripe_since = NULL,
        as_of = EXCLUDED.as_of,
        revision = o.revision + 1
    WHERE o.revision = (SELECT at_revision FROM newer)
    RETURNING id, revision, (SELECT jsonb_object_agg(name, pair) FROM differing) AS fields
),
changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, event_id, run_id, fields)
    SELECT
        'customer', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, w.fields
    FROM written AS w
    WHERE w.fields IS NOT NULL
),
ledger AS (
    INSERT INTO stripe.events (
        id, type, object_id, created, api_version, source, outcome, error, payload
    )
    SELECT
        %(event_id)s::text, %(type)s::text, w.id, to_timestamp(%(created)s::bigint),
        %(api_version)s::text, %(source)s::text, CASE WHEN w.fields IS NULL THEN 'unchanged' ELSE 'applied' END, %(error)s::text, %(payload)s::bytea
    FROM written AS w
    ON CONFLICT (id) DO UPDATE SET
        object_id = coalesce(EXCLUDED.object_id, events.object_id),
        outcome = EXCLUDED.outcome,
        error = EXCLUDED.error,
        payload = EXCLUDED.payload,
        attempts = events.attempts + 1,
        processed_at = now()
)
SELECT
    (SELECT CASE WHEN w.fields IS NULL THEN 'unchanged' ELSE 'applied' END FROM written AS w),
    EXISTS (SELECT FROM newer),
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    (
        SELECT ceil(extract(epoch FROM c.began))::bigint
        FROM stripe.compared AS c
        WHERE c.object = 'customer'
    ),
    (
        SELECT
        json_build_array(
            json_build_array(
                o."id", o."email", o."name", stripe.seconds(o."created"), o."deleted",
                o."test_clock", o."metadata"::text
            ),
            '[]'::json,
            json_build_array(
                floor(extract(epoch FROM lower(o.as_of)))::bigint,
                ceil(extract(epoch FROM upper(o.as_of)))::bigint
            ),
            o.revision,
            stripe.seconds(o."missing_in_stripe_since")
        )::text
        FROM stripe.customers AS o
        WHERE o.id = %(id)s::text AND NOT EXISTS (SELECT FROM newer)
    );

-- apply_event.look.customer
-- Return what the ledger says of the event, and what is held of the object.
SELECT
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    (
        SELECT ceil(extract(epoch FROM c.began))::bigint
        FROM stripe.compared AS c
        WHERE c.object = 'customer'
    ),
    (
        SELECT
        json_build_array(
            json_build_array(
                o."id", o."email", o."name", stripe.seconds(o."created"), o."deleted",
                o."test_clock", o."metadata"::text
            ),
            '[]'::json,
            json_build_array(
                floor(extract(epoch FROM lower(o.as_of)))::bigint,
                ceil(extract(epoch FROM upper(o.as_of)))::bigint
            ),
            o.revision,
            stripe.seconds(o."missing_in_stripe_since")
        )::text
        FROM stripe.customers AS o
        WHERE o.id = %(id)s::text
    );
