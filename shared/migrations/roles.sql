-- Four roles, each with exactly what it needs: three for our programs, and one for the application
-- that reads what they keep. The role that runs `migrate` owns the schema
-- and is used for nothing else.
--
--     migrate --roles | psql -v ON_ERROR_STOP=1 "$MIGRATE_DATABASE_URL"        after the first `migrate`, and again after each upgrade
--     CREATE ROLE my_webhook LOGIN PASSWORD '...' IN ROLE subscription_sync_webhook;
--
-- The roles cannot log in; the users that are made members of them can. Running it again is harmless.
-- Needs CREATEROLE for the first run, and ownership of the schema.
--
-- Row level security on these tables would hide rows from our programs: every command then stops
-- and says so. Leave it off; who may see what is told by the grants below.

BEGIN;

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'subscription_sync_webhook', 'subscription_sync_job', 'subscription_sync_report',
        'subscription_sync_application'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
END
$$;

-- Ours by name: whatever else lies in the schema is nobody's business here.
REVOKE ALL ON stripe.schema_migrations, stripe.account, {OBJECTS}, stripe.events, stripe.changes,
    stripe.compared, stripe.runs, stripe.drifts, stripe.fingerprints, stripe.progress, stripe.nights
    FROM PUBLIC, subscription_sync_webhook, subscription_sync_job, subscription_sync_report,
    subscription_sync_application;
GRANT USAGE ON SCHEMA stripe
    TO subscription_sync_webhook, subscription_sync_job, subscription_sync_report,
    subscription_sync_application;

-- The application reads what is mirrored, and nothing of how that is done.
GRANT SELECT ON {OBJECTS} TO subscription_sync_application;

-- Our programs compare the schema's version with their own.
GRANT SELECT ON stripe.schema_migrations
    TO subscription_sync_webhook, subscription_sync_job, subscription_sync_report;

-- What both programs that write do to an object: nothing is ever deleted but an item that Stripe
-- took out of its object. Changes can be added and, by nobody, altered.
GRANT SELECT, INSERT, UPDATE ON {OBJECTS}
    TO subscription_sync_webhook, subscription_sync_job;
GRANT DELETE ON {ITEMS} TO subscription_sync_webhook, subscription_sync_job;
-- A row that comes back after somebody removed it goes on from the last revision of its id.
GRANT SELECT (object_id, revision), INSERT (object, object_id, revision, event_id, run_id, fields)
    ON stripe.changes TO subscription_sync_webhook, subscription_sync_job;

-- Whose database it is: claimed once, its id filled in, its mode never changed.
GRANT SELECT (singleton, id, livemode), INSERT (id, livemode), UPDATE (id) ON stripe.account
    TO subscription_sync_webhook, subscription_sync_job;

-- The ledger. An event's id, type, time and source are what they were when it was entered. The
-- payload has to be readable because ON CONFLICT ... EXCLUDED.payload counts as reading it.
GRANT SELECT (id, object_id, outcome, error, payload, attempts),
    INSERT (id, type, object_id, created, api_version, source, outcome, error, payload),
    UPDATE (object_id, outcome, error, payload, attempts, processed_at)
    ON stripe.events TO subscription_sync_webhook;
GRANT SELECT,
    INSERT (id, type, object_id, created, api_version, source, outcome, error, payload),
    UPDATE (object_id, outcome, error, payload, attempts, processed_at)
    ON stripe.events TO subscription_sync_job;

-- Since when a run has compared everything: the job says so, the webhook asks before it lets an old
-- event write.
GRANT SELECT ON stripe.compared TO subscription_sync_webhook, subscription_sync_report;
GRANT SELECT, INSERT, UPDATE ON stripe.compared TO subscription_sync_job;

-- Runs and what they found are the job's alone.
GRANT SELECT, INSERT, UPDATE ON stripe.runs, stripe.drifts TO subscription_sync_job;

-- What a run need not compare again. The report only uses it. The webhook's role reads neither it
-- nor its salt: so nobody who writes rows with that role can make one that passes for another.
GRANT SELECT, INSERT, UPDATE ON stripe.fingerprints TO subscription_sync_job;
GRANT SELECT (fingerprint_salt) ON stripe.account TO subscription_sync_job;

-- Where an object's creation was once recorded: its row may have been changed by hand since.
GRANT SELECT (id, object, object_id, revision, fields) ON stripe.changes
    TO subscription_sync_job, subscription_sync_report;

-- How far the run under way is, and how the last nights ended: views of figures, without who runs
-- it or what differs.
GRANT SELECT ON stripe.progress, stripe.nights TO subscription_sync_job, subscription_sync_report;

-- `reconcile --report`: reads, and not what it does not print (the payloads of events).
GRANT SELECT ON stripe.account, stripe.fingerprints, {OBJECTS}
    TO subscription_sync_report;
GRANT SELECT (id, type, object_id, created, source, outcome, error, attempts, received_at)
    ON stripe.events TO subscription_sync_report;
GRANT SELECT (events_until, started_at, scope, outcome, new_objects, planned) ON stripe.runs
    TO subscription_sync_report;

COMMIT;
