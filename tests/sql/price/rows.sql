-- rows.boundaries.price
-- Return the `created` (epoch) of every so-manieth row that a list may name, ascending.
SELECT DISTINCT extract(epoch FROM created)::bigint AS boundary
FROM (
    SELECT
        created,
        is_listed,
        count(*) FILTER (WHERE is_listed) OVER upwards AS listed,
        count(*) FILTER (WHERE NOT is_listed) OVER upwards AS unlisted
    FROM (
        SELECT created, missing_in_stripe_since IS NULL AND NOT deleted AS is_listed
        FROM stripe.prices AS o
        WHERE isfinite(created)
    AND (o."active" IS DISTINCT FROM false OR (
        SELECT seen.object_id FROM stripe.fingerprints AS seen WHERE seen.object_id = o.id
    ) IS NOT NULL)
    ) AS told
    WINDOW upwards AS (ORDER BY created ROWS UNBOUNDED PRECEDING)
) AS numbered
WHERE CASE
    WHEN is_listed THEN listed % %(every)s::bigint = 0
    ELSE unlisted % (3 * %(every)s::bigint) = 0
END
ORDER BY boundary;

-- rows.newest_ids.price
-- Return the ids of the newest rows that Stripe is believed to know.
SELECT id
FROM stripe.prices
WHERE isfinite(created)
    AND missing_in_stripe_since IS NULL
ORDER BY created DESC
LIMIT %(count)s::bigint;

-- rows.number.price
-- Return how many rows there are to compare.
SELECT count(*)
FROM stripe.prices AS o
WHERE o.created IS NOT NULL
    AND (o."active" IS DISTINCT FROM false OR (
        SELECT seen.object_id FROM stripe.fingerprints AS seen WHERE seen.object_id = o.id
    ) IS NOT NULL);

-- rows.read_beyond.price
-- Return the rows without a `created`, and those whose `created` lies outside `[0, end)`.
SELECT
    count(*) FILTER (WHERE is_absent),
    json_agg(id ORDER BY id) FILTER (WHERE NOT is_absent)::text
FROM (
    SELECT
        o.id,
        CASE
            WHEN o.missing_in_stripe_since IS NOT NULL
            THEN o.missing_in_stripe_since = lower(o.as_of) OR true
            ELSE (o.deleted
                AND o."active" IS NULL
                AND o."lookup_key" IS NULL
                AND o."nickname" IS NULL
                AND o."type" IS NULL
                AND o."currency" IS NULL
                AND o."unit_amount" IS NULL
                AND o."unit_amount_decimal" IS NULL
                AND o."billing_scheme" IS NULL
                AND o."tiers_mode" IS NULL
                AND o."tiers" IS NULL
                AND o."transform_quantity" IS NULL
                AND o."custom_unit_amount" IS NULL
                AND o."tax_behavior" IS NULL
                AND o."interval" IS NULL
                AND o."interval_count" IS NULL
                AND o."usage_type" IS NULL
                AND o."meter" IS NULL
                AND (o."created" IS NULL OR stripe.is_whole(o."created"))
                AND o."metadata" = '{}')
        END AS is_absent
    FROM stripe.prices AS o
    WHERE o.created IS NULL
        OR o.created < to_timestamp(0)
        OR o.created >= to_timestamp(%(end)s::bigint)
) AS beyond;

-- rows.read_held.price
-- Return what is held of these ids; an id without a row is left out.
SELECT json_agg(h.row)::text
FROM stripe.prices AS o
CROSS JOIN LATERAL (
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
        ) AS row
) AS h
WHERE o.id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)));
