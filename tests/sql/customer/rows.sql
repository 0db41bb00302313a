-- rows.boundaries.customer
-- Return the `created` (epoch) of every so-manieth row that a list may name, ascending.
SELECT DISTINCT extract(epoch FROM created)::bigint AS boundary
FROM (
    SELECT
        created,
        is_listed,
        count(*) FILTER (WHERE is_listed) OVER upwards AS listed,
        count(*) FILTER (WHERE NOT is_listed) OVER upwards AS unlisted
    FROM (
        SELECT created, missing_in_stripe_since IS NULL AND NOT deleted AND test_clock IS NULL AS is_listed
        FROM stripe.customers AS o
        WHERE isfinite(created)
    ) AS told
    WINDOW upwards AS (ORDER BY created ROWS UNBOUNDED PRECEDING)
) AS numbered
WHERE CASE
    WHEN is_listed THEN listed % %(every)s::bigint = 0
    ELSE unlisted % (3 * %(every)s::bigint) = 0
END
ORDER BY boundary;

-- rows.newest_ids.customer
-- Return the ids of the newest rows that Stripe is believed to know.
SELECT id
FROM stripe.customers
WHERE isfinite(created)
    AND missing_in_stripe_since IS NULL AND test_clock IS NULL
ORDER BY created DESC
LIMIT %(count)s::bigint;

-- rows.number.customer
-- Return how many rows there are to compare.
SELECT count(*)
FROM stripe.customers AS o;

-- rows.read_beyond.customer
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
            ELSE (o.deleted
                AND o."email" IS NULL
                AND o."name" IS NULL
                AND (o."created" IS NULL OR stripe.is_whole(o."created"))
                AND o."metadata" = '{}')
        END AS is_absent
    FROM stripe.customers AS o
    WHERE o.created IS NULL
        OR o.created < to_timestamp(0)
        OR o.created >= to_timestamp(%(end)s::bigint)
) AS beyond;

-- rows.read_held.customer
-- Return what is held of these ids; an id without a row is left out.
SELECT json_agg(h.row)::text
FROM stripe.customers AS o
CROSS JOIN LATERAL (
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
        ) AS row
) AS h
WHERE o.id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)));
