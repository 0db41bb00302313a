-- account.claim_account
-- Claim the database for an account unless somebody has, and return whose it is.
INSERT INTO stripe.account AS a (id, livemode)
VALUES (%(id)s, %(livemode)s)
ON CONFLICT (singleton) DO UPDATE SET
    id = CASE WHEN a.livemode = EXCLUDED.livemode THEN coalesce(a.id, EXCLUDED.id) ELSE a.id END
RETURNING id, livemode;

-- account.read_account
-- Return the account that was claimed, None in a database nobody has written to.
SELECT id, livemode FROM stripe.account WHERE singleton;
