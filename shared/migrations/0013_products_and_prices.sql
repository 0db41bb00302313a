-- What a subscription is for, by its name, and what it costs. Both tables are empty after this: the
-- next nightly run fills them.

CREATE TABLE stripe.products (
    id text PRIMARY KEY,
    name text,
    active boolean,
    default_price_id text,
    type text,
    unit_label text,
    statement_descriptor text,
    tax_code text,
    created timestamptz,
    livemode boolean,
    deleted boolean NOT NULL,
    metadata jsonb NOT NULL,
    missing_in_stripe_since timestamptz CHECK (isfinite(missing_in_stripe_since)),
    as_of tstzrange NOT NULL CHECK (
        NOT isempty(as_of) AND isfinite(lower(as_of)) AND isfinite(upper(as_of))
        AND NOT lower_inf(as_of) AND NOT upper_inf(as_of)
    ),
    revision bigint NOT NULL CHECK (revision > 0)
);
CREATE INDEX products_created_idx ON stripe.products (created);
COMMENT ON TABLE stripe.products IS
    'One Stripe product: join it on subscription_items.product_id for the name of what is paid for.';
COMMENT ON COLUMN stripe.products.active IS
    'Whether it can be bought. NULL: it is deleted.';
COMMENT ON COLUMN stripe.products.deleted IS
    'A deleted product keeps its name, so that old subscriptions go on saying what they were for.';
COMMENT ON COLUMN stripe.products.missing_in_stripe_since IS
    'When Stripe was first seen to know no such id, as it is with a deleted product. NULL: Stripe knows it.';
COMMENT ON COLUMN stripe.products.as_of IS
    'Interval of Stripe''s time in which the snapshot held here was read.';
COMMENT ON COLUMN stripe.products.revision IS
    'Grows with every write and every confirmation; a fetched answer may replace only the revision read before fetching.';

CREATE TABLE stripe.prices (
    id text PRIMARY KEY,
    product_id text,
    active boolean,
    lookup_key text,
    nickname text,
    type text,
    currency text,
    unit_amount bigint,
    unit_amount_decimal numeric,
    billing_scheme text,
    tiers_mode text,
    tiers jsonb,
    transform_quantity jsonb,
    custom_unit_amount jsonb,
    tax_behavior text,
    "interval" text,
    interval_count bigint,
    usage_type text,
    meter text,
    created timestamptz,
    livemode boolean,
    deleted boolean NOT NULL,
    metadata jsonb NOT NULL,
    missing_in_stripe_since timestamptz CHECK (isfinite(missing_in_stripe_since)),
    as_of tstzrange NOT NULL CHECK (
        NOT isempty(as_of) AND isfinite(lower(as_of)) AND isfinite(upper(as_of))
        AND NOT lower_inf(as_of) AND NOT upper_inf(as_of)
    ),
    revision bigint NOT NULL CHECK (revision > 0)
);
CREATE INDEX prices_created_idx ON stripe.prices (created);
CREATE INDEX prices_product_id_idx ON stripe.prices (product_id);
COMMENT ON TABLE stripe.prices IS
    'One Stripe price. No foreign key to products: events come in any order.';
COMMENT ON COLUMN stripe.prices.active IS
    'Whether it can be bought; an inline price (price_data) never can. NULL: it is deleted.';
COMMENT ON COLUMN stripe.prices.unit_amount IS
    'In the currency''s minor unit; NULL for tiered prices and for prices finer than the minor unit.';
COMMENT ON COLUMN stripe.prices.unit_amount_decimal IS
    'The same amount with up to 12 decimals; NULL for tiered prices.';
COMMENT ON COLUMN stripe.prices.tiers IS
    'As Stripe gives them, lowest first; NULL unless billing_scheme is tiered.';
COMMENT ON COLUMN stripe.prices."interval" IS
    'day, week, month or year, interval_count of them; NULL for a price that is paid once.';
COMMENT ON COLUMN stripe.prices.missing_in_stripe_since IS
    'When Stripe was first seen to know no such id. NULL: Stripe knows it.';
COMMENT ON COLUMN stripe.prices.as_of IS
    'Interval of Stripe''s time in which the snapshot held here was read.';
COMMENT ON COLUMN stripe.prices.revision IS
    'Grows with every write and every confirmation; a fetched answer may replace only the revision read before fetching.';

CREATE TRIGGER products_removed AFTER DELETE ON stripe.products
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION stripe.note_removed_rows('product');
CREATE TRIGGER products_truncated BEFORE TRUNCATE ON stripe.products
    FOR EACH STATEMENT EXECUTE FUNCTION stripe.note_removed_rows('product');
CREATE TRIGGER products_renamed AFTER UPDATE OF id ON stripe.products
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION stripe.note_removed_rows('product');

CREATE TRIGGER prices_removed AFTER DELETE ON stripe.prices
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION stripe.note_removed_rows('price');
CREATE TRIGGER prices_truncated BEFORE TRUNCATE ON stripe.prices
    FOR EACH STATEMENT EXECUTE FUNCTION stripe.note_removed_rows('price');
CREATE TRIGGER prices_renamed AFTER UPDATE OF id ON stripe.prices
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION stripe.note_removed_rows('price');
