-- apply_event.look.price
-- Return what the ledger says of the event, and what is held of the object.
SELECT
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    (
        SELECT ceil(extract(epoch FROM c.began))::bigint
        FROM stripe.compared AS c
        WHERE c.object = 'price'
    ),
    (
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
        )::text
        FROM stripe.prices AS o
        WHERE o.id = %(id)s::text
    );

-- apply_event.write_for_event.price
-- Write one row with its items, its change and its event's ledger row, all or nothing.
WITH incoming AS (
    SELECT given.*, r.*
    FROM json_to_recordset(%(rows)s::json) AS given (
        content json, items json, fields jsonb, lower bigint, upper bigint, at_revision bigint
    )
    CROSS JOIN LATERAL json_to_record(given.content) AS r (
        "id" text, "product_id" text, "active" boolean, "lookup_key" text, "nickname" text,
        "type" text, "currency" text, "unit_amount" bigint, "unit_amount_decimal" text,
        "billing_scheme" text, "tiers_mode" text, "tiers" jsonb, "transform_quantity" jsonb,
        "custom_unit_amount" jsonb, "tax_behavior" text, "interval" text,
        "interval_count" bigint, "usage_type" text, "meter" text, "created" bigint,
        "livemode" boolean, "deleted" boolean, "metadata" jsonb
    )
    WHERE NOT EXISTS (
            SELECT FROM stripe.compared AS c
            WHERE c.object = 'price' AND c.began >= to_timestamp(%(ended)s::bigint)
        )
    LIMIT 1
),
inserted AS (
    INSERT INTO stripe.prices (
        "id", "product_id", "active", "lookup_key", "nickname", "type", "currency",
        "unit_amount", "unit_amount_decimal", "billing_scheme", "tiers_mode", "tiers",
        "transform_quantity", "custom_unit_amount", "tax_behavior", "interval", "interval_count",
        "usage_type", "meter", "created", "livemode", "deleted", "metadata", as_of, revision
    )
    SELECT
        r."id", r."product_id", r."active", r."lookup_key", r."nickname", r."type", r."currency",
        r."unit_amount", r."unit_amount_decimal"::numeric, r."billing_scheme", r."tiers_mode",
        r."tiers", r."transform_quantity", r."custom_unit_amount", r."tax_behavior",
        r."interval", r."interval_count", r."usage_type", r."meter", to_timestamp(r."created"),
        r."livemode", r."deleted", r."metadata",
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
    UPDATE stripe.prices AS o SET
        "product_id" = r."product_id",
        "active" = r."active",
        "lookup_key" = r."lookup_key",
        "nickname" = r."nickname",
        "type" = r."type",
        "currency" = r."currency",
        "unit_amount" = r."unit_amount",
        "unit_amount_decimal" = r."unit_amount_decimal"::numeric,
        "billing_scheme" = r."billing_scheme",
        "tiers_mode" = r."tiers_mode",
        "tiers" = r."tiers",
        "transform_quantity" = r."transform_quantity",
        "custom_unit_amount" = r."custom_unit_amount",
        "tax_behavior" = r."tax_behavior",
        "interval" = r."interval",
        "interval_count" = r."interval_count",
        "usage_type" = r."usage_type",
        "meter" = r."meter",
        "created" = to_timestamp(r."created"),
        "livemode" = r."livemode",
        "deleted" = r."deleted",
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
changed AS (
    INSERT INTO stripe.changes (object, object_id, revision, event_id, run_id, fields)
    SELECT
        'price', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, w.fields
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
