"""The nightly job: compare all of Stripe with all of the database, repair what drifted, say so."""
