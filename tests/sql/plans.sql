-- plans.read_plans
-- Return the names of the products of these subscriptions, as far as the database knows.
SELECT json_object_agg(subscription_id, names)::text
FROM (
    SELECT i.subscription_id, array_agg(DISTINCT p.name ORDER BY p.name) AS names
    FROM stripe.subscription_items AS i
    JOIN stripe.products AS p ON p.id = i.product_id
    WHERE i.subscription_id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)))
        AND p.name IS NOT NULL
    GROUP BY i.subscription_id
) AS plans;
