"""The command `webhook`: serve Stripe's endpoint under gunicorn, in this process.

It starts whatever the state of the database: /healthz answers, /readyz and every event get 503
until the schema is this version's, and the log says what to run. To refuse to start instead would
make a restart loop of each short outage of the database, and Stripe sends again anyway.
"""

# ruff: noqa: T201 - a command speaks to a person before it serves

import argparse
import gc
import os
import sys
import time
from collections.abc import Sequence

from shared import log
from shared.errors import DatabaseUnavailable, SchemaMismatch, SettingsError
from shared.settings import WebhookSettings, describe, load_webhook


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 stopped or (with --check) ready, 1 cannot serve, 2 usage or settings."""
    parser = argparse.ArgumentParser(
        prog="webhook",
        description="Serve Stripe's endpoint: POST /webhook, GET /healthz, GET /readyz.",
        epilog=f"{describe(WebhookSettings)}\n\n"
        "exit status: 0 stopped by a signal, or ready; 1 cannot serve; 2 wrong usage or settings",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check", action="store_true", help="check settings, database and schema, and exit"
    )
    arguments = parser.parse_args(argv)
    try:
        settings = load_webhook(os.environ)
    except SettingsError as error:
        print(f"webhook: {error}", file=sys.stderr)
        return 2
    if arguments.check:
        return check(settings)
    log.configure(settings.log_level)
    # What is imported stays for good. Not searching it for garbage saves a tenth of the start, and
    # frozen it stays in the pages that the workers share.
    gc.disable()
    from webhook.service import Service

    gc.freeze()
    gc.enable()
    Service(settings).run()
    return 0


def check(settings: WebhookSettings) -> int:
    """Say whether the service could do its work now: 0 yes, 1 no."""
    from shared.database import Database
    from webhook.readiness import READY_SECONDS, Readiness

    database = Database(
        settings.database_url.reveal(), max_connections=1, schema=settings.stripe_schema
    )
    try:
        Readiness(database).check(time.monotonic() + READY_SECONDS)
    except (DatabaseUnavailable, SchemaMismatch) as error:
        print(f"webhook: {error}", file=sys.stderr)
        return 1
    finally:
        database.close()
    print("settings, database and schema are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
