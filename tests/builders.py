"""What tests build again and again: the product's own objects on a real database and a double."""

import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

import msgspec
import psycopg
from gunicorn.config import Config  # type: ignore[import-untyped]
from werkzeug.test import Client, TestResponse

from reconcile.gate import parse
from reconcile.progress import Display
from reconcile.report.model import Report
from reconcile.run import Run
from reconcile.stages import Options
from sandbox.stripe_double import Control, StripeDouble, sign
from shared import log
from shared.database.pool import Database
from shared.mirror import Mirror, Receipt
from shared.settings import WebhookSettings, load
from shared.stripe.api import StripeApi
from shared.stripe.event import decode_event
from shared.stripe.http import WEBHOOK_PATIENCE, Patience, StripeHttp
from tests.objects import ALL_TABLES
from webhook.access_log import RequestLog
from webhook.app import create_app
from webhook.readiness import Readiness

KEY = "sk_test_double"
SECRET = "whsec_double"
ACCESS = frozenset({"active", "trialing", "past_due"})
QUICK = Patience(attempts=3, read_seconds=2.0, first_pause=0.01)
"""A run's patience, fewer attempts and shorter pauses."""

TABLES = {
    "account": "livemode",
    **dict.fromkeys(ALL_TABLES, "id"),
    "events": "id",
    "changes": "id",
    "runs": "started_at",
    "drifts": "object_id",
}


def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Wait for a condition; fails when it is not met in time."""
    deadline = time.monotonic() + seconds
    waiting = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        waiting.wait(0.01)


def world(connection: psycopg.Connection, *left_out: str) -> dict[str, list[Any]]:
    """Every row of every table, to be compared with itself."""
    return {
        table: connection.execute(
            f"SELECT to_jsonb(t)::text FROM stripe.{table} AS t ORDER BY {order}, 1"  # noqa: S608
        ).fetchall()
        for table, order in TABLES.items()
        if table not in left_out
    }


@contextmanager
def mirror(
    url: str,
    double: StripeDouble,
    *,
    key: str = KEY,
    patience: Patience = WEBHOOK_PATIENCE,
    connections: int = 8,
    source: str = "webhook",
) -> Iterator[Mirror]:
    """The heart as the webhook has it."""
    database = Database(url, max_connections=connections, plan_once=True)
    http = StripeHttp(double.url, key, patience=patience)
    try:
        yield Mirror(database, StripeApi(http, livemode="_live_" in key), source=source)
    finally:
        database.close()
        http.close()


def apply(to: Mirror, body: bytes, seconds: float = 8.0) -> Receipt:
    """Apply an event's body, past the signature."""
    return to.apply_event(decode_event(body), body, time.monotonic() + seconds)


def apply_all(to: Mirror, control: Control, *, after: int = 0) -> list[Receipt]:
    """Apply all events that Stripe has made since the first `after`, in their options."""
    bodies = [control.event_body(event["id"]) for event in control.events()[after:]]
    return [apply(to, body) for body in bodies]


@contextmanager
def run(
    url: str,
    double: StripeDouble,
    *,
    key: str = KEY,
    writes: bool = True,
    limit: str = "100%",
    grace: int = 0,
    lease_seconds: int = 60,
    patience: Patience = QUICK,
    subscription: str | None = None,
    deadline: float | None = None,
    every_field: bool = False,
    is_strict: bool = False,
    flags: tuple[str, ...] = (),
    stop: threading.Event | None = None,
) -> Iterator[Run]:
    """One run of reconcile; `deadline` on time.monotonic(); `stop` is what SIGTERM sets."""
    stop = stop or threading.Event()
    display = Display(io.StringIO())
    database = Database(url, application_name="reconcile", read_only=not writes)
    http = StripeHttp(double.url, key, patience=patience, stop=stop)
    options = Options(
        writes=writes,
        subscription=subscription,
        limit=parse(limit),
        grace=grace,
        deadline=deadline,
        lease_seconds=lease_seconds,
        payload_days=90,
        access=ACCESS,
        every_field=every_field,
        is_strict=is_strict,
        flags=flags,
    )
    try:
        yield Run(database, StripeApi(http, livemode="_live_" in key), options, stop, display)
    finally:
        database.close()
        http.close()


def reconcile(url: str, double: StripeDouble, **options: Any) -> Report:
    """Run once. The report's differences are read while there still is a connection."""
    with run(url, double, **options) as one, closing(one.execute()) as report:
        found, counted = list(report.drift()), report.tallies()
    return msgspec.structs.replace(
        report,
        drift=lambda which=None: (row for row in found if which in {None, row.consequence}),
        tallies=lambda: counted,
    )


def event(kind: str, body: Any, /, **envelope: Any) -> bytes:
    """An event as Stripe makes it, around any object; `envelope` lies over it, None removes."""
    made = {
        "id": "evt_1Builder000000000000",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_790_000_000,
        "data": {"object": body},
        "livemode": False,
        "type": kind,
        **envelope,
    }
    return json.dumps({name: value for name, value in made.items() if value is not None}).encode()


@dataclass
class Endpoint:
    """The webhook's application without its server, and the lines that it logs."""

    url: str
    double: StripeDouble
    secrets: tuple[str, ...] = (SECRET,)
    key: str = KEY
    threads: int = 4
    max_body_bytes: int = 2_097_152
    lines: io.StringIO = field(default_factory=io.StringIO)

    def __enter__(self) -> Self:
        environment = {
            "DATABASE_URL": self.url,
            "STRIPE_SECRET_KEY": self.key,
            "STRIPE_WEBHOOK_SECRET": ",".join(self.secrets),
            "STRIPE_API_BASE": self.double.url,
            "MAX_BODY_BYTES": str(self.max_body_bytes),
        }
        self._database = Database(self.url, max_connections=self.threads, statement_seconds=4.5)
        self._http = StripeHttp(self.double.url, self.key, patience=WEBHOOK_PATIENCE)
        stripe = StripeApi(self._http, livemode="_live_" in self.key)
        heart, self.readiness = Mirror(self._database, stripe), Readiness(self._database, stripe)
        app = create_app(load(WebhookSettings, environment), heart, self.readiness)
        self._environs: list[Any] = []
        self._log = RequestLog(Config())
        self._handler = logging.StreamHandler(self.lines)
        self._handler.setFormatter(log.JsonFormatter())
        logging.getLogger().addHandler(self._handler)
        logging.getLogger("webhook").setLevel(logging.INFO)

        def remember(environ: Any, start_response: Any) -> Any:
            self._environs.append(environ)
            return app(environ, start_response)

        self._client = Client(remember)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        self._database.close()
        self._http.close()

    def post(
        self, body: bytes, *, signature: str | None = None, secret: str | None = None, age: int = 0
    ) -> TestResponse:
        """Post a body, signed `age` seconds ago unless a whole `signature` is given ("": none)."""
        if signature is None:
            signature = sign(body, secret or self.secrets[0], int(time.time()) - age)
        headers = {"Stripe-Signature": signature} if signature else {}
        began = time.monotonic()
        answer = self._client.post(
            "/webhook", data=body, headers=headers, content_type="application/json"
        )
        took = timedelta(seconds=time.monotonic() - began)
        self._log.access(answer, None, self._environs.pop(), took)
        return answer

    def get(self, path: str) -> TestResponse:
        """Ask for a page, such as `/readyz`."""
        began = time.monotonic()
        answer = self._client.get(path)
        took = timedelta(seconds=time.monotonic() - began)
        self._log.access(answer, None, self._environs.pop(), took)
        return answer

    def logged(self) -> list[dict[str, Any]]:
        """The lines so far, decoded."""
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]
