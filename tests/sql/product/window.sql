-- window.read_again.product
-- Return the rows of these ids, with all that is in them.
SELECT
    json_agg(
        json_build_array(
            o.id, date_part('epoch', o.created)::bigint, o.revision, NULL::text,
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
                    o."name" AS "name",
                    o."active" AS "active",
                    o."default_price_id" AS "default_price",
                    o."type" AS "type",
                    o."unit_label" AS "unit_label",
                    o."statement_descriptor" AS "statement_descriptor",
                    o."tax_code" AS "tax_code",
                    CASE WHEN stripe.is_whole(o."created") THEN date_part('epoch', o."created")::bigint WHEN o."created" IS NOT NULL THEN 9223372036854775807 END AS "created",
                    o."livemode" AS "livemode",
                    o."deleted" AS "deleted",
                    CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END AS "metadata"
                ) AS r
            )
        )
        ORDER BY o.created DESC
    ) FILTER (WHERE f.object_id IS NULL)::text
FROM stripe.products AS o
CROSS JOIN LATERAL (
    SELECT hash_record_extended(
            ROW(record_send(ROW(o."id", o."name", o."active", o."default_price_id", o."type", o."unit_label",
            o."statement_descriptor", o."tax_code", o."created", o."livemode", o."deleted",
            o."metadata"))),
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

-- window.read_window.product
-- Return all rows whose `created` lies in `[gte, lt)`.
SELECT
    json_agg(
        json_build_array(
            o.id, date_part('epoch', o.created)::bigint, o.revision, NULL::text,
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
                    o."name" AS "name",
                    o."active" AS "active",
                    o."default_price_id" AS "default_price",
                    o."type" AS "type",
                    o."unit_label" AS "unit_label",
                    o."statement_descriptor" AS "statement_descriptor",
                    o."tax_code" AS "tax_code",
                    CASE WHEN stripe.is_whole(o."created") THEN date_part('epoch', o."created")::bigint WHEN o."created" IS NOT NULL THEN 9223372036854775807 END AS "created",
                    o."livemode" AS "livemode",
                    o."deleted" AS "deleted",
                    CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END AS "metadata"
                ) AS r
            )
        )
        ORDER BY o.created DESC
    ) FILTER (WHERE f.object_id IS NULL)::text
FROM stripe.products AS o
CROSS JOIN LATERAL (
    SELECT hash_record_extended(
            ROW(record_send(ROW(o."id", o."name", o."active", o."default_price_id", o."type", o."unit_label",
            o."statement_descriptor", o."tax_code", o."created", o."livemode", o."deleted",
            o."metadata"))),
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
