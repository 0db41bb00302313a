-- apply_event.apply_if_newer.price
-- Write an event's whole snapshot with its change and its ledger row if it is simply newer.
WITH newer AS (
    SELECT
        r.*,
        o.revision AS at_revision,
        ARRAY[
            CASE WHEN o."id" IS DISTINCT FROM r."id"
                THEN jsonb_build_array(o."id", r."id") END,
            CASE WHEN o."product_id" IS DISTINCT FROM CASE WHEN r."deleted" THEN coalesce(r."product_id", o."product_id") ELSE r."product_id" END
                THEN jsonb_build_array(o."product_id", CASE WHEN r."deleted" THEN coalesce(r."product_id", o."product_id") ELSE r."product_id" END) END,
            CASE WHEN o."active" IS DISTINCT FROM r."active"
                THEN jsonb_build_array(o."active", r."active") END,
            CASE WHEN o."lookup_key" IS DISTINCT FROM r."lookup_key"
                THEN jsonb_build_array(o."lookup_key", r."lookup_key") END,
            CASE WHEN o."nickname" IS DISTINCT FROM r."nickname"
                THEN jsonb_build_array(o."nickname", r."nickname") END,
            CASE WHEN o."type" IS DISTINCT FROM r."type"
                THEN jsonb_build_array(o."type", r."type") END,
            CASE WHEN o."currency" IS DISTINCT FROM r."currency"
                THEN jsonb_build_array(o."currency", r."currency") END,
            CASE WHEN o."unit_amount" IS DISTINCT FROM r."unit_amount"
                THEN jsonb_build_array(o."unit_amount", r."unit_amount") END,
            CASE WHEN o."unit_amount_decimal" IS DISTINCT FROM r."unit_amount_decimal"::numeric
                THEN jsonb_build_array(o."unit_amount_decimal"::text, r."unit_amount_decimal") END,
            CASE WHEN o."billing_scheme" IS DISTINCT FROM r."billing_scheme"
                THEN jsonb_build_array(o."billing_scheme", r."billing_scheme") END,
            CASE WHEN o."tiers_mode" IS DISTINCT FROM r."tiers_mode"
                THEN jsonb_build_array(o."tiers_mode", r."tiers_mode") END,
            CASE WHEN o."tiers" IS DISTINCT FROM r."tiers"
                THEN jsonb_build_array(CASE WHEN o."tiers" = 'null' THEN '"null"' ELSE o."tiers" END, r."tiers") END,
            CASE WHEN o."transform_quantity" IS DISTINCT FROM r."transform_quantity"
                THEN jsonb_build_array(CASE WHEN o."transform_quantity" = 'null' THEN '"null"' ELSE o."transform_quantity" END, r."transform_quantity") END,
            CASE WHEN o."custom_unit_amount" IS DISTINCT FROM r."custom_unit_amount"
                THEN jsonb_build_array(CASE WHEN o."custom_unit_amount" = 'null' THEN '"null"' ELSE o."custom_unit_amount" END, r."custom_unit_amount") END,
            CASE WHEN o."tax_behavior" IS DISTINCT FROM r."tax_behavior"
                THEN jsonb_build_array(o."tax_behavior", r."tax_behavior") END,
            CASE WHEN o."interval" IS DISTINCT FROM r."interval"
                THEN jsonb_build_array(o."interval", r."interval") END,
            CASE WHEN o."interval_count" IS DISTINCT FROM r."interval_count"
                THEN jsonb_build_array(o."interval_count", r."interval_count") END,
            CASE WHEN o."usage_type" IS DISTINCT FROM r."usage_type"
                THEN jsonb_build_array(o."usage_type", r."usage_type") END,
            CASE WHEN o."meter" IS DISTINCT FROM r."meter"
                THEN jsonb_build_array(o."meter", r."meter") END,
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
        "id" text, "product_id" text, "active" boolean, "lookup_key" text, "nickname" text,
        "type" text, "currency" text, "unit_amount" bigint, "unit_amount_decimal" text,
        "billing_scheme" text, "tiers_mode" text, "tiers" jsonb, "transform_quantity" jsonb,
        "custom_unit_amount" jsonb, "tax_behavior" text, "interval" text,
        "interval_count" bigint, "usage_type" text, "meter" text, "created" bigint,
        "livemode" boolean, "deleted" boolean, "metadata" jsonb, lower bigint, upper bigint
    )
    LEFT JOIN stripe.prices AS o ON o.id = %(id)s::text
    WHERE NOT EXISTS (
            SELECT FROM stripe.events AS e
            WHERE e.id = %(event_id)s::text AND e.outcome <> 'failed'
        )
        AND (o.id IS NULL OR tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)) >> o.as_of
            AND (%(is_terminal)s::boolean OR NOT o."deleted" IN (true)))
        AND NOT EXISTS (
            SELECT FROM stripe.compared AS c
            WHERE c.object = 'price' AND c.began >= to_timestamp(r.upper)
        )
),
differing AS (
    SELECT f.name, f.pair
    FROM unnest(
        ARRAY[
            'id', 'product_id', 'active', 'lookup_key', 'nickname', 'type', 'currency',
            'unit_amount', 'unit_amount_decimal', 'billing_scheme', 'tiers_mode', 'tiers',
            'transform_quantity', 'custom_unit_amount', 'tax_behavior', 'interval',
            'interval_count', 'usage_type', 'meter', 'created', 'livemode', 'deleted',
            'metadata', 'missing_in_stripe_since'
        ],
        (SELECT pairs FROM newer)
    ) AS f (name, pair)
    WHERE f.pair IS NOT NULL
),
written AS (
    INSERT INTO stripe.prices AS o (
        "id", "product_id", "active", "lookup_key", "nickname", "type", "currency",
        "unit_amount", "unit_amount_decimal", "billing_scheme", "tiers_mode", "tiers",
        "transform_quantity", "custom_unit_amount", "tax_behavior", "interval", "interval_count",
        "usage_type", "meter", "created", "livemode", "deleted", "metadata", as_of, revision
    )
    SELECT
        r."id", r."product_id", r."active", r."lookup_key", r."nickname", r."type", r."currency",
        r."unit_amount", r."unit_amount_decimal"::numeric, r."billing_scheme", r."tiers_mode",
        r."tiers", r."transform_quantity", r."custom_unit_amount", r."tax_behavior",
        r."interval", r."interval_count", r."usage_type", r."meter", to_timestamp(r."created"),
        r."livemode", r."deleted", r."metadata",
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
        "product_id" = CASE WHEN EXCLUDED."deleted" THEN coalesce(EXCLUDED."product_id", o."product_id") ELSE EXCLUDED."product_id" END,
        "active" = EXCLUDED."active",
        "lookup_key" = EXCLUDED."lookup_key",
        "nickname" = EXCLUDED."nickname",
        "type" = EXCLUDED."type",
        "currency" = EXCLUDED."currency",
        "unit_amount" = EXCLUDED."unit_amount",
        "unit_amount_decimal" = EXCLUDED."unit_amount_decimal",
        "billing_scheme" = EXCLUDED."billing_scheme",
        "tiers_mode" = EXCLUDED."tiers_mode",
        "tiers" = EXCLUDED."tiers",
        "transform_quantity" = EXCLUDED."transform_quantity",
        "custom_unit_amount" = EXCLUDED."custom_unit_amount",
        "tax_behavior" = EXCLUDED."tax_behavior",
        "interval" = EXCLUDED."interval",
        "interval_count" = EXCLUDED."interval_count",
        "usage_type" = EXCLUDED."usage_type",
        "meter" = EXCLUDED."meter",
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
        'price', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, w.fields
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
        WHERE c.object = 'price'
    ),
    (
        SELECT
        json_build_array(
            json_build_array(
                o."id", o."product_id", o."active", o."lookup_key", o."nickname", o."type",
                o."currency", o."unit_amount", o."unit_amount_decimal"::text, o."billing_scheme",
                o."tiers_mode", o."tiers"::text, o."transform_quantity"::text,
                o."custom_unit_amount"::text, o."tax_behavior", o."interval", o."interval_count",
                o."usage_type", o."meter", stripe.seconds(o."created"), o."livemode",
                o."deleted", o."metadata"::text
            ),
            '[]'::json,
            json_build_array(
                floor(extract(epoch FROM lower(o.as_of)))::bigint,
                ceil(extract(epoch FROM upper(o.as_of)))::bigint
            ),
            o.revision,
            stripe.seconds(o."missing_in_stripe_since")
        )::text
        FROM stripe.prices AS o
        WHERE o.id = %(id)s::text AND NOT EXISTS (SELECT FROM newer)
    );

-- apply_event.look.price
-- Return what the ledger says of the event, and what is held of the object.
SELECT
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    (
        SELECT ceil(extract(epoch FROM c.began))::bigint
        FROM stripe.compared AS c
        WHERE c.object = 'price'
    ),
    (
        SELECT
        json_build_array(
            json_build_array(
                o."id", o."product_id", o."active", o."lookup_key", o."nickname", o."type",
                o."currency", o."unit_amount", o."unit_amount_decimal"::text, o."billing_scheme",
                o."tiers_mode", o."tiers"::text, o."transform_quantity"::text,
                o."custom_unit_amount"::text, o."tax_behavior", o."interval", o."interval_count",
                o."usage_type", o."meter", stripe.seconds(o."created"), o."livemode",
                o."deleted", o."metadata"::text
            ),
            '[]'::json,
            json_build_array(
                floor(extract(epoch FROM lower(o.as_of)))::bigint,
                ceil(extract(epoch FROM upper(o.as_of)))::bigint
            ),
            o.revision,
            stripe.seconds(o."missing_in_stripe_since")
        )::text
        FROM stripe.prices AS o
        WHERE o.id = %(id)s::text
    );
