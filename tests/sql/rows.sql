-- rows.recorded_created
-- Return the `created` (epoch) that was last recorded of each object, whatever its row says.
SELECT DISTINCT ON (o.object_id) o.object_id, (o.fields #>> '{created,1}')::bigint
FROM stripe.changes AS o
WHERE o.object_id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)))
    AND o.object = %(object)s
    AND o.fields #>> '{created,1}' IS NOT NULL
ORDER BY o.object_id, o.revision DESC, o.id DESC;
