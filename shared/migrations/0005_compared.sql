-- What was compared cannot be overtaken by what is older than the comparison. A row that is found
-- equal is not written, so when the latest comparison began is kept here, for all rows of a kind.

CREATE TABLE stripe.compared (
    object text PRIMARY KEY,
    began timestamptz NOT NULL CHECK (isfinite(began))
);

COMMENT ON TABLE stripe.compared IS
    'One row: since when all objects of this kind were last compared with Stripe''s, by a run that ended or by one that was stopped.';
COMMENT ON COLUMN stripe.compared.began IS
    'Stripe''s time. An event that ended before then does not replace a row by its own snapshot: Stripe is asked for the object.';

ALTER TABLE stripe.runs ADD COLUMN compared_since timestamptz;
COMMENT ON COLUMN stripe.runs.compared_since IS
    'Stripe''s time at which the comparison of what is in `done` began, by this run or by the one that it goes on from.';
COMMENT ON COLUMN stripe.runs.done IS
    'The cursor: for each object the ranges [from, to) of created that are compared, and of `events` those that Stripe''s event list was looked through, in epoch seconds.';
