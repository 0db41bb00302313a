"""The command `webhook`: serve Stripe's endpoint under gunicorn, in this process.

It starts whatever the state of the database: /healthz answers, /readyz and every event get 503
until the schema is this version's, and the log says what to run. To refuse to start instead would
make a restart loop of each short outage of the database, and Stripe sends again anyway.
"""

# ruff: noqa: T201 - a command speaks to a person before it serves

from __future__ import annotations

import argparse
import os
import sys
import time

from shared.command import OK, Call, Command, imports
from shared.settings import WebhookSettings

CHECK_SECONDS = 10.0
"""How long `--check` may take."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check",
        action="store_true",
        help="say whether an event could be applied now (settings, database, key), and exit",
    )


def _execute(call: Call[WebhookSettings]) -> int:
    return check(call.settings) if call.arguments.check else serve(call.settings)


def serve(settings: WebhookSettings) -> int:
    """Serve until a signal comes."""
    # gunicorn reads it too, at its import, and ends on one that is empty. It is told the number.
    os.environ.pop("WEB_CONCURRENCY", None)
    with imports():
        from shared.memory import give_large_blocks_back
        from webhook.service import Service

        give_large_blocks_back()
    Service(settings).run()
    return OK


def check(settings: WebhookSettings) -> int:
    """Say that the service could do its work now; raises one of REASONS where it could not."""
    from shared.database.pool import Database
    from shared.stripe.api import StripeApi
    from shared.stripe.http import WEBHOOK_PATIENCE, StripeHttp
    from webhook.readiness import Readiness

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
    if readiness.key.lacking is not None:
        print(
            f"webhook: look out: {readiness.key.lacking}; events that need it are put off, and the"
            " nightly run fails until it is granted",
            file=sys.stderr,
        )
    if readiness.key.unknown is None:
        print("settings, database, schema and key are right")
    else:
        print("settings, database and schema are right; the key could not be looked at:")
        print(f"Stripe did not answer ({readiness.key.unknown})")
    return OK


main = Command(
    name="webhook",
    summary="Serve Stripe's endpoint: POST /webhook, GET /healthz, GET /readyz.",
    settings=WebhookSettings,
    add_arguments=_add_arguments,
    execute=_execute,
    exit_status="0 stopped by a signal, or ready; 1 cannot serve; 2 wrong usage or settings",
)


if __name__ == "__main__":
    sys.exit(main())
