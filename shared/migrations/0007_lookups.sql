-- A plan that is made while a table is empty takes any index in which the wanted column stands, for
-- all cost the same then, and reads it from end to end once the table has grown. So a row's id
-- stands in one index alone.

DROP INDEX stripe.customers_created_idx, stripe.subscriptions_created_idx;
CREATE INDEX customers_created_idx ON stripe.customers (created);
CREATE INDEX subscriptions_created_idx ON stripe.subscriptions (created);
