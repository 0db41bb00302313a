-- apply_event.apply_if_newer.product
-- Write an event's whole snapshot with its change and its ledger row if it is simply newer.
WITH newer AS (
    SELECT
        r.*,
        o.revision AS at_revision,
        ARRAY[
            CASE WHEN o."id" IS DISTINCT FROM r."id"
                THEN jsonb_build_array(o."id", r."id") END,
            CASE WHEN o."name" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(r."name", o."name") ELSE r."name" END
                THEN jsonb_build_array(o."name", CASE WHEN r."deleted" THEN coalesce(r."name", o."name") ELSE r."name" END) END,
            CASE WHEN o."active" IS DISTINCT FROM r."active"
                THEN jsonb_build_array(o."active", r."active") END,
            CASE WHEN o."default_price_id" IS DISTINCT FROM r."default_price_id"
                THEN jsonb_build_array(o."default_price_id", r."default_price_id") END,
            CASE WHEN o."type" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(r."type", o."type") ELSE r."type" END
                THEN jsonb_build_array(o."type", CASE WHEN r."deleted" THEN coalesce(r."type", o."type") ELSE r."type" END) END,
            CASE WHEN o."unit_label" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(r."unit_label", o."unit_label") ELSE r."unit_label" END
                THEN jsonb_build_array(o."unit_label", CASE WHEN r."deleted" THEN coalesce(r."unit_label", o."unit_label") ELSE r."unit_label" END) END,
            CASE WHEN o."statement_descriptor" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(r."statement_descriptor", o."statement_descriptor") ELSE r."statement_descriptor" END
                THEN jsonb_build_array(o."statement_descriptor", CASE WHEN r."deleted" THEN coalesce(r."statement_descriptor", o."statement_descriptor") ELSE r."statement_descriptor" END) END,
            CASE WHEN o."tax_code" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(r."tax_code", o."tax_code") ELSE r."tax_code" END
                THEN jsonb_build_array(o."tax_code", CASE WHEN r."deleted" THEN coalesce(r."tax_code", o."tax_code") ELSE r."tax_code" END) END,
            CASE WHEN o."created" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(to_timestamp(r."created"), CASE WHEN isfinite(o."created") THEN to_timestamp(round(extract(epoch FROM o."created"))) END) ELSE to_timestamp(r."created") END
                THEN jsonb_build_array(stripe.seconds(o."created"), stripe.seconds(CASE WHEN r."deleted" THEN coalesce(to_timestamp(r."created"), CASE WHEN isfinite(o."created") THEN to_timestamp(round(extract(epoch FROM o."created"))) END) ELSE to_timestamp(r."created") END)) END,
            CASE WHEN o."livemode" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(r."livemode", o."livemode") ELSE r."livemode" END
                THEN jsonb_build_array(o."livemode", CASE WHEN r."deleted" THEN coalesce(r."livemode", o."livemode") ELSE r."livemode" END) END,
            CASE WHEN o."deleted" IS DISTINCT FROM r."deleted"
                THEN jsonb_build_array(o."deleted", r."deleted") END,
            CASE WHEN o."metadata" IS DISTINCT FROM r."metadata"
                THEN jsonb_build_array(CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END, r."metadata") END,
            CASE WHEN o.missing_in_stripe_since IS NOT NULL
                THEN jsonb_build_array(stripe.seconds(o."missing_in_stripe_since"), NULL) END
        ] AS pairs
    FROM json_to_record(%(row)s::json) AS r (
        "id" text, "name" text, "active" boolean, "default_price_id" text, "type" text,
        "unit_label" text, "statement_descriptor" text, "tax_code" text, "created" bigint,
        "livemode" boolean, "deleted" boolean, "metadata" jsonb, lower bigint, upper bigint
    )
    LEFT JOIN stripe.products AS o ON o.id = %(id)s::text
    WHERE NOT EXISTS (
            SELECT FROM stripe.events AS e
            WHERE e.id = %(event_id)s::text AND e.outcome <> 'failed'
        )
        AND (o.id IS NULL OR tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)) >> o.as_of
            AND (%(is_terminal)s::boolean OR NOT o."deleted" IN (true)))
        AND NOT EXISTS (
            SELECT FROM stripe.compared AS c
            WHERE c.object = 'product' AND c.began >= to_timestamp(r.upper)
        )
),
differing AS (
    SELECT f.name, f.pair
    FROM unnest(
        ARRAY[
            'id', 'name', 'active', 'default_price_id', 'type', 'unit_label',
            'statement_descriptor', 'tax_code', 'created', 'livemode', 'deleted', 'metadata',
            'missing_in_stripe_since'
        ],
        (SELECT pairs FROM newer)
    ) AS f (name, pair)
    WHERE f.pair IS NOT NULL
),
written AS (
    INSERT INTO stripe.products AS o (
        "id", "name", "active", "default_price_id", "type", "unit_label", "statement_descriptor",
        "tax_code", "created", "livemode", "deleted", "metadata", as_of, revision
    )
    SELECT
        r."id", r."name", r."active", r."default_price_id", r."type", r."unit_label",
        r."statement_descriptor", r."tax_code", to_timestamp(r."created"), r."livemode",
        r."deleted", r."metadata",
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
        "name" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."name", o."name") ELSE EXCLUDED."name" END,
        "active" = EXCLUDED."active",
        "default_price_id" = EXCLUDED."default_price_id",
        "type" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."type", o."type") ELSE EXCLUDED."type" END,
        "unit_label" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."unit_label", o."unit_label") ELSE EXCLUDED."unit_label" END,
        "statement_descriptor" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."statement_descriptor", o."statement_descriptor") ELSE EXCLUDED."statement_descriptor" END,
        "tax_code" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."tax_code", o."tax_code") ELSE EXCLUDED."tax_code" END,
        "created" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."created", CASE WHEN isfinite(o."created") THEN to_timestamp(round(extract(epoch FROM o."created"))) END) ELSE EXCLUDED."created" END,
        "livemode" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."livemode", o."livemode") ELSE EXCLUDED."livemode" END,
        "deleted" = EXCLUDED."deleted",
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
        'product', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, w.fields
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
        WHERE c.object = 'product'
    ),
    (
        SELECT
        json_build_array(
            json_build_array(
                o."id", o."name", o."active", o."default_price_id", o."type", o."unit_label",
                o."statement_descriptor", o."tax_code", stripe.seconds(o."created"),
                o."livemode", o."deleted", o."metadata"::text
            ),
            '[]'::json,
            json_build_array(
                floor(extract(epoch FROM lower(o.as_of)))::bigint,
                ceil(extract(epoch FROM upper(o.as_of)))::bigint
            ),
            o.revision,
            stripe.seconds(o."missing_in_stripe_since")
        )::text
        FROM stripe.products AS o
        WHERE o.id = %(id)s::text AND NOT EXISTS (SELECT FROM newer)
    );

-- apply_event.look.product
-- Return what the ledger says of the event, and what is held of the object.
SELECT
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    (
        SELECT ceil(extract(epoch FROM c.began))::bigint
        FROM stripe.compared AS c
        WHERE c.object = 'product'
    ),
    (
        SELECT
        json_build_array(
            json_build_array(
                o."id", o."name", o."active", o."default_price_id", o."type", o."unit_label",
                o."statement_descriptor", o."tax_code", stripe.seconds(o."created"),
                o."livemode", o."deleted", o."metadata"::text
            ),
            '[]'::json,
            json_build_array(
                floor(extract(epoch FROM lower(o.as_of)))::bigint,
                ceil(extract(epoch FROM upper(o.as_of)))::bigint
            ),
            o.revision,
            stripe.seconds(o."missing_in_stripe_since")
        )::text
        FROM stripe.products AS o
        WHERE o.id = %(id)s::text
    );
