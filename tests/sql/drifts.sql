-- drifts.after
-- Return a run's next differences after the place of one, as a report lists them.
SELECT json_agg(r ORDER BY place, object COLLATE "C", object_id COLLATE "C")::text
FROM (
    SELECT
        d.*,
        CASE WHEN d.customer_id IS NOT NULL
            THEN json_build_object('id', d.customer_id, 'email', c.email, 'name', c.name) END
            AS customer
    FROM (
        SELECT
        d.object,
        d.object_id,
        d.kind,
        d.consequence,
        d.fields,
        d.monthly_amount,
        d.monthly_before,
        d.monthly_after,
        d.not_computed,
        d.ends_access,
        d.action,
        translate(encode(d.spooled, 'base64'), E'\n', '') AS spooled,
        extract(epoch FROM d.found_at)::bigint AS found_at,
        d.customer_id,
        d.place
        FROM stripe.drifts AS d
        WHERE d.run_id = %(run_id)s
            AND (d.place, d.object COLLATE "C", d.object_id COLLATE "C")
                > (%(place)s::text, %(object)s::text, %(object_id)s::text)
            AND d.place < %(end)s::text
        ORDER BY d.place, d.object COLLATE "C", d.object_id COLLATE "C"
        LIMIT %(batch)s
    ) AS d
    LEFT JOIN LATERAL (
        SELECT c.email, c.name
        FROM stripe.customers AS c
        WHERE c.id = d.customer_id
        LIMIT 1
    ) AS c ON true
) AS r;

-- drifts.amounts
-- Add up a run's amounts by object, kind, action and consequence, and by currency.
SELECT object, kind, action, consequence, currency, sum(amount::numeric)::text
FROM stripe.drifts
CROSS JOIN jsonb_each_text(monthly_amount) AS monthly (currency, amount)
WHERE run_id = %(run_id)s
GROUP BY object, kind, action, consequence, currency;

-- drifts.count
-- Count a run's differences by object, kind, action and consequence.
SELECT
    object, kind, action, consequence,
    count(*),
    count(*) FILTER (WHERE not_computed <> '[]')
FROM stripe.drifts
WHERE run_id = %(run_id)s
GROUP BY object, kind, action, consequence
ORDER BY object, kind, action, consequence;

-- drifts.customers
-- Return the customers of these that the database knows, by id.
SELECT id, email, name FROM stripe.customers WHERE id = ANY(%(ids)s);

-- drifts.pending
-- Return the next of what waits after this one, in stable order; none at the end.
SELECT json_agg(r ORDER BY object, object_id)::text
FROM (
    SELECT
        d.object,
        d.object_id,
        d.kind,
        d.consequence,
        d.fields,
        d.monthly_amount,
        d.monthly_before,
        d.monthly_after,
        d.not_computed,
        d.ends_access,
        d.action,
        translate(encode(d.spooled, 'base64'), E'\n', '') AS spooled,
        extract(epoch FROM d.found_at)::bigint AS found_at,
        CASE WHEN d.customer_id IS NOT NULL THEN json_build_object('id', d.customer_id) END
            AS customer
    FROM stripe.drifts AS d
    WHERE d.run_id = %(run_id)s
        AND (d.object, d.object_id) > (%(object)s, %(object_id)s)
        AND d.action = 'pending'
    ORDER BY d.object, d.object_id
    LIMIT %(batch)s
) AS r;

-- drifts.record
-- Keep differences of a run; one that is looked at again replaces what was said of it.
INSERT INTO stripe.drifts (
    run_id, object, object_id, kind, consequence, fields, customer_id, monthly_amount,
    monthly_before, monthly_after, not_computed, place, ends_access, action, spooled,
    found_at
)
SELECT
    %(run_id)s, r.object, r.object_id, r.kind, r.consequence, r.fields, r.customer ->> 'id',
    r.monthly_amount, r.monthly_before, r.monthly_after, r.not_computed, r.place,
    r.ends_access, r.action, decode(r.spooled, 'base64'), to_timestamp(r.found_at)
FROM ROWS FROM (
    json_to_recordset(%(rows)s::json) AS (
        object text, object_id text, kind text, consequence text, fields jsonb,
        customer json, monthly_amount jsonb, monthly_before jsonb, monthly_after jsonb,
        not_computed jsonb, ends_access boolean, action text, spooled text,
        found_at bigint
    ),
    json_array_elements_text(%(places)s::json)
) AS r(
    object, object_id, kind, consequence, fields, customer, monthly_amount, monthly_before,
    monthly_after, not_computed, ends_access, action, spooled, found_at, place
)
ON CONFLICT (run_id, object, object_id) DO UPDATE SET
    kind = EXCLUDED.kind,
    consequence = EXCLUDED.consequence,
    fields = EXCLUDED.fields,
    customer_id = EXCLUDED.customer_id,
    monthly_amount = EXCLUDED.monthly_amount,
    monthly_before = EXCLUDED.monthly_before,
    monthly_after = EXCLUDED.monthly_after,
    not_computed = EXCLUDED.not_computed,
    place = EXCLUDED.place,
    ends_access = EXCLUDED.ends_access,
    action = EXCLUDED.action,
    spooled = EXCLUDED.spooled,
    found_at = EXCLUDED.found_at;

-- drifts.refuse_pending
-- Note that nothing of these objects that waited for repair is written.
UPDATE stripe.drifts SET action = 'refused', spooled = NULL
WHERE run_id = %(run_id)s AND action = 'pending' AND object = ANY(%(objects)s);

-- drifts.waiting
-- Return the objects and ids of these of which a difference waits for its repair.
SELECT object, object_id
FROM stripe.drifts
WHERE run_id = %(run_id)s
    AND object = ANY(%(objects)s)
    AND object_id = ANY(%(ids)s)
    AND action = 'pending';

-- drifts.withdraw
-- Note that a difference that waits is none: Stripe says by now what the row says.
UPDATE stripe.drifts SET action = 'in_flight', spooled = NULL
WHERE run_id = %(run_id)s AND object = %(object)s AND object_id = %(object_id)s
    AND action = 'pending';
