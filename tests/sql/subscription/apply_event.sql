-- apply_event.apply_if_newer.subscription
-- Write an event's whole snapshot with its change and its ledger row if it is simply newer.
WITH newer AS (
    SELECT
        r.*,
        o.revision AS at_revision,
        ARRAY[
            CASE WHEN o."id" IS DISTINCT FROM r."id"
                THEN jsonb_build_array(o."id", r."id") END,
            CASE WHEN o."customer_id" IS DISTINCT FROM r."customer_id"
                THEN jsonb_build_array(o."customer_id", r."customer_id") END,
            CASE WHEN o."customer_account" IS DISTINCT FROM r."customer_account"
                THEN jsonb_build_array(o."customer_account", r."customer_account") END,
            CASE WHEN o."status" IS DISTINCT FROM r."status"
                THEN jsonb_build_array(o."status", r."status") END,
            CASE WHEN o."currency" IS DISTINCT FROM r."currency"
                THEN jsonb_build_array(o."currency", r."currency") END,
            CASE WHEN o."collection_method" IS DISTINCT FROM r."collection_method"
                THEN jsonb_build_array(o."collection_method", r."collection_method") END,
            CASE WHEN o."cancel_at_period_end" IS DISTINCT FROM r."cancel_at_period_end"
                THEN jsonb_build_array(o."cancel_at_period_end", r."cancel_at_period_end") END,
            CASE WHEN o."cancel_at" IS DISTINCT FROM to_timestamp(r."cancel_at")
                THEN jsonb_build_array(stripe.seconds(o."cancel_at"), r."cancel_at") END,
            CASE WHEN o."canceled_at" IS DISTINCT FROM to_timestamp(r."canceled_at")
                THEN jsonb_build_array(stripe.seconds(o."canceled_at"), r."canceled_at") END,
            CASE WHEN o."ended_at" IS DISTINCT FROM to_timestamp(r."ended_at")
                THEN jsonb_build_array(stripe.seconds(o."ended_at"), r."ended_at") END,
            CASE WHEN o."trial_start" IS DISTINCT FROM to_timestamp(r."trial_start")
                THEN jsonb_build_array(stripe.seconds(o."trial_start"), r."trial_start") END,
            CASE WHEN o."trial_end" IS DISTINCT FROM to_timestamp(r."trial_end")
                THEN jsonb_build_array(stripe.seconds(o."trial_end"), r."trial_end") END,
            CASE WHEN o."current_period_start" IS DISTINCT FROM to_timestamp(r."current_period_start")
                THEN jsonb_build_array(stripe.seconds(o."current_period_start"), r."current_period_start") END,
            CASE WHEN o."current_period_end" IS DISTINCT FROM to_timestamp(r."current_period_end")
                THEN jsonb_build_array(stripe.seconds(o."current_period_end"), r."current_period_end") END,
            CASE WHEN o."billing_cycle_anchor" IS DISTINCT FROM to_timestamp(r."billing_cycle_anchor")
                THEN jsonb_build_array(stripe.seconds(o."billing_cycle_anchor"), r."billing_cycle_anchor") END,
            CASE WHEN o."created" IS DISTINCT FROM to_timestamp(r."created")
                THEN jsonb_build_array(stripe.seconds(o."created"), r."created") END,
            CASE WHEN o."start_date" IS DISTINCT FROM to_timestamp(r."start_date")
                THEN jsonb_build_array(stripe.seconds(o."start_date"), r."start_date") END,
            CASE WHEN o."days_until_due" IS DISTINCT FROM r."days_until_due"
                THEN jsonb_build_array(o."days_until_due", r."days_until_due") END,
            CASE WHEN o."pause_collection" IS DISTINCT FROM r."pause_collection"
                THEN jsonb_build_array(CASE WHEN o."pause_collection" = 'null' THEN '"null"' ELSE o."pause_collection" END, r."pause_collection") END,
            CASE WHEN o."discounts" IS DISTINCT FROM r."discounts"
                THEN jsonb_build_array(CASE WHEN o."discounts" = 'null' THEN '"null"' ELSE o."discounts" END, r."discounts") END,
            CASE WHEN o."default_payment_method" IS DISTINCT FROM r."default_payment_method"
                THEN jsonb_build_array(o."default_payment_method", r."default_payment_method") END,
            CASE WHEN o."latest_invoice" IS DISTINCT FROM r."latest_invoice"
                THEN jsonb_build_array(o."latest_invoice", r."latest_invoice") END,
            CASE WHEN o."schedule" IS DISTINCT FROM r."schedule"
                THEN jsonb_build_array(o."schedule", r."schedule") END,
            CASE WHEN o."test_clock" IS DISTINCT FROM r."test_clock"
                THEN jsonb_build_array(o."test_clock", r."test_clock") END,
            CASE WHEN o."livemode" IS DISTINCT FROM r."livemode"
                THEN jsonb_build_array(o."livemode", r."livemode") END,
            CASE WHEN o."metadata" IS DISTINCT FROM r."metadata"
                THEN jsonb_build_array(CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END, r."metadata") END,
            CASE WHEN o.missing_in_stripe_since IS NOT NULL
                THEN jsonb_build_array(stripe.seconds(o."missing_in_stripe_since"), NULL) END
        ] AS pairs
    FROM json_to_record(%(row)s::json) AS r (
        "id" text, "customer_id" text, "customer_account" text, "status" text, "currency" text,
        "collection_method" text, "cancel_at_period_end" boolean, "cancel_at" bigint,
        "canceled_at" bigint, "ended_at" bigint, "trial_start" bigint, "trial_end" bigint,
        "current_period_start" bigint, "current_period_end" bigint,
        "billing_cycle_anchor" bigint, "created" bigint, "start_date" bigint,
        "days_until_due" bigint, "pause_collection" jsonb, "discounts" jsonb,
        "default_payment_method" text, "latest_invoice" text, "schedule" text, "test_clock" text,
        "livemode" boolean, "metadata" jsonb, lower bigint, upper bigint, items json
    )
    LEFT JOIN stripe.subscriptions AS o ON o.id = %(id)s::text
    WHERE NOT EXISTS (
            SELECT FROM stripe.events AS e
            WHERE e.id = %(event_id)s::text AND e.outcome <> 'failed'
        )
        AND (o.id IS NULL OR tstzrange(to_timestamp(r.lower), to_timestamp(r.upper)) >> o.as_of
            AND (%(is_terminal)s::boolean OR NOT o."status" IN ('canceled', 'incomplete_expired')))
        AND NOT EXISTS (
            SELECT FROM stripe.compared AS c
            WHERE c.object = 'subscription' AND c.began >= to_timestamp(r.upper)
        )
),
incoming_items AS (
    SELECT %(id)s::text AS parent_id, i.*
    FROM json_to_recordset((SELECT items FROM newer)) AS i (
        "id" text, "price_id" text, "product_id" text, "quantity" bigint, "unit_amount" bigint,
        "unit_amount_decimal" text, "currency" text, "interval" text, "interval_count" bigint,
        "usage_type" text, "transform_quantity" jsonb, "current_period_start" bigint,
        "current_period_end" bigint, "created" bigint, "metadata" jsonb
    )
),
held_items AS MATERIALIZED (
    SELECT i.*
    FROM stripe.subscription_items AS i
    WHERE i.subscription_id = %(id)s::text AND EXISTS (SELECT FROM newer)
),
differing_items AS (
    SELECT 'items.' || coalesce(n.id, o.id) || f.name AS name, f.pair
    FROM held_items AS o
    FULL JOIN incoming_items AS n ON n.id = o.id
    CROSS JOIN LATERAL unnest(
        CASE
            WHEN n.id IS NULL OR o.id IS NULL THEN ARRAY['']
            ELSE ARRAY[
                '.id', '.price_id', '.product_id', '.quantity', '.unit_amount',
                '.unit_amount_decimal', '.currency', '.interval', '.interval_count',
                '.usage_type', '.transform_quantity', '.current_period_start',
                '.current_period_end', '.created', '.metadata'
            ]
        END,
        CASE
            WHEN n.id IS NULL
            THEN ARRAY[jsonb_build_array(
                jsonb_strip_nulls(jsonb_build_object(
                    'id', o."id",
                    'price_id', o."price_id",
                    'product_id', o."product_id",
                    'quantity', o."quantity",
                    'unit_amount', o."unit_amount",
                    'unit_amount_decimal', o."unit_amount_decimal"::text,
                    'currency', o."currency",
                    'interval', o."interval",
                    'interval_count', o."interval_count",
                    'usage_type', o."usage_type",
                    'current_period_start', stripe.seconds(o."current_period_start"),
                    'current_period_end', stripe.seconds(o."current_period_end"),
                    'created', stripe.seconds(o."created")
                ))
                || CASE WHEN o."transform_quantity" IS NULL THEN '{}' ELSE jsonb_build_object('transform_quantity', CASE WHEN o."transform_quantity" = 'null' THEN '"null"' ELSE o."transform_quantity" END) END
                || CASE WHEN o."metadata" IS NULL THEN '{}' ELSE jsonb_build_object('metadata', CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END) END
            , NULL)]
            WHEN o.id IS NULL
            THEN ARRAY[jsonb_build_array(NULL, 
                jsonb_strip_nulls(jsonb_build_object(
                    'id', n."id",
                    'price_id', n."price_id",
                    'product_id', n."product_id",
                    'quantity', n."quantity",
                    'unit_amount', n."unit_amount",
                    'unit_amount_decimal', n."unit_amount_decimal",
                    'currency', n."currency",
                    'interval', n."interval",
                    'interval_count', n."interval_count",
                    'usage_type', n."usage_type",
                    'current_period_start', n."current_period_start",
                    'current_period_end', n."current_period_end",
                    'created', n."created"
                ))
                || CASE WHEN n."transform_quantity" IS NULL THEN '{}' ELSE jsonb_build_object('transform_quantity', n."transform_quantity") END
                || CASE WHEN n."metadata" IS NULL THEN '{}' ELSE jsonb_build_object('metadata', n."metadata") END
            )]
            ELSE ARRAY[
                CASE WHEN o."id" IS DISTINCT FROM n."id"
                    THEN jsonb_build_array(o."id", n."id") END,
                CASE WHEN o."price_id" IS DISTINCT FROM n."price_id"
                    THEN jsonb_build_array(o."price_id", n."price_id") END,
                CASE WHEN o."product_id" IS DISTINCT FROM n."product_id"
                    THEN jsonb_build_array(o."product_id", n."product_id") END,
                CASE WHEN o."quantity" IS DISTINCT FROM n."quantity"
                    THEN jsonb_build_array(o."quantity", n."quantity") END,
                CASE WHEN o."unit_amount" IS DISTINCT FROM n."unit_amount"
                    THEN jsonb_build_array(o."unit_amount", n."unit_amount") END,
                CASE WHEN o."unit_amount_decimal" IS DISTINCT FROM n."unit_amount_decimal"::numeric
                    THEN jsonb_build_array(o."unit_amount_decimal"::text, n."unit_amount_decimal") END,
                CASE WHEN o."currency" IS DISTINCT FROM n."currency"
                    THEN jsonb_build_array(o."currency", n."currency") END,
                CASE WHEN o."interval" IS DISTINCT FROM n."interval"
                    THEN jsonb_build_array(o."interval", n."interval") END,
                CASE WHEN o."interval_count" IS DISTINCT FROM n."interval_count"
                    THEN jsonb_build_array(o."interval_count", n."interval_count") END,
                CASE WHEN o."usage_type" IS DISTINCT FROM n."usage_type"
                    THEN jsonb_build_array(o."usage_type", n."usage_type") END,
                CASE WHEN o."transform_quantity" IS DISTINCT FROM n."transform_quantity"
                    THEN jsonb_build_array(CASE WHEN o."transform_quantity" = 'null' THEN '"null"' ELSE o."transform_quantity" END, n."transform_quantity") END,
                CASE WHEN o."current_period_start" IS DISTINCT FROM to_timestamp(n."current_period_start")
                    THEN jsonb_build_array(stripe.seconds(o."current_period_start"), n."current_period_start") END,
                CASE WHEN o."current_period_end" IS DISTINCT FROM to_timestamp(n."current_period_end")
                    THEN jsonb_build_array(stripe.seconds(o."current_period_end"), n."current_period_end") END,
                CASE WHEN o."created" IS DISTINCT FROM to_timestamp(n."created")
                    THEN jsonb_build_array(stripe.seconds(o."created"), n."created") END,
                CASE WHEN o."metadata" IS DISTINCT FROM n."metadata"
                    THEN jsonb_build_array(CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END, n."metadata") END
            ]
        END
    ) AS f (name, pair)
    WHERE f.pair IS NOT NULL
),
differing AS (
    SELECT f.name, f.pair
    FROM unnest(
        ARRAY[
            'id', 'customer_id', 'customer_account', 'status', 'currency', 'collection_method',
            'cancel_at_period_end', 'cancel_at', 'canceled_at', 'ended_at', 'trial_start',
            'trial_end', 'current_period_start', 'current_period_end', 'billing_cycle_anchor',
            'created', 'start_date', 'days_until_due', 'pause_collection', 'discounts',
            'default_payment_method', 'latest_invoice', 'schedule', 'test_clock', 'livemode',
            'metadata', 'missing_in_stripe_since'
        ],
        (SELECT pairs FROM newer)
    ) AS f (name, pair)
    WHERE f.pair IS NOT NULL
    UNION ALL
    SELECT name, pair FROM differing_items
),
written AS (
    INSERT INTO stripe.subscriptions AS o (
        "id", "customer_id", "customer_account", "status", "currency", "collection_method",
        "cancel_at_period_end", "cancel_at", "canceled_at", "ended_at", "trial_start",
        "trial_end", "current_period_start", "current_period_end", "billing_cycle_anchor",
        "created", "start_date", "days_until_due", "pause_collection", "discounts",
        "default_payment_method", "latest_invoice", "schedule", "test_clock", "livemode",
        "metadata", as_of, revision
    )
    SELECT
        r."id", r."customer_id", r."customer_account", r."status", r."currency",
        r."collection_method", r."cancel_at_period_end", to_timestamp(r."cancel_at"),
        to_timestamp(r."canceled_at"), to_timestamp(r."ended_at"), to_timestamp(r."trial_start"),
        to_timestamp(r."trial_end"), to_timestamp(r."current_period_start"),
        to_timestamp(r."current_period_end"), to_timestamp(r."billing_cycle_anchor"),
        to_timestamp(r."created"), to_timestamp(r."start_date"), r."days_until_due",
        r."pause_collection", r."discounts", r."default_payment_method", r."latest_invoice",
        r."schedule", r."test_clock", r."livemode", r."metadata",
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
        "customer_id" = EXCLUDED."customer_id",
        "customer_account" = EXCLUDED."customer_account",
        "status" = EXCLUDED."status",
        "currency" = EXCLUDED."currency",
        "collection_method" = EXCLUDED."collection_method",
        "cancel_at_period_end" = EXCLUDED."cancel_at_period_end",
        "cancel_at" = EXCLUDED."cancel_at",
        "canceled_at" = EXCLUDED."canceled_at",
        "ended_at" = EXCLUDED."ended_at",
        "trial_start" = EXCLUDED."trial_start",
        "trial_end" = EXCLUDED."trial_end",
        "current_period_start" = EXCLUDED."current_period_start",
        "current_period_end" = EXCLUDED."current_period_end",
        "billing_cycle_anchor" = EXCLUDED."billing_cycle_anchor",
        "created" = EXCLUDED."created",
        "start_date" = EXCLUDED."start_date",
        "days_until_due" = EXCLUDED."days_until_due",
        "pause_collection" = EXCLUDED."pause_collection",
        "discounts" = EXCLUDED."discounts",
        "default_payment_method" = EXCLUDED."default_payment_method",
        "latest_invoice" = EXCLUDED."latest_invoice",
        "schedule" = EXCLUDED."schedule",
        "test_clock" = EXCLUDED."test_clock",
        "livemode" = EXCLUDED."livemode",
        "metadata" = EXCLUDED."metadata",
        missing_in_stripe_since = NULL,
        as_of = EXCLUDED.as_of,
        revision = o.revision + 1
    WHERE o.revision = (SELECT at_revision FROM newer)
    RETURNING id, revision, (SELECT jsonb_object_agg(name, pair) FROM differing) AS fields
),
touched AS (
    SELECT w.id FROM written AS w WHERE EXISTS (SELECT FROM differing_items)
),
removed_items AS (
    DELETE FROM stripe.subscription_items AS o
    USING touched AS t
    WHERE o.subscription_id = t.id
        AND o.subscription_id = ANY(ARRAY(SELECT id FROM touched))
        AND o.id NOT IN (SELECT i.id FROM incoming_items AS i)
),
written_items AS (
    INSERT INTO stripe.subscription_items (
        subscription_id, "id", "price_id", "product_id", "quantity", "unit_amount",
        "unit_amount_decimal", "currency", "interval", "interval_count", "usage_type",
        "transform_quantity", "current_period_start", "current_period_end", "created",
        "metadata"
    )
    SELECT
        t.id, i."id", i."price_id", i."product_id", i."quantity", i."unit_amount",
        i."unit_amount_decimal"::numeric, i."currency", i."interval", i."interval_count",
        i."usage_type", i."transform_quantity", to_timestamp(i."current_period_start"),
        to_timestamp(i."current_period_end"), to_timestamp(i."created"), i."metadata"
    FROM touched AS t
    JOIN incoming_items AS i ON i.parent_id = t.id
    ON CONFLICT (id) DO UPDATE SET
        "subscription_id" = EXCLUDED."subscription_id",
        "price_id" = EXCLUDED."price_id",
        "product_id" = EXCLUDED."product_id",
        "quantity" = EXCLUDED."quantity",
        "unit_amount" = EXCLUDED."unit_amount",
        "unit_amount_decimal" = EXCLUDED."unit_amount_decimal",
        "currency" = EXCLUDED."currency",
        "interval" = EXCLUDED."interval",
        "interval_count" = EXCLUDED."interval_count",
        "usage_type" = EXCLUDED."usage_type",
        "transform_quantity" = EXCLUDED."transform_quantity",
        "current_period_start" = EXCLUDED."current_period_start",
        "current_period_end" = EXCLUDED."current_period_end",
        "created" = EXCLUDED."created",
        "metadata" = EXCLUDED."metadata"
),
changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, event_id, run_id, fields)
    SELECT
        'subscription', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, w.fields
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
        WHERE c.object = 'subscription'
    ),
    (
        SELECT
        json_build_array(
            json_build_array(
                o."id", o."customer_id", o."customer_account", o."status", o."currency",
                o."collection_method", o."cancel_at_period_end", stripe.seconds(o."cancel_at"),
                stripe.seconds(o."canceled_at"), stripe.seconds(o."ended_at"),
                stripe.seconds(o."trial_start"), stripe.seconds(o."trial_end"),
                stripe.seconds(o."current_period_start"), stripe.seconds(o."current_period_end"),
                stripe.seconds(o."billing_cycle_anchor"), stripe.seconds(o."created"),
                stripe.seconds(o."start_date"), o."days_until_due", o."pause_collection"::text,
                o."discounts"::text, o."default_payment_method", o."latest_invoice",
                o."schedule", o."test_clock", o."livemode", o."metadata"::text
            ),
            coalesce(
                (
                    SELECT json_agg(
                        json_build_array(
                            i."id", i."price_id", i."product_id", i."quantity", i."unit_amount",
                            i."unit_amount_decimal"::text, i."currency", i."interval",
                            i."interval_count", i."usage_type", i."transform_quantity"::text,
                            stripe.seconds(i."current_period_start"),
                            stripe.seconds(i."current_period_end"), stripe.seconds(i."created"),
                            i."metadata"::text
                        )
                        ORDER BY i.id COLLATE "C"
                    )
                    FROM stripe.subscription_items AS i
                    WHERE i.subscription_id = o.id
                ),
                '[]'
            ),
            json_build_array(
                floor(extract(epoch FROM lower(o.as_of)))::bigint,
                ceil(extract(epoch FROM upper(o.as_of)))::bigint
            ),
            o.revision,
            stripe.seconds(o."missing_in_stripe_since")
        )::text
        FROM stripe.subscriptions AS o
        WHERE o.id = %(id)s::text AND NOT EXISTS (SELECT FROM newer)
    );

-- apply_event.look.subscription
-- Return what the ledger says of the event, and what is held of the object.
SELECT
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    (
        SELECT ceil(extract(epoch FROM c.began))::bigint
        FROM stripe.compared AS c
        WHERE c.object = 'subscription'
    ),
    (
        SELECT
        json_build_array(
            json_build_array(
                o."id", o."customer_id", o."customer_account", o."status", o."currency",
                o."collection_method", o."cancel_at_period_end", stripe.seconds(o."cancel_at"),
                stripe.seconds(o."canceled_at"), stripe.seconds(o."ended_at"),
                stripe.seconds(o."trial_start"), stripe.seconds(o."trial_end"),
                stripe.seconds(o."current_period_start"), stripe.seconds(o."current_period_end"),
                stripe.seconds(o."billing_cycle_anchor"), stripe.seconds(o."created"),
                stripe.seconds(o."start_date"), o."days_until_due", o."pause_collection"::text,
                o."discounts"::text, o."default_payment_method", o."latest_invoice",
                o."schedule", o."test_clock", o."livemode", o."metadata"::text
            ),
            coalesce(
                (
                    SELECT json_agg(
                        json_build_array(
                            i."id", i."price_id", i."product_id", i."quantity", i."unit_amount",
                            i."unit_amount_decimal"::text, i."currency", i."interval",
                            i."interval_count", i."usage_type", i."transform_quantity"::text,
                            stripe.seconds(i."current_period_start"),
                            stripe.seconds(i."current_period_end"), stripe.seconds(i."created"),
                            i."metadata"::text
                        )
                        ORDER BY i.id COLLATE "C"
                    )
                    FROM stripe.subscription_items AS i
                    WHERE i.subscription_id = o.id
                ),
                '[]'
            ),
            json_build_array(
                floor(extract(epoch FROM lower(o.as_of)))::bigint,
                ceil(extract(epoch FROM upper(o.as_of)))::bigint
            ),
            o.revision,
            stripe.seconds(o."missing_in_stripe_since")
        )::text
        FROM stripe.subscriptions AS o
        WHERE o.id = %(id)s::text
    );
