-- A run that lost the answer to a commit has to find out whether it was made.

ALTER TABLE stripe.runs ADD COLUMN step bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN stripe.runs.step IS
    'The number of the run''s last write. So a write whose commit was not answered is never made twice.';
