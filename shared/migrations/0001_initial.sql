-- Everything lives in one schema of its own, so that the mirror can share the application's database.

CREATE TABLE stripe.account (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id text,
    livemode boolean NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE stripe.account IS
    'Which Stripe account and mode this database mirrors. One row, claimed by the first process that writes.';
COMMENT ON COLUMN stripe.account.id IS
    'acct_..., NULL until a key that may read the account has been seen.';
COMMENT ON COLUMN stripe.account.livemode IS
    'true: live mode, false: test mode. Events and keys of the other mode are refused.';

CREATE TABLE stripe.customers (
    id text PRIMARY KEY,
    email text,
    name text,
    created timestamptz,
    deleted boolean NOT NULL,
    test_clock text,
    metadata jsonb NOT NULL,
    missing_in_stripe_since timestamptz CHECK (isfinite(missing_in_stripe_since)),
    as_of tstzrange NOT NULL CHECK (
        NOT isempty(as_of) AND isfinite(lower(as_of)) AND isfinite(upper(as_of))
        AND NOT lower_inf(as_of) AND NOT upper_inf(as_of)
    ),
    revision bigint NOT NULL CHECK (revision > 0)
);
CREATE INDEX customers_created_idx ON stripe.customers (created, id);
COMMENT ON TABLE stripe.customers IS
    'One Stripe customer: what the application joins its users on.';
COMMENT ON COLUMN stripe.customers.deleted IS
    'A deleted customer keeps id and created; email, name and metadata are emptied, as in Stripe''s own answer.';
COMMENT ON COLUMN stripe.customers.missing_in_stripe_since IS
    'When Stripe was first seen to know no such id. NULL: Stripe knows it.';
COMMENT ON COLUMN stripe.customers.as_of IS
    'Interval of Stripe''s time in which the snapshot held here was read.';
COMMENT ON COLUMN stripe.customers.revision IS
    'Grows with every write and every confirmation; a fetched answer may replace only the revision read before fetching.';

CREATE TABLE stripe.subscriptions (
    id text PRIMARY KEY,
    customer_id text NOT NULL,
    status text NOT NULL,
    currency text NOT NULL,
    collection_method text NOT NULL,
    cancel_at_period_end boolean NOT NULL,
    cancel_at timestamptz,
    canceled_at timestamptz,
    ended_at timestamptz,
    trial_start timestamptz,
    trial_end timestamptz,
    current_period_start timestamptz,
    current_period_end timestamptz,
    billing_cycle_anchor timestamptz,
    created timestamptz NOT NULL,
    start_date timestamptz NOT NULL,
    days_until_due bigint,
    pause_collection jsonb,
    discounts jsonb NOT NULL,
    default_payment_method text,
    latest_invoice text,
    schedule text,
    test_clock text,
    livemode boolean NOT NULL,
    metadata jsonb NOT NULL,
    missing_in_stripe_since timestamptz CHECK (isfinite(missing_in_stripe_since)),
    as_of tstzrange NOT NULL CHECK (
        NOT isempty(as_of) AND isfinite(lower(as_of)) AND isfinite(upper(as_of))
        AND NOT lower_inf(as_of) AND NOT upper_inf(as_of)
    ),
    revision bigint NOT NULL CHECK (revision > 0)
);
CREATE INDEX subscriptions_customer_id_idx ON stripe.subscriptions (customer_id);
CREATE INDEX subscriptions_created_idx ON stripe.subscriptions (created, id);
COMMENT ON TABLE stripe.subscriptions IS
    'One Stripe subscription. No foreign key to customers: events come in any order.';
COMMENT ON COLUMN stripe.subscriptions.status IS
    'Stripe''s own word. No CHECK: Stripe adds values.';
COMMENT ON COLUMN stripe.subscriptions.current_period_end IS
    'Of the item whose period ends last; current_period_start is that of the same item.';
COMMENT ON COLUMN stripe.subscriptions.cancel_at IS
    'Read together with cancel_at_period_end: in flexible billing mode a cancellation sets only this one.';
COMMENT ON COLUMN stripe.subscriptions.discounts IS
    'Ids of the discounts (di_...), as a JSON array.';
COMMENT ON COLUMN stripe.subscriptions.missing_in_stripe_since IS
    'When Stripe was first seen to know no such id. NULL: Stripe knows it. A row with a time here grants nothing.';
COMMENT ON COLUMN stripe.subscriptions.as_of IS
    'Interval of Stripe''s time in which the snapshot held here was read.';
COMMENT ON COLUMN stripe.subscriptions.revision IS
    'Grows with every write and every confirmation; a fetched answer may replace only the revision read before fetching.';

CREATE TABLE stripe.subscription_items (
    id text PRIMARY KEY,
    subscription_id text NOT NULL REFERENCES stripe.subscriptions (id),
    price_id text NOT NULL,
    product_id text,
    quantity bigint,
    unit_amount bigint,
    unit_amount_decimal numeric,
    currency text NOT NULL,
    "interval" text,
    interval_count bigint,
    usage_type text,
    current_period_start timestamptz,
    current_period_end timestamptz,
    created timestamptz,
    metadata jsonb NOT NULL
);
CREATE INDEX subscription_items_subscription_id_idx ON stripe.subscription_items (subscription_id);
COMMENT ON TABLE stripe.subscription_items IS
    'One item of a subscription. Changes only together with its subscription, under the same revision.';
COMMENT ON COLUMN stripe.subscription_items.quantity IS
    'NULL for metered prices.';
COMMENT ON COLUMN stripe.subscription_items.unit_amount IS
    'In the currency''s minor unit; NULL for tiered prices and for prices finer than the minor unit.';
COMMENT ON COLUMN stripe.subscription_items.unit_amount_decimal IS
    'The same amount with up to 12 decimals; NULL for tiered prices.';

CREATE TABLE stripe.events (
    id text PRIMARY KEY,
    type text NOT NULL,
    object_id text,
    created timestamptz NOT NULL,
    api_version text,
    source text NOT NULL CHECK (source IN ('webhook', 'reconcile')),
    outcome text NOT NULL CHECK (outcome IN ('applied', 'stale', 'unchanged', 'failed')),
    attempts integer NOT NULL DEFAULT 1 CHECK (attempts > 0),
    error text,
    payload bytea,
    received_at timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_created_idx ON stripe.events (created);
CREATE INDEX events_payload_idx ON stripe.events (received_at)
    WHERE payload IS NOT NULL AND outcome <> 'failed';
CREATE INDEX events_failed_idx ON stripe.events (received_at) WHERE outcome = 'failed';
COMMENT ON TABLE stripe.events IS
    'The ledger: one Stripe event and what became of it, written in the transaction that applied it.';
COMMENT ON COLUMN stripe.events.created IS
    'Stripe''s time of the event, in whole seconds.';
COMMENT ON COLUMN stripe.events.outcome IS
    'applied; stale (older than the row); unchanged (the row said so already); failed (kept with its payload, tried again).';
COMMENT ON COLUMN stripe.events.error IS
    'Why the last attempt failed, without any value of the payload.';
COMMENT ON COLUMN stripe.events.payload IS
    'The body as it was signed, byte for byte: convert_from(payload, ''UTF8'')::json reads it.';

CREATE FUNCTION stripe.event_is_done_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.outcome <> 'failed' AND (NEW.outcome <> OLD.outcome OR NEW.attempts <> OLD.attempts) THEN
        RAISE unique_violation USING
            MESSAGE = 'the event is already done',
            CONSTRAINT = 'events_done_once',
            SCHEMA = 'stripe',
            TABLE = 'events';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION stripe.event_is_done_once() IS
    'Of two that process one event at once, the second loses its whole statement, object and all.';
CREATE TRIGGER events_done_once BEFORE UPDATE ON stripe.events
    FOR EACH ROW EXECUTE FUNCTION stripe.event_is_done_once();

CREATE TABLE stripe.runs (
    id uuid PRIMARY KEY,
    scope text NOT NULL,
    holder text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    lease_expires_at timestamptz NOT NULL,
    resumes uuid REFERENCES stripe.runs (id),
    done jsonb NOT NULL,
    counts jsonb NOT NULL,
    events_until timestamptz,
    outcome text CHECK (outcome IN ('success', 'incomplete', 'refused', 'failed', 'abandoned')),
    finished_at timestamptz,
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
);
CREATE UNIQUE INDEX runs_one_at_a_time ON stripe.runs ((true)) WHERE outcome IS NULL;
CREATE INDEX runs_started_at_idx ON stripe.runs (scope, started_at);
CREATE INDEX runs_resumes_idx ON stripe.runs (resumes);
COMMENT ON TABLE stripe.runs IS
    'One run of reconcile that may write. The row without an outcome is the lease: there is one at most.';
COMMENT ON COLUMN stripe.runs.scope IS
    '''all'', or the id of the one subscription that was looked at.';
COMMENT ON COLUMN stripe.runs.lease_expires_at IS
    'Extended with every window. After it another run may take over; this one can then write no more.';
COMMENT ON COLUMN stripe.runs.events_until IS
    'Stripe''s time up to which its event list was compared with the ledger.';
COMMENT ON COLUMN stripe.runs.done IS
    'The cursor: for each object the ranges [from, to) of created that are compared, in epoch seconds.';

CREATE TABLE stripe.drifts (
    run_id uuid NOT NULL REFERENCES stripe.runs (id),
    object text NOT NULL,
    object_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('missing_in_database', 'missing_in_stripe', 'differs')),
    consequence text NOT NULL CHECK (consequence IN ('leak', 'lockout', 'money', 'cosmetic')),
    fields jsonb NOT NULL,
    monthly_amount jsonb NOT NULL,
    ends_access boolean NOT NULL,
    action text NOT NULL CHECK (action IN ('pending', 'repaired', 'in_flight', 'refused')),
    spooled bytea,
    found_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, object, object_id)
);
COMMENT ON TABLE stripe.drifts IS
    'One difference between Stripe and this database found by a run, what it means, and what was done about it.';
COMMENT ON COLUMN stripe.drifts.run_id IS
    'The run that began; those that went on from it keep what they find under its id.';
COMMENT ON COLUMN stripe.drifts.fields IS
    '{field: [in the database, in Stripe]}, times in epoch seconds as Stripe gives them.';
COMMENT ON COLUMN stripe.drifts.monthly_amount IS
    '{currency: amount a month in minor units}.';
COMMENT ON COLUMN stripe.drifts.action IS
    'pending: waits until every window has been compared.';
COMMENT ON COLUMN stripe.drifts.spooled IS
    'While pending: what repair needs to write it. NULL afterwards.';

CREATE TABLE stripe.changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object text NOT NULL,
    object_id text NOT NULL,
    revision bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    event_id text,
    run_id uuid,
    fields jsonb NOT NULL,
    CHECK (num_nonnulls(event_id, run_id) = 1)
);
CREATE INDEX changes_object_id_idx ON stripe.changes (object_id, revision);
COMMENT ON TABLE stripe.changes IS
    'Append-only: one real change of one object and what brought it. Folding an object''s rows by revision gives the object.';
COMMENT ON COLUMN stripe.changes.revision IS
    'The revision of the object that this change made.';
COMMENT ON COLUMN stripe.changes.fields IS
    '{field: [before, after]}; items as items.<id> (added, removed) or items.<id>.<field>; times in epoch seconds.';

CREATE FUNCTION stripe.changes_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING
        MESSAGE = format('stripe.changes is append-only: %s is refused', TG_OP);
END
$$;
CREATE TRIGGER changes_are_append_only BEFORE UPDATE OR DELETE ON stripe.changes
    FOR EACH ROW EXECUTE FUNCTION stripe.changes_are_append_only();
CREATE TRIGGER changes_are_not_truncated BEFORE TRUNCATE ON stripe.changes
    FOR EACH STATEMENT EXECUTE FUNCTION stripe.changes_are_append_only();
