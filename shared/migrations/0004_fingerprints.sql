-- A nightly run compares the same objects with the same rows every night. What it found equal once
-- it recognises by two hashes, and need not decode again.

CREATE TABLE stripe.fingerprints (
    object_id text PRIMARY KEY,
    row_hash bigint NOT NULL,
    body_hash bigint NOT NULL,
    body_length integer NOT NULL
);

COMMENT ON TABLE stripe.fingerprints IS
    'One row: a row of the database and a body of Stripe''s that a run compared field by field and found equal, as hashes of their whole content. True whatever happens later: a row or a body that changes has another hash.';
COMMENT ON COLUMN stripe.fingerprints.row_hash IS
    'Of every mirrored column of the object''s row and of its items, computed anew by each run.';
COMMENT ON COLUMN stripe.fingerprints.body_hash IS
    'XXH3 of the object''s JSON as Stripe''s list sent it, byte by byte.';
COMMENT ON COLUMN stripe.fingerprints.body_length IS 'In bytes.';

ALTER TABLE stripe.account
    ADD COLUMN fingerprint_salt bigint NOT NULL DEFAULT hashtextextended(gen_random_uuid()::text, 0);

COMMENT ON COLUMN stripe.account.fingerprint_salt IS
    'Random and secret: so that nobody who chooses what stands in a body can choose its hash.';
