-- rows.boundaries.product
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
        FROM stripe.products AS o
        WHERE isfinite(created)
    ) AS told
    WINDOW upwards AS (ORDER BY created ROWS UNBOUNDED PRECEDING)
) AS numbered
WHERE CASE
    WHEN is_listed THEN listed % %(every)s::bigint = 0
    ELSE unlisted % (3 * %(every)s::bigint) = 0
END
ORDER BY boundary;

-- rows.newest_ids.product
-- Return the ids of the newest rows that Stripe is believed to know.
SELECT id
FROM stripe.products
WHERE isfinite(created)
    AND missing_in_stripe_since IS NULL
ORDER BY created DESC
LIMIT %(count)s::bigint;

-- rows.number.product
-- Return how many rows there are to compare.
SELECT count(*)
FROM stripe.products AS o;

-- rows.read_beyond.product
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
                AND o."default_price_id" IS NULL
                AND (o."created" IS NULL OR stripe.is_whole(o."created"))
                AND o."metadata" = '{}')
        END AS is_absent
    FROM stripe.products AS o
    WHERE o.created IS NULL
        OR o.created < to_timestamp(0)
        OR o.created >= to_timestamp(%(end)s::bigint)
) AS beyond;

-- rows.read_held.product
-- Return what is held of these ids; an id without a row is left out.
SELECT json_agg(h.row)::text
FROM stripe.products AS o
CROSS JOIN LATERAL (
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
        ) AS row
) AS h
WHERE o.id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)));
