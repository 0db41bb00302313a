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
        FROM stripe.subscriptions AS o
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
-- Return how many rows there are to compare.
SELECT count(*)
FROM stripe.subscriptions AS o;

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
        ) AS row
) AS h
WHERE o.id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)));
