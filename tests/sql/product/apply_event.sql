-- apply_event.look.product
-- Return what the ledger says of the event, and what is held of the object.
SELECT
    (SELECT e.outcome FROM stripe.events AS e WHERE e.id = %(event_id)s::text),
    (
        SELECT ceil(extract(epoch FROM c.began))::bigint
        FROM stripe.compared AS c
        WHERE c.object = 'product'
    ),
    (
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
        )::text
        FROM stripe.products AS o
        WHERE o.id = %(id)s::text
    );

-- apply_event.write_for_event.product
-- Write one row with its items, its change and its event's ledger row, all or nothing.
WITH incoming AS (
    SELECT given.*, r.*
    FROM json_to_recordset(%(rows)s::json) AS given (
        content json, items json, fields jsonb, lower bigint, upper bigint, at_revision bigint
    )
    CROSS JOIN LATERAL json_to_record(given.content) AS r (
        "id" text, "name" text, "active" boolean, "default_price_id" text, "type" text,
        "unit_label" text, "statement_descriptor" text, "tax_code" text, "created" bigint,
        "livemode" boolean, "deleted" boolean, "metadata" jsonb
    )
    WHERE NOT EXISTS (
            SELECT FROM stripe.compared AS c
            WHERE c.object = 'product' AND c.began >= to_timestamp(%(ended)s::bigint)
        )
    LIMIT 1
),
inserted AS (
    INSERT INTO stripe.products (
        "id", "name", "active", "default_price_id", "type", "unit_label", "statement_descriptor",
        "tax_code", "created", "livemode", "deleted", "metadata", as_of, revision
    )
    SELECT
        r."id", r."name", r."active", r."default_price_id", r."type", r."unit_label",
        r."statement_descriptor", r."tax_code", to_timestamp(r."created"), r."livemode",
        r."deleted", r."metadata",
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
    UPDATE stripe.products AS o SET
        "name" = r."name",
        "active" = r."active",
        "default_price_id" = r."default_price_id",
        "type" = r."type",
        "unit_label" = r."unit_label",
        "statement_descriptor" = r."statement_descriptor",
        "tax_code" = r."tax_code",
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
        'product', w.id, w.revision, %(event_id)s::text, %(run_id)s::uuid, w.fields
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
