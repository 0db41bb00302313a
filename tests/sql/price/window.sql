-- window.read_again.price
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
                    o."product_id" AS "product",
                    o."active" AS "active",
                    o."lookup_key" AS "lookup_key",
                    o."nickname" AS "nickname",
                    o."type" AS "type",
                    o."currency" AS "currency",
                    o."unit_amount" AS "unit_amount",
                    o."unit_amount_decimal"::text AS "unit_amount_decimal",
                    o."billing_scheme" AS "billing_scheme",
                    o."tiers_mode" AS "tiers_mode",
                    CASE WHEN o."tiers" = 'null' THEN '"null"' ELSE o."tiers" END AS "tiers",
                    CASE WHEN o."transform_quantity" = 'null' THEN '"null"' ELSE o."transform_quantity" END AS "transform_quantity",
                    CASE WHEN o."custom_unit_amount" = 'null' THEN '"null"' ELSE o."custom_unit_amount" END AS "custom_unit_amount",
                    o."tax_behavior" AS "tax_behavior",
                    (
                        SELECT row_to_json(r)
                        FROM (SELECT
                            o."interval" AS "interval",
                            o."interval_count" AS "interval_count",
                            o."usage_type" AS "usage_type",
                            o."meter" AS "meter"
                        ) AS r
                    ) AS "recurring",
                    CASE WHEN stripe.is_whole(o."created") THEN date_part('epoch', o."created")::bigint WHEN o."created" IS NOT NULL THEN 9223372036854775807 END AS "created",
                    o."livemode" AS "livemode",
                    o."deleted" AS "deleted",
                    CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END AS "metadata"
                ) AS r
            )
        )
        ORDER BY o.created DESC
    ) FILTER (WHERE f.object_id IS NULL)::text
FROM stripe.prices AS o
CROSS JOIN LATERAL (
    SELECT hash_record_extended(
            ROW(record_send(ROW(o."id", o."product_id", o."active", o."lookup_key", o."nickname", o."type",
            o."currency", o."unit_amount", o."unit_amount_decimal", o."billing_scheme",
            o."tiers_mode", o."tiers", o."transform_quantity", o."custom_unit_amount",
            o."tax_behavior", o."interval", o."interval_count", o."usage_type", o."meter",
            o."created", o."livemode", o."deleted", o."metadata"))),
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

-- window.read_window.price
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
                    o."product_id" AS "product",
                    o."active" AS "active",
                    o."lookup_key" AS "lookup_key",
                    o."nickname" AS "nickname",
                    o."type" AS "type",
                    o."currency" AS "currency",
                    o."unit_amount" AS "unit_amount",
                    o."unit_amount_decimal"::text AS "unit_amount_decimal",
                    o."billing_scheme" AS "billing_scheme",
                    o."tiers_mode" AS "tiers_mode",
                    CASE WHEN o."tiers" = 'null' THEN '"null"' ELSE o."tiers" END AS "tiers",
                    CASE WHEN o."transform_quantity" = 'null' THEN '"null"' ELSE o."transform_quantity" END AS "transform_quantity",
                    CASE WHEN o."custom_unit_amount" = 'null' THEN '"null"' ELSE o."custom_unit_amount" END AS "custom_unit_amount",
                    o."tax_behavior" AS "tax_behavior",
                    (
                        SELECT row_to_json(r)
                        FROM (SELECT
                            o."interval" AS "interval",
                            o."interval_count" AS "interval_count",
                            o."usage_type" AS "usage_type",
                            o."meter" AS "meter"
                        ) AS r
                    ) AS "recurring",
                    CASE WHEN stripe.is_whole(o."created") THEN date_part('epoch', o."created")::bigint WHEN o."created" IS NOT NULL THEN 9223372036854775807 END AS "created",
                    o."livemode" AS "livemode",
                    o."deleted" AS "deleted",
                    CASE WHEN o."metadata" = 'null' THEN '"null"' ELSE o."metadata" END AS "metadata"
                ) AS r
            )
        )
        ORDER BY o.created DESC
    ) FILTER (WHERE f.object_id IS NULL)::text
FROM stripe.prices AS o
CROSS JOIN LATERAL (
    SELECT hash_record_extended(
            ROW(record_send(ROW(o."id", o."product_id", o."active", o."lookup_key", o."nickname", o."type",
            o."currency", o."unit_amount", o."unit_amount_decimal", o."billing_scheme",
            o."tiers_mode", o."tiers", o."transform_quantity", o."custom_unit_amount",
            o."tax_behavior", o."interval", o."interval_count", o."usage_type", o."meter",
            o."created", o."livemode", o."deleted", o."metadata"))),
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
    AND o.created < to_timestamp(%(lt)s::bigint)
    AND (o."active" IS DISTINCT FROM false OR (
        SELECT seen.object_id FROM stripe.fingerprints AS seen WHERE seen.object_id = o.id
    ) IS NOT NULL);
