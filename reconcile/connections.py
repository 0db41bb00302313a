"""Both sides of a command: the database and Stripe, connected while it works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from reconcile.deadline import interruptible, unless_stopped
from reconcile.patient import CONNECT_SECONDS
from shared.database.pool import Database
from shared.settings import ReconcileSettings
from shared.stripe.api import StripeApi
from shared.stripe.http import RUN_PATIENCE, StripeHttp
from shared.stripe.rate_limit import RateLimit


@contextmanager
def connected(
    settings: ReconcileSettings,
    stop: threading.Event,
    deadline: float | None,
    *,
    read_only: bool = False,
) -> Iterator[tuple[Database, StripeApi]]:
    """Prepare both sides; nothing is sent yet. `deadline` on time.monotonic(), None for none."""
    database = Database(
        settings.database_url.reveal(),
        application_name="subscription-sync reconcile",
        read_only=read_only,
        connect_seconds=CONNECT_SECONDS,
        schema=settings.stripe_schema,
    )
    http = StripeHttp(
        settings.stripe_api_base,
        settings.stripe_secret_key.reveal(),
        patience=RUN_PATIENCE,
        limit=RateLimit.for_mode(
            livemode=settings.livemode,
            in_all=settings.stripe_rate_limit,
            per_endpoint=settings.stripe_endpoint_rate_limit,
        ),
        deadline=deadline,
        pause=interruptible(stop),
        still=unless_stopped(stop),
        proxy=settings.proxy_to(settings.stripe_api_base),
    )
    try:
        yield database, StripeApi(http, livemode=settings.livemode)
    finally:
        database.close()
        http.close()
