-- plans.read_plans
-- Return the names of the products of these subscriptions, as far as the database knows.
SELECT i.subscription_id, array_agg(DISTINCT p.name ORDER BY p.name)
FROM stripe.subscription_items AS i
JOIN stripe.products AS p ON p.id = i.product_id
WHERE i.subscription_id = ANY(%(ids)s::text[])
    AND p.name IS NOT NULL
GROUP BY i.subscription_id;
