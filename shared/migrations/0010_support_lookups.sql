-- What a report says of an amount and of a customer, and the four look-ups of whoever answers a
-- customer's question.

ALTER TABLE stripe.subscription_items ADD COLUMN transform_quantity jsonb;
COMMENT ON COLUMN stripe.subscription_items.transform_quantity IS
    'The price''s {divide_by, round}: the quantity is divided and rounded before it is multiplied by the unit amount. NULL for nearly all prices.';

ALTER TABLE stripe.drifts
    ADD COLUMN customer_id text,
    ADD COLUMN monthly_before jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN monthly_after jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN not_computed jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN place text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX drifts_place_idx ON stripe.drifts
    (run_id, place, object COLLATE "C", object_id COLLATE "C");
COMMENT ON COLUMN stripe.drifts.place IS
    'Where the report lists it: the gravest first, then the largest amount of a currency.';
COMMENT ON COLUMN stripe.drifts.customer_id IS
    'Of the row here, or where there is none of Stripe''s object.';
COMMENT ON COLUMN stripe.drifts.monthly_amount IS
    '{currency: what is at stake a month in minor units}: by how much the two sides differ, never below zero.';
COMMENT ON COLUMN stripe.drifts.monthly_before IS
    '{currency: amount a month in minor units} of the items that differ, as the database has them.';
COMMENT ON COLUMN stripe.drifts.monthly_after IS
    'The same, as Stripe has them, so as they are after the repair.';
COMMENT ON COLUMN stripe.drifts.not_computed IS
    'Why the amounts are not the whole truth: metered, tiered, discounts, ...; empty where they are.';

-- Changes that an event made have no run and cost nothing here.
CREATE INDEX events_object_id_idx ON stripe.events (object_id) WHERE object_id IS NOT NULL;
CREATE INDEX drifts_object_id_idx ON stripe.drifts (object_id);
CREATE INDEX changes_run_id_idx ON stripe.changes (run_id) WHERE run_id IS NOT NULL;
-- A hash, for an index entry of another kind cannot be as long as an address may be.
CREATE INDEX customers_email_idx ON stripe.customers USING hash (lower(email));
-- What waits, without a look at all that a run has found.
CREATE INDEX drifts_pending_idx ON stripe.drifts (run_id, object, object_id) WHERE action = 'pending';
