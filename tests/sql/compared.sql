-- compared.names
-- Return the names of the objects of which a comparison ever began.
SELECT object FROM stripe.compared;

-- compared.remember
-- Keep that a comparison of these objects begins now (epoch, Stripe's clock).
INSERT INTO stripe.compared (object, began)
SELECT name, to_timestamp(%(began)s::bigint) FROM unnest(%(names)s::text[]) AS name
ON CONFLICT (object) DO UPDATE SET began = EXCLUDED.began;

-- compared.still_new
-- Return what is new after the last run of this scope: what no run has compared to its end.
SELECT json_build_object('new', new_objects, 'planned', planned)::text
FROM stripe.runs
WHERE scope = %(scope)s AND outcome IS NOT NULL
ORDER BY started_at DESC
LIMIT 1;

-- compared.writers
-- Return who is writing to these tables: the virtual ids of transactions.
SELECT virtualtransaction
FROM pg_locks
WHERE locktype = 'relation'
    AND mode = 'RowExclusiveLock'
    AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation IN (
        SELECT oid
        FROM pg_class
        WHERE relnamespace = 'stripe'::regnamespace AND relname = ANY(%(tables)s::text[])
    )
    AND pid <> pg_backend_pid();
