-- A customer may be an Account of Stripe's second API. Its subscriptions name it by
-- customer_account, beside customer or in its place.

ALTER TABLE stripe.subscriptions
    ALTER COLUMN customer_id DROP NOT NULL,
    ADD COLUMN customer_account text,
    -- Not checked against the rows there are, which were all written under NOT NULL: no scan.
    ADD CONSTRAINT subscriptions_owned CHECK (num_nonnulls(customer_id, customer_account) > 0) NOT VALID;
CREATE INDEX subscriptions_customer_account_idx ON stripe.subscriptions (customer_account)
    WHERE customer_account IS NOT NULL;
COMMENT ON COLUMN stripe.subscriptions.customer_id IS
    'The customer (cus_...). NULL where Stripe names the owner by customer_account alone.';
COMMENT ON COLUMN stripe.subscriptions.customer_account IS
    'The same owner as an Account of the second API (acct_...). NULL where Stripe names none.';
