-- window.read_again.subscription
-- Return the rows of these ids, with all that is in them.
SELECT
    json_agg(
        json_build_array(
            o.id, date_part('epoch', o.created)::bigint, o.revision, o."status",
            f.body_length, f.body_hash
        )
    ) FILTER (WHERE f.object_id IS NOT NULL)::text,
    json_agg(
        json_build_array(
            floor(extract(epoch FROM lower(o.as_of)))::bigint,
            ceil(extract(epoch FROM upper(o.as_of)))::bigint,
            o.revision,
            stripe.seconds(o."missing_in_stripe_since"),
            h.row_hash,
            (
                SELECT row_to_json(r)
                FROM (SELECT
                    o."id" AS "id",
                    o."customer_id" AS "customer",
                    o."customer_account" AS "customer_account",
                    o."status" AS "status",
                    o."currency" AS "currency",
                    o."collection_method" AS "collection_method",
                    o."cancel_at_period_end" AS "cancel_at_period_end",
                    CASE WHEN stripe.is_whole(o."cancel_at") THEN date_part('epoch', o."cancel_at")::bigint WHEN o."cancel_at" IS NOT NULL THEN 9223372036854775807 END AS "cancel_at",
                    CASE WHEN stripe.is_whole(o."canceled_at") THEN date_part('epoch', o."canceled_at")::bigint WHEN o."canceled_at" IS NOT NULL THEN 9223372036854775807 END AS "canceled_at",
                    CASE WHEN stripe.is_whole(o."ended_at") THEN date_part('epoch', o."ended_at")::bigint WHEN o."ended_at" IS NOT NULL THEN 9223372036854775807 END AS "ended_at",
                    CASE WHEN stripe.is_whole(o."trial_start") THEN date_part('epoch', o."trial_start")::bigint WHEN o."trial_start" IS NOT NULL THEN 9223372036854775807 END AS "trial_start",
                    CASE WHEN stripe.is_whole(o."trial_end") THEN date_part('epoch', o."trial_end")::bigint WHEN o."trial_end" IS NOT NULL THEN 9223372036854775807 END AS "trial_end",
                    CASE WHEN stripe.is_whole(o."current_period_start") THEN date_part('epoch', o."current_period_start")::bigint WHEN o."current_period_start" IS NOT NULL THEN 9223372036854775807 END AS "current_period_start",
                    CASE WHEN stripe.is_whole(o."current_period_end") THEN date_part('epoch', o."current_period_end")::bigint WHEN o."current_period_end" IS NOT NULL THEN 9223372036854775807 END AS "current_period_end",
                    CASE WHEN stripe.is_whole(o."billing_cycle_anchor") THEN date_part('epoch', o."billing_cycle_anchor")::bigint WHEN o."billing_cycle_anchor" IS NOT NULL THEN 9223372036854775807 END AS "billing_cycle_anchor",
                    CASE WHEN stripe.is_whole(o."created") THEN date_part('epoch', o."created")::bigint WHEN o."created" IS NOT NULL THEN 9223372036854775807 END AS "created",
                    CASE WHEN stripe.is_whole(o."start_date") THEN date_part('epoch', o."start_date")::bigint WHEN o."start_date" IS NOT NULL THEN 9223372036854775807 END AS "start_date",
                    o."days_until_due" AS "days_until_due",
                    CASE WHEN o."pause_collection" = 'null' THEN '"null"' ELSE o."pause_collection" END AS "pause_collection",
                    CASE WHEN o."discounts" = '[]' THEN o."discounts"
        WHEN o."discounts" = 'null' OR o."discounts" @? '$[*] ? (@.type() != "string")' THEN '"null"' ELSE o."discounts" END AS "discounts",
                    o."default_payment_method" AS "default_payment_method",
                    o."latest_invoice" AS "latest_invoice",
                    o."schedule" AS "schedule",
                    o."test_clock" AS "test_clock",
                    o."livemode" AS "livemode",
                    CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END AS "metadata",
                    (
                        SELECT row_to_json(r)
                        FROM (SELECT
                            (
                                SELECT coalesce(
                                    json_agg(
                                        (
                                            SELECT row_to_json(r)
                                            FROM (SELECT
                                                i."id" AS "id",
                                                (
                                                    SELECT row_to_json(r)
                                                    FROM (SELECT
                                                        i."price_id" AS "id",
                                                        i."product_id" AS "product",
                                                        i."unit_amount" AS "unit_amount",
                                                        i."unit_amount_decimal"::text AS "unit_amount_decimal",
                                                        i."currency" AS "currency",
                                                        (
                                                            SELECT row_to_json(r)
                                                            FROM (SELECT
                                                                i."interval" AS "interval",
                                                                i."interval_count" AS "interval_count",
                                                                i."usage_type" AS "usage_type"
                                                            ) AS r
                                                        ) AS "recurring",
                                                        CASE WHEN i."transform_quantity" = 'null' THEN '"null"' ELSE i."transform_quantity" END AS "transform_quantity"
                                                    ) AS r
                                                ) AS "price",
                                                i."quantity" AS "quantity",
                                                CASE WHEN stripe.is_whole(i."current_period_start") THEN date_part('epoch', i."current_period_start")::bigint WHEN i."current_period_start" IS NOT NULL THEN 9223372036854775807 END AS "current_period_start",
                                                CASE WHEN stripe.is_whole(i."current_period_end") THEN date_part('epoch', i."current_period_end")::bigint WHEN i."current_period_end" IS NOT NULL THEN 9223372036854775807 END AS "current_period_end",
                                                CASE WHEN stripe.is_whole(i."created") THEN date_part('epoch', i."created")::bigint WHEN i."created" IS NOT NULL THEN 9223372036854775807 END AS "created",
                                                CASE WHEN i."metadata" = 'null' THEN '"null"' ELSE i."metadata" END AS "metadata"
                                            ) AS r
                                        )
                                        ORDER BY i.id COLLATE "C"
                                    ),
                                    '[]'
                                )
                                FROM stripe.subscription_items AS i
                                WHERE i.subscription_id = o.id
                            ) AS "data"
                        ) AS r
                    ) AS "items"
                ) AS r
            )
        )
        ORDER BY o.created DESC
    ) FILTER (WHERE f.object_id IS NULL)::text
FROM stripe.subscriptions AS o
CROSS JOIN LATERAL (
    SELECT hash_record_extended(
            ROW(record_send(ROW(o."id", o."customer_id", o."customer_account", o."status", o."currency",
            o."collection_method", o."cancel_at_period_end", o."cancel_at", o."canceled_at",
            o."ended_at", o."trial_start", o."trial_end", o."current_period_start",
            o."current_period_end", o."billing_cycle_anchor", o."created", o."start_date",
            o."days_until_due", o."pause_collection", o."discounts", o."default_payment_method",
            o."latest_invoice", o."schedule", o."test_clock", o."livemode", o."metadata",
            (
                SELECT bit_xor(hash_record_extended(
                    ROW(record_send(ROW(i."id", i."price_id", i."product_id", i."quantity", i."unit_amount",
                    i."unit_amount_decimal", i."currency", i."interval", i."interval_count",
                    i."usage_type", i."transform_quantity", i."current_period_start",
                    i."current_period_end", i."created", i."metadata"))),
                    %(seed)s::bigint
                ))
                FROM stripe.subscription_items AS i
                WHERE i.subscription_id = o.id
            )))),
            %(seed)s::bigint
        ) AS row_hash
    OFFSET 0
) AS h
LEFT JOIN LATERAL (
    SELECT f.object_id, f.body_length, f.body_hash
    FROM stripe.fingerprints AS f
    WHERE f.object_id = o.id
        AND f.row_hash = h.row_hash
        AND o.missing_in_stripe_since IS NULL
        AND %(recall)s::boolean
    LIMIT 1
) AS f ON true
WHERE o.id = ANY(%(ids)s::text[]);

-- window.read_window.subscription
-- Return all rows whose `created` lies in `[gte, lt)`.
SELECT
    json_agg(
        json_build_array(
            o.id, date_part('epoch', o.created)::bigint, o.revision, o."status",
            f.body_length, f.body_hash
        )
    ) FILTER (WHERE f.object_id IS NOT NULL)::text,
    json_agg(
        json_build_array(
            floor(extract(epoch FROM lower(o.as_of)))::bigint,
            ceil(extract(epoch FROM upper(o.as_of)))::bigint,
            o.revision,
            stripe.seconds(o."missing_in_stripe_since"),
            h.row_hash,
            (
                SELECT row_to_json(r)
                FROM (SELECT
                    o."id" AS "id",
                    o."customer_id" AS "customer",
                    o."customer_account" AS "customer_account",
                    o."status" AS "status",
                    o."currency" AS "currency",
                    o."collection_method" AS "collection_method",
                    o."cancel_at_period_end" AS "cancel_at_period_end",
                    CASE WHEN stripe.is_whole(o."cancel_at") THEN date_part('epoch', o."cancel_at")::bigint WHEN o."cancel_at" IS NOT NULL THEN 9223372036854775807 END AS "cancel_at",
                    CASE WHEN stripe.is_whole(o."canceled_at") THEN date_part('epoch', o."canceled_at")::bigint WHEN o."canceled_at" IS NOT NULL THEN 9223372036854775807 END AS "canceled_at",
                    CASE WHEN stripe.is_whole(o."ended_at") THEN date_part('epoch', o."ended_at")::bigint WHEN o."ended_at" IS NOT NULL THEN 9223372036854775807 END AS "ended_at",
                    CASE WHEN stripe.is_whole(o."trial_start") THEN date_part('epoch', o."trial_start")::bigint WHEN o."trial_start" IS NOT NULL THEN 9223372036854775807 END AS "trial_start",
                    CASE WHEN stripe.is_whole(o."trial_end") THEN date_part('epoch', o."trial_end")::bigint WHEN o."trial_end" IS NOT NULL THEN 9223372036854775807 END AS "trial_end",
                    CASE WHEN stripe.is_whole(o."current_period_start") THEN date_part('epoch', o."current_period_start")::bigint WHEN o."current_period_start" IS NOT NULL THEN 9223372036854775807 END AS "current_period_start",
                    CASE WHEN stripe.is_whole(o."current_period_end") THEN date_part('epoch', o."current_period_end")::bigint WHEN o."current_period_end" IS NOT NULL THEN 9223372036854775807 END AS "current_period_end",
                    CASE WHEN stripe.is_whole(o."billing_cycle_anchor") THEN date_part('epoch', o."billing_cycle_anchor")::bigint WHEN o."billing_cycle_anchor" IS NOT NULL THEN 9223372036854775807 END AS "billing_cycle_anchor",
                    CASE WHEN stripe.is_whole(o."created") THEN date_part('epoch', o."created")::bigint WHEN o."created" IS NOT NULL THEN 9223372036854775807 END AS "created",
                    CASE WHEN stripe.is_whole(o."start_date") THEN date_part('epoch', o."start_date")::bigint WHEN o."start_date" IS NOT NULL THEN 9223372036854775807 END AS "start_date",
                    o."days_until_due" AS "days_until_due",
                    CASE WHEN o."pause_collection" = 'null' THEN '"null"' ELSE o."pause_collection" END AS "pause_collection",
                    CASE WHEN o."discounts" = '[]' THEN o."discounts"
        WHEN o."discounts" = 'null' OR o."discounts" @? '$[*] ? (@.type() != "string")' THEN '"null"' ELSE o."discounts" END AS "discounts",
                    o."default_payment_method" AS "default_payment_method",
                    o."latest_invoice" AS "latest_invoice",
                    o."schedule" AS "schedule",
                    o."test_clock" AS "test_clock",
                    o."livemode" AS "livemode",
                    CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END AS "metadata",
                    (
                        SELECT row_to_json(r)
                        FROM (SELECT
                            (
                                SELECT coalesce(
                                    json_agg(
                                        (
                                            SELECT row_to_json(r)
                                            FROM (SELECT
                                                i."id" AS "id",
                                                (
                                                    SELECT row_to_json(r)
                                                    FROM (SELECT
                                                        i."price_id" AS "id",
                                                        i."product_id" AS "product",
                                                        i."unit_amount" AS "unit_amount",
                                                        i."unit_amount_decimal"::text AS "unit_amount_decimal",
                                                        i."currency" AS "currency",
                                                        (
                                                            SELECT row_to_json(r)
                                                            FROM (SELECT
                                                                i."interval" AS "interval",
                                                                i."interval_count" AS "interval_count",
                                                                i."usage_type" AS "usage_type"
                                                            ) AS r
                                                        ) AS "recurring",
                                                        CASE WHEN i."transform_quantity" = 'null' THEN '"null"' ELSE i."transform_quantity" END AS "transform_quantity"
                                                    ) AS r
                                                ) AS "price",
                                                i."quantity" AS "quantity",
                                                CASE WHEN stripe.is_whole(i."current_period_start") THEN date_part('epoch', i."current_period_start")::bigint WHEN i."current_period_start" IS NOT NULL THEN 9223372036854775807 END AS "current_period_start",
                                                CASE WHEN stripe.is_whole(i."current_period_end") THEN date_part('epoch', i."current_period_end")::bigint WHEN i."current_period_end" IS NOT NULL THEN 9223372036854775807 END AS "current_period_end",
                                                CASE WHEN stripe.is_whole(i."created") THEN date_part('epoch', i."created")::bigint WHEN i."created" IS NOT NULL THEN 9223372036854775807 END AS "created",
                                                CASE WHEN i."metadata" = 'null' THEN '"null"' ELSE i."metadata" END AS "metadata"
                                            ) AS r
                                        )
                                        ORDER BY i.id COLLATE "C"
                                    ),
                                    '[]'
                                )
                                FROM stripe.subscription_items AS i
                                WHERE i.subscription_id = o.id
                            ) AS "data"
                        ) AS r
                    ) AS "items"
                ) AS r
            )
        )
        ORDER BY o.created DESC
    ) FILTER (WHERE f.object_id IS NULL)::text
FROM stripe.subscriptions AS o
CROSS JOIN LATERAL (
    SELECT hash_record_extended(
            ROW(record_send(ROW(o."id", o."customer_id", o."customer_account", o."status", o."currency",
            o."collection_method", o."cancel_at_period_end", o."cancel_at", o."canceled_at",
            o."ended_at", o."trial_start", o."trial_end", o."current_period_start",
            o."current_period_end", o."billing_cycle_anchor", o."created", o."start_date",
            o."days_until_due", o."pause_collection", o."discounts", o."default_payment_method",
            o."latest_invoice", o."schedule", o."test_clock", o."livemode", o."metadata",
            (
                SELECT bit_xor(hash_record_extended(
                    ROW(record_send(ROW(i."id", i."price_id", i."product_id", i."quantity", i."unit_amount",
                    i."unit_amount_decimal", i."currency", i."interval", i."interval_count",
                    i."usage_type", i."transform_quantity", i."current_period_start",
                    i."current_period_end", i."created", i."metadata"))),
                    %(seed)s::bigint
                ))
                FROM stripe.subscription_items AS i
                WHERE i.subscription_id = o.id
            )))),
            %(seed)s::bigint
        ) AS row_hash
    OFFSET 0
) AS h
LEFT JOIN LATERAL (
    SELECT f.object_id, f.body_length, f.body_hash
    FROM stripe.fingerprints AS f
    WHERE f.object_id = o.id
        AND f.row_hash = h.row_hash
        AND o.missing_in_stripe_since IS NULL
        AND %(recall)s::boolean
    LIMIT 1
) AS f ON true
WHERE o.created >= to_timestamp(%(gte)s::bigint)
    AND o.created < to_timestamp(%(lt)s::bigint);
