-- rows.boundaries.subscription
-- Return the `created` (epoch) of every so-manieth row that a list may name, ascending.
SELECT DISTINCT extract(epoch FROM created)::bigint AS boundary
FROM (
    SELECT
        created,
        is_listed,
        count(*) FILTER (WHERE is_listed) OVER upwards AS listed,
        count(*) FILTER (WHERE NOT is_listed) OVER upwards AS unlisted
    FROM (
        SELECT created, missing_in_stripe_since IS NULL AND test_clock IS NULL AS is_listed
        FROM stripe.subscriptions
        WHERE isfinite(created)
    ) AS told
    WINDOW upwards AS (ORDER BY created ROWS UNBOUNDED PRECEDING)
) AS numbered
WHERE CASE
    WHEN is_listed THEN listed % %(every)s::bigint = 0
    ELSE unlisted % (3 * %(every)s::bigint) = 0
END
ORDER BY boundary;

-- rows.newest_ids.subscription
-- Return the ids of the newest rows that Stripe is believed to know.
SELECT id
FROM stripe.subscriptions
WHERE isfinite(created)
    AND missing_in_stripe_since IS NULL AND test_clock IS NULL
ORDER BY created DESC
LIMIT %(count)s::bigint;

-- rows.number.subscription
-- Return how many rows there are.
SELECT count(*)
FROM stripe.subscriptions;

-- rows.read_beyond.subscription
-- Return the rows without a `created`, and those whose `created` lies outside `[0, end)`.
SELECT
    count(*) FILTER (WHERE is_absent),
    json_agg(id ORDER BY id) FILTER (WHERE NOT is_absent)::text
FROM (
    SELECT
        o.id,
        CASE
            WHEN o.missing_in_stripe_since IS NOT NULL
            THEN o.missing_in_stripe_since = lower(o.as_of) OR o.test_clock IS NULL
            ELSE false
        END AS is_absent
    FROM stripe.subscriptions AS o
    WHERE o.created IS NULL
        OR o.created < to_timestamp(0)
        OR o.created >= to_timestamp(%(end)s::bigint)
) AS beyond;

-- rows.read_held.subscription
-- Return what is held of these ids; an id without a row is left out.
SELECT json_agg(h.row)::text
FROM stripe.subscriptions AS o
CROSS JOIN LATERAL (
    SELECT
        json_build_array(
            json_build_array(
                o."id", o."customer_id", o."customer_account", o."status", o."currency",
                o."collection_method", o."cancel_at_period_end",
                CASE WHEN CASE WHEN isfinite(o."cancel_at") THEN o."cancel_at" = to_timestamp(date_part('epoch', o."cancel_at")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."cancel_at")::bigint) WHEN o."cancel_at" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."cancel_at" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."cancel_at"))::text) END,
                CASE WHEN CASE WHEN isfinite(o."canceled_at") THEN o."canceled_at" = to_timestamp(date_part('epoch', o."canceled_at")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."canceled_at")::bigint) WHEN o."canceled_at" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."canceled_at" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."canceled_at"))::text) END,
                CASE WHEN CASE WHEN isfinite(o."ended_at") THEN o."ended_at" = to_timestamp(date_part('epoch', o."ended_at")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."ended_at")::bigint) WHEN o."ended_at" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."ended_at" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."ended_at"))::text) END,
                CASE WHEN CASE WHEN isfinite(o."trial_start") THEN o."trial_start" = to_timestamp(date_part('epoch', o."trial_start")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."trial_start")::bigint) WHEN o."trial_start" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."trial_start" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."trial_start"))::text) END,
                CASE WHEN CASE WHEN isfinite(o."trial_end") THEN o."trial_end" = to_timestamp(date_part('epoch', o."trial_end")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."trial_end")::bigint) WHEN o."trial_end" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."trial_end" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."trial_end"))::text) END,
                CASE WHEN CASE WHEN isfinite(o."current_period_start") THEN o."current_period_start" = to_timestamp(date_part('epoch', o."current_period_start")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."current_period_start")::bigint) WHEN o."current_period_start" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."current_period_start" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."current_period_start"))::text) END,
                CASE WHEN CASE WHEN isfinite(o."current_period_end") THEN o."current_period_end" = to_timestamp(date_part('epoch', o."current_period_end")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."current_period_end")::bigint) WHEN o."current_period_end" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."current_period_end" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."current_period_end"))::text) END,
                CASE WHEN CASE WHEN isfinite(o."billing_cycle_anchor") THEN o."billing_cycle_anchor" = to_timestamp(date_part('epoch', o."billing_cycle_anchor")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."billing_cycle_anchor")::bigint) WHEN o."billing_cycle_anchor" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."billing_cycle_anchor" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."billing_cycle_anchor"))::text) END,
                CASE WHEN CASE WHEN isfinite(o."created") THEN o."created" = to_timestamp(date_part('epoch', o."created")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."created")::bigint) WHEN o."created" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."created" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."created"))::text) END,
                CASE WHEN CASE WHEN isfinite(o."start_date") THEN o."start_date" = to_timestamp(date_part('epoch', o."start_date")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."start_date")::bigint) WHEN o."start_date" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."start_date" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."start_date"))::text) END,
                o."days_until_due", o."pause_collection"::text, o."discounts"::text,
                o."default_payment_method", o."latest_invoice", o."schedule", o."test_clock",
                o."livemode", o."metadata"::text
            ),
            coalesce(
                (
                    SELECT json_agg(
                        json_build_array(
                            i."id", i."price_id", i."product_id", i."quantity", i."unit_amount",
                            i."unit_amount_decimal"::text, i."currency", i."interval",
                            i."interval_count", i."usage_type", i."transform_quantity"::text,
                            CASE WHEN CASE WHEN isfinite(i."current_period_start") THEN i."current_period_start" = to_timestamp(date_part('epoch', i."current_period_start")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', i."current_period_start")::bigint) WHEN i."current_period_start" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN i."current_period_start" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM i."current_period_start"))::text) END,
                            CASE WHEN CASE WHEN isfinite(i."current_period_end") THEN i."current_period_end" = to_timestamp(date_part('epoch', i."current_period_end")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', i."current_period_end")::bigint) WHEN i."current_period_end" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN i."current_period_end" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM i."current_period_end"))::text) END,
                            CASE WHEN CASE WHEN isfinite(i."created") THEN i."created" = to_timestamp(date_part('epoch', i."created")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', i."created")::bigint) WHEN i."created" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN i."created" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM i."created"))::text) END,
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
            CASE WHEN CASE WHEN isfinite(o."missing_in_stripe_since") THEN o."missing_in_stripe_since" = to_timestamp(date_part('epoch', o."missing_in_stripe_since")::bigint) ELSE false END THEN to_jsonb(date_part('epoch', o."missing_in_stripe_since")::bigint) WHEN o."missing_in_stripe_since" = 'infinity' THEN to_jsonb(9223372036854775807) WHEN o."missing_in_stripe_since" = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint) ELSE to_jsonb(trim_scale(extract(epoch FROM o."missing_in_stripe_since"))::text) END
        ) AS row
) AS h
WHERE o.id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)));
