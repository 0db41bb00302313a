-- A row removed by hand leaves a change of its own. So revisions of one id never repeat, and the
-- changes of an object that comes back fold to it still.

ALTER TABLE stripe.changes
    DROP CONSTRAINT changes_check,
    ADD CONSTRAINT changes_made_by CHECK (num_nonnulls(event_id, run_id) <= 1);
COMMENT ON CONSTRAINT changes_made_by ON stripe.changes IS
    'An event or a run made the change. Neither: the row was removed by hand.';
COMMENT ON COLUMN stripe.changes.revision IS
    'The revision of the object that this change made; that of a removal is one more than the row''s last. No id ever has one twice.';
COMMENT ON COLUMN stripe.changes.fields IS
    '{field: [before, after]}; items as items.<id> (added, removed) or items.<id>.<field>; times in epoch seconds, as text where somebody else wrote a fraction of one.';
COMMENT ON COLUMN stripe.drifts.fields IS
    '{field: [in the database, in Stripe]}, times in epoch seconds as Stripe gives them; as text where somebody else wrote a fraction of one.';

CREATE FUNCTION stripe.note_removed_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format(
        $statement$
        WITH removed_rows AS MATERIALIZED (
            %s
        ),
        told AS (
            SELECT DISTINCT ON (c.object_id, f.key)
                c.object_id, c.revision, f.key, nullif(f.value -> 1, 'null') AS value
            FROM removed_rows AS r
            JOIN stripe.changes AS c ON c.object_id = r.id
            CROSS JOIN jsonb_each(c.fields) AS f
            ORDER BY c.object_id, f.key, c.revision DESC, c.id DESC
        ),
        parts AS (
            SELECT
                t.object_id, t.revision, w.key, w.value AS whole, w.revision AS since,
                split_part(t.key, '.', 3) AS field, t.value
            FROM told AS t
            JOIN told AS w
                ON w.object_id = t.object_id
                AND w.key = 'items.' || split_part(t.key, '.', 2)
            WHERE t.key LIKE 'items.%%'
        ),
        items AS (
            SELECT
                object_id, key,
                whole
                - coalesce(array_agg(field) FILTER (WHERE field <> '' AND revision > since), '{}')
                || coalesce(
                    jsonb_object_agg(field, value) FILTER (
                        WHERE field <> '' AND revision > since AND value IS NOT NULL
                    ),
                    '{}'
                ) AS value
            FROM parts
            WHERE whole IS NOT NULL
            GROUP BY object_id, key, whole
        ),
        held AS (
            SELECT object_id, key, value FROM told WHERE key NOT LIKE 'items.%%' AND value IS NOT NULL
            UNION ALL
            SELECT object_id, key, value FROM items
        ),
        folded AS (
            SELECT object_id, jsonb_object_agg(key, jsonb_build_array(value, NULL)) AS fields
            FROM held
            GROUP BY object_id
        )
        INSERT INTO stripe.changes (object, object_id, revision, fields)
        SELECT
            $1, r.id,
            greatest(
                r.revision,
                (
                    SELECT c.revision
                    FROM stripe.changes AS c
                    WHERE c.object_id = r.id
                    ORDER BY c.revision DESC
                    LIMIT 1
                )
            ) + 1,
            coalesce(f.fields, '{}')
        FROM removed_rows AS r
        LEFT JOIN folded AS f ON f.object_id = r.id
        $statement$,
        CASE TG_OP
            WHEN 'DELETE' THEN 'SELECT id, revision FROM removed'
            WHEN 'TRUNCATE' THEN format('SELECT id, revision FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME)
            ELSE 'SELECT $2 AS id, $3 AS revision'
        END
    ) USING TG_ARGV[0], CASE TG_OP WHEN 'UPDATE' THEN OLD.id END,
        CASE TG_OP WHEN 'UPDATE' THEN OLD.revision END;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION stripe.note_removed_rows() FROM PUBLIC;
COMMENT ON FUNCTION stripe.note_removed_rows() IS
    'Notes for each removed row that what its changes fold to is gone. Of all of an object''s rows the last word on each field counts, of an item''s field only what was said since the whole item was. The program''s roles remove no rows.';

CREATE TRIGGER customers_removed AFTER DELETE ON stripe.customers
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION stripe.note_removed_rows('customer');
CREATE TRIGGER customers_truncated BEFORE TRUNCATE ON stripe.customers
    FOR EACH STATEMENT EXECUTE FUNCTION stripe.note_removed_rows('customer');
CREATE TRIGGER customers_renamed AFTER UPDATE OF id ON stripe.customers
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION stripe.note_removed_rows('customer');

CREATE TRIGGER subscriptions_removed AFTER DELETE ON stripe.subscriptions
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION stripe.note_removed_rows('subscription');
CREATE TRIGGER subscriptions_truncated BEFORE TRUNCATE ON stripe.subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION stripe.note_removed_rows('subscription');
CREATE TRIGGER subscriptions_renamed AFTER UPDATE OF id ON stripe.subscriptions
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION stripe.note_removed_rows('subscription');
