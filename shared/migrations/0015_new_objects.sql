ALTER TABLE stripe.runs
    ADD COLUMN new_objects text[] NOT NULL DEFAULT '{}';

COMMENT ON COLUMN stripe.runs.new_objects IS
    'The objects that no run had compared before this one, or before the unfinished ones that it goes on from: what is missing of them is a first fill, and no event of theirs was expected.';
