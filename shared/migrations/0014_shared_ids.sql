-- A merchant may have given a product, a plan and a customer one id. What a removed row folds to is
-- of its own object alone; a revision is still that of no other object with this id.

CREATE OR REPLACE FUNCTION stripe.note_removed_rows() RETURNS trigger
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
            JOIN stripe.changes AS c ON c.object = $1 AND c.object_id = r.id
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
