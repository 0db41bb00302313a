-- fingerprints.read_salt
-- Return the database's own salt; 0 where nobody has claimed it, and so nothing is known.
SELECT fingerprint_salt FROM stripe.account WHERE singleton;

-- fingerprints.remember
-- Keep what was found equal, in place of what was known of the same objects.
INSERT INTO stripe.fingerprints (object_id, row_hash, body_length, body_hash)
SELECT DISTINCT ON (f ->> 0)
    f ->> 0, (f ->> 1)::bigint, (f ->> 2)::integer, (f ->> 3)::bigint
FROM json_array_elements(%(found)s::json) AS f
ON CONFLICT (object_id) DO UPDATE SET
    row_hash = EXCLUDED.row_hash,
    body_length = EXCLUDED.body_length,
    body_hash = EXCLUDED.body_hash
WHERE (fingerprints.row_hash, fingerprints.body_length, fingerprints.body_hash)
    IS DISTINCT FROM (EXCLUDED.row_hash, EXCLUDED.body_length, EXCLUDED.body_hash);
