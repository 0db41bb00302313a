"""The service under gunicorn: its configuration, and what each worker is made of.

The master imports, the workers inherit; connections are made after the fork, at first use.
"""

import logging
import select
import socket
import threading
import time
from pathlib import Path
from typing import Any, Final

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers import gthread  # type: ignore[import-untyped]

from shared import log
from shared.circuit_breaker import CircuitBreaker
from shared.database.pool import Database
from shared.mirror import Mirror
from shared.settings import WebhookSettings
from shared.stripe.api import StripeApi
from shared.stripe.http import WEBHOOK_PATIENCE, StripeHttp
from webhook.access_log import RequestLog
from webhook.app import ANSWER_SECONDS, create_app
from webhook.readiness import READY_SECONDS, Readiness
from webhook.worker.worker import Worker

GRACEFUL_SECONDS: Final = 8
"""Given to requests in hand at SIGTERM: Docker and Scaleway kill after ten."""

CONNECTIONS: Final = 1_000
"""Of a worker at once, fewer where it may not have so many files; the idle ones make room."""

LIMITS: Final = {
    "limit_request_line": 1_024,
    "limit_request_fields": 64,
    "limit_request_field_size": 8_190,
}

_log = logging.getLogger(__name__)


class Service(BaseApplication):  # type: ignore[misc]
    """gunicorn with our settings and nothing else: no file, no flags, no GUNICORN_CMD_ARGS."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._database: Database | None = None
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        for name, value in configuration(self._settings).items():
            self.cfg.set(name, value)
        self.cfg.set("worker_exit", self._close)

    def load(self) -> Flask:
        """Return the application of one worker; called after the fork."""
        settings = self._settings
        database = Database(
            settings.database_url.reveal(),
            max_connections=settings.web_threads,
            statement_seconds=ANSWER_SECONDS,
            application_name="subscription-sync webhook",
            plan_once=True,
            schema=settings.stripe_schema,
        )
        self._database = database
        http = StripeHttp(
            settings.stripe_api_base,
            settings.stripe_secret_key.reveal(),
            patience=WEBHOOK_PATIENCE,
            breaker=CircuitBreaker.for_threads(settings.web_threads),
            proxy=settings.proxy_to(settings.stripe_api_base),
        )
        stripe = StripeApi(http, livemode=settings.livemode)
        mirror = Mirror(database, stripe, source="webhook")
        readiness = Readiness(database, stripe)
        # Beside the first requests, not before them: the database may take its time to answer.
        threading.Thread(
            target=readiness.announce, args=(time.monotonic() + READY_SECONDS,), daemon=True
        ).start()
        return create_app(settings, mirror, readiness)

    def _close(self, _: object, __: object) -> None:
        if self._database is not None:
            self._database.close()


def addresses(port: int) -> list[str]:
    """Return where to listen: on every address of this host, whichever of IPv4 and IPv6 it has."""
    every = f"0.0.0.0:{port}"
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            only_ipv6 = probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            probe.bind(("::", 0))
    except OSError:
        return [every]
    # By default one socket takes both. A host may be told otherwise (net.ipv6.bindv6only).
    return [f"[::]:{port}", every] if only_ipv6 else [f"[::]:{port}"]


def configuration(settings: WebhookSettings) -> dict[str, Any]:
    """Return gunicorn's settings by name."""
    # For the workers' heartbeat, a file without a name: it must never wait for a disk.
    memory = Path("/dev/shm")  # noqa: S108

    def announce_start(_: object) -> None:
        log.event(
            _log,
            "webhook.started",
            port=settings.port,
            workers=settings.web_concurrency,
            threads=settings.web_threads,
            livemode=settings.livemode,
            stripe_api_base=settings.stripe_api_base,
            signing_secrets=len(settings.stripe_webhook_secret),
        )

    return {
        "bind": addresses(settings.port),
        "workers": settings.web_concurrency,
        # Only Linux lets threads wait together. A developer's Mac does with gunicorn's own.
        "worker_class": Worker if hasattr(select, "epoll") else gthread.ThreadWorker,
        "threads": settings.web_threads,
        "worker_connections": CONNECTIONS,
        "keepalive": settings.keepalive_seconds,
        "graceful_timeout": GRACEFUL_SECONDS,
        **LIMITS,
        "worker_tmp_dir": str(memory) if memory.is_dir() else None,
        "control_socket_disable": True,
        "logger_class": RequestLog,
        "when_ready": announce_start,
    }
