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

-- apply_event.write_for_event.subscription
-- Write one row with its items, its change and its event's ledger row, all or nothing.
WITH incoming AS (
    SELECT given.*, r.*
    FROM json_to_recordset(%(rows)s::json) AS given (
        content json, items json, fields jsonb, lower bigint, upper bigint, at_revision bigint
    )
    CROSS JOIN LATERAL json_to_record(given.content) AS r (
        "id" text, "customer_id" text, "customer_account" text, "status" text, "currency" text,
        "collection_method" text, "cancel_at_period_end" boolean, "cancel_at" bigint,
        "canceled_at" bigint, "ended_at" bigint, "trial_start" bigint, "trial_end" bigint,
        "current_period_start" bigint, "current_period_end" bigint,
        "billing_cycle_anchor" bigint, "created" bigint, "start_date" bigint,
        "days_until_due" bigint, "pause_collection" jsonb, "discounts" jsonb,
        "default_payment_method" text, "latest_invoice" text, "schedule" text, "test_clock" text,
        "livemode" boolean, "metadata" jsonb
    )
    WHERE NOT EXISTS (
            SELECT FROM stripe.compared AS c
            WHERE c.object = 'subscription' AND c.began >= to_timestamp(%(ended)s::bigint)
        )
    LIMIT 1
),
inserted AS (
    INSERT INTO stripe.subscriptions (
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
    UPDATE stripe.subscriptions AS o SET
        "customer_id" = r."customer_id",
        "customer_account" = r."customer_account",
        "status" = r."status",
        "currency" = r."currency",
        "collection_method" = r."collection_method",
        "cancel_at_period_end" = r."cancel_at_period_end",
        "cancel_at" = to_timestamp(r."cancel_at"),
        "canceled_at" = to_timestamp(r."canceled_at"),
        "ended_at" = to_timestamp(r."ended_at"),
        "trial_start" = to_timestamp(r."trial_start"),
        "trial_end" = to_timestamp(r."trial_end"),
        "current_period_start" = to_timestamp(r."current_period_start"),
        "current_period_end" = to_timestamp(r."current_period_end"),
        "billing_cycle_anchor" = to_timestamp(r."billing_cycle_anchor"),
        "created" = to_timestamp(r."created"),
        "start_date" = to_timestamp(r."start_date"),
        "days_until_due" = r."days_until_due",
        "pause_collection" = r."pause_collection",
        "discounts" = r."discounts",
        "default_payment_method" = r."default_payment_method",
        "latest_invoice" = r."latest_invoice",
        "schedule" = r."schedule",
        "test_clock" = r."test_clock",
        "livemode" = r."livemode",
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
touched AS (
    SELECT id, items FROM written WHERE items IS NOT NULL
),
incoming_items AS (
    SELECT t.id AS parent_id, i.*
    FROM touched AS t
    CROSS JOIN LATERAL json_to_recordset(t.items) AS i (
        "id" text, "price_id" text, "product_id" text, "quantity" bigint, "unit_amount" bigint,
        "unit_amount_decimal" text, "currency" text, "interval" text, "interval_count" bigint,
        "usage_type" text, "transform_quantity" jsonb, "current_period_start" bigint,
        "current_period_end" bigint, "created" bigint, "metadata" jsonb
    )
),
removed_items AS (
    DELETE FROM stripe.subscription_items AS o
    WHERE o.subscription_id = ANY(ARRAY(SELECT id FROM touched))
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
        %(api_version)s::text, %(source)s::text, %(outcome)s::text, %(error)s::text, %(payload)s::bytea
    FROM written AS w
    ON CONFLICT (id) DO UPDATE SET
        object_id = coalesce(EXCLUDED.object_id, events.object_id),
        outcome = EXCLUDED.outcome,
        error = EXCLUDED.error,
        payload = EXCLUDED.payload,
        attempts = events.attempts + 1,
        processed_at = now()
)
SELECT id FROM written;
