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
from shared.errors import SettingsError
from shared.settings import WebhookSettings, describe, load

CHECK_SECONDS = 10.0
"""How long `--check` may take."""


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
        "--check",
        action="store_true",
        help="say whether an event could be applied now (settings, database, key), and exit",
    )
    arguments = parser.parse_args(argv)
    # Before anything can go wrong: nothing reaches the terminal past the redaction.
    log.configure()
    try:
        settings = load(WebhookSettings, os.environ)
    except SettingsError as error:
        print(f"webhook: {error}", file=sys.stderr)
        return 2
    log.configure(settings.log_level)
    if arguments.check:
        return check(settings)
    # What is imported stays for good. Not searching it for garbage saves a tenth of the start, and
    # frozen it stays in the pages that the workers share.
    gc.disable()
    from shared.memory import give_large_blocks_back
    from webhook.service import Service

    give_large_blocks_back()
    gc.freeze()
    gc.enable()
    Service(settings).run()
    return 0


def check(settings: WebhookSettings) -> int:
    """Say whether the service could do its work now: 0 yes, 1 no."""
    from shared.database.pool import Database
    from shared.stripe.api import StripeApi
    from shared.stripe.http import WEBHOOK_PATIENCE, StripeHttp
    from webhook.readiness import REASONS, Readiness

    database = Database(
        settings.database_url.reveal(), max_connections=1, schema=settings.stripe_schema
    )
    key = settings.stripe_secret_key.reveal()
    base = settings.stripe_api_base
    http = StripeHttp(base, key, patience=WEBHOOK_PATIENCE, proxy=settings.proxy_to(base))
    stripe = StripeApi(http, livemode=settings.livemode)
    readiness = Readiness(database, stripe)
    try:
        readiness.check(time.monotonic() + CHECK_SECONDS)
    except tuple(REASONS) as error:
        print(f"webhook: {error}", file=sys.stderr)
        return 1
    finally:
        database.close()
        http.close()
    ahead = stripe.clock_ahead
    if ahead is not None and abs(ahead) > settings.signature_tolerance:
        print(
            f"webhook: look out: this machine's clock is {readiness.clock()};"
            f" SIGNATURE_TOLERANCE allows {settings.signature_tolerance} s to Stripe's signatures",
            file=sys.stderr,
        )
    if readiness.key.unknown is None:
        print("settings, database, schema and key are right")
    else:
        print("settings, database and schema are right; the key could not be looked at:")
        print(f"Stripe did not answer ({readiness.key.unknown})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
