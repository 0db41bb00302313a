"""The routes: translate between HTTP and the mirror, nothing more.

Bodies are fixed words. What went wrong is in the log, which is written by the access log from the
fields that a route leaves in the request's environment.
"""

import io
import json
import sys
import time
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, Response, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from shared.errors import (
    BadSignature,
    DatabaseUnavailable,
    NotAnEvent,
    SchemaMismatch,
    StripeError,
    WrongAccount,
    WrongKey,
)
from shared.mirror import Mirror
from shared.settings import WebhookSettings
from shared.stripe.event import Event
from shared.wording import error_text
from webhook.readiness import READY_SECONDS, REASONS, Readiness, reason_of
from webhook.receiver import Fields, Receiver

ANSWER_SECONDS: Final = 4.5
"""From a request's last byte to its answer: below every time-out that Stripe is said to have."""

RETRY_AFTER: Final = 30
UNAVAILABLE: Final = 503

FIELDS: Final = "subscription_sync.fields"
"""Where in the WSGI environment a request's log fields are."""

_ENVIRON: Final[dict[str, Any]] = {
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}

ANSWERS: Final[dict[type[Exception], tuple[int, str]]] = {
    BadSignature: (400, "bad_signature"),
    NotAnEvent: (400, "not_an_event"),
    WrongAccount: (400, "wrong_account"),
    DatabaseUnavailable: (503, "database_unavailable"),
    SchemaMismatch: (503, "schema_mismatch"),
    StripeError: (503, "stripe_unavailable"),
    WrongKey: (503, "wrong_key"),
}
"""Status and body by error; a subclass answers as its nearest base does."""

HTTP_WORDS: Final = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    414: "uri_too_long",
    417: "expectation_failed",
    431: "headers_too_large",
    501: "not_implemented",
    503: "busy",
    505: "version_not_supported",
}
"""What is said of a request that no route answers; of every other status `bad_request`."""

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


class App(Flask):
    """The routes; whoever has read an event by itself answers it past Flask: `answer_event`.

    Flask's context, routing and response objects take a fifth of an event's time.
    """

    max_body_bytes: int
    receiver: Receiver

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        environ["PATH_INFO"] = plain(environ["PATH_INFO"])
        try:
            return super().wsgi_app(environ, start_response)
        except Exception as error:  # noqa: BLE001 - before Flask's own catch-all
            status, headers, body = refusal(log_fields(environ), error)
        start_response(status_line(status), list(headers.items()))
        return [body]

    def answer_plainly(self, method: str, path: str, fields: Fields) -> Answer:
        """Return the answer to a request for which only its method and path count."""
        told: list[tuple[int, dict[str, str]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            told.append((int(status[:3]), dict(headers)))

        environ = {**_ENVIRON, "REQUEST_METHOD": method, "PATH_INFO": path, FIELDS: fields}
        environ["wsgi.input"] = io.BytesIO()
        body = b"".join(self.wsgi_app(environ, start_response))
        return *told[-1], body

    def answer_event(self, event: Event, body: bytes, deadline: float, fields: Fields) -> Answer:
        """Return the answer to an event whose signature is right; raises nothing."""
        try:
            outcome = self.receiver.apply(event, body, deadline, fields)
        except Exception as error:  # noqa: BLE001 - as Flask does: `refusal` is the one catch-all
            return refusal(fields, error)
        return with_body(200, {}, "outcome", outcome)


def create_app(settings: WebhookSettings, mirror: Mirror, readiness: Readiness) -> Flask:
    """Return the WSGI application; it touches neither network nor database before a request."""
    app = App(__name__, static_folder=None)
    # A redirect would fail the delivery: Stripe follows none.
    app.url_map.merge_slashes = False

    def webhook() -> Response:
        deadline, fields = time.monotonic() + ANSWER_SECONDS, log_fields(request.environ)
        body = read_body(request.environ, app.max_body_bytes)
        event = app.receiver.read(body, request.headers.get("Stripe-Signature"), fields)
        return as_response(app.answer_event(event, body, deadline, fields))

    def healthz() -> Response:
        return answer(200, {"healthy": True})

    def readyz() -> Response:
        try:
            readiness.check(time.monotonic() + READY_SECONDS)
        except tuple(REASONS) as error:
            log_fields(request.environ)["error"] = error_text(error)
            return answer(503, {"ready": False, "reason": reason_of(error)}, retry_after())
        return answer(200, {"ready": True})

    app.max_body_bytes = settings.max_body_bytes
    app.receiver = Receiver(settings, mirror, readiness)
    app.add_url_rule(
        "/webhook", view_func=webhook, methods=["POST"], provide_automatic_options=False
    )
    app.add_url_rule("/healthz", view_func=healthz, provide_automatic_options=False)
    app.add_url_rule("/readyz", view_func=readyz, provide_automatic_options=False)
    app.register_error_handler(Exception, refuse)
    return app


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """Return the raw body. Raises 413 beyond `limit` bytes, 400 when it breaks off.

    Read from the server itself, for Werkzeug cuts a body without Content-Length at its limit and
    says nothing. The server must end the stream where the body ends, as gunicorn's does.
    """
    announced = int(environ.get("CONTENT_LENGTH") or 0)
    if announced > limit:
        raise RequestEntityTooLarge
    try:
        body: bytes = environ["wsgi.input"].read(limit + 1)
    except (OSError, ParseException):
        raise BadRequest("the body broke off or is chunked badly") from None
    if len(body) > limit:
        raise RequestEntityTooLarge
    if len(body) < announced:
        raise BadRequest("the body broke off")
    return body


def log_fields(environ: dict[str, Any]) -> Fields:
    """Return what the request's line in the log will hold, to add to."""
    fields: Fields = environ.setdefault(FIELDS, {})
    return fields


def refuse(error: Exception) -> Response:
    """Answer an error in Flask's own routes."""
    return as_response(refusal(log_fields(request.environ), error))


def as_response(given: Answer) -> Response:
    """Return an answer as Flask's own routes do."""
    status, headers, body = given
    return Response(body, status, headers)


def refusal(fields: Fields, error: Exception) -> Answer:
    """Return the answer to an error: the one catch-all of this edge."""
    if isinstance(error, HTTPException):
        status = error.code or 500
        if isinstance(error, BadRequest):
            fields["error"] = error.description
        allowed = {name: value for name, value in error.get_headers() if name == "Allow"}
        return turned_away(status, allowed)
    for kind in type(error).__mro__:
        if kind in ANSWERS:
            status, word = ANSWERS[kind]
            fields["error"] = error_text(error)
            return with_body(status, retry_after() if status == UNAVAILABLE else {}, "error", word)
    # A product error without a row above is as unexpected here as any other.
    fields["error"] = error
    return with_body(500, {}, "error", "internal")


def turned_away(status: int, headers: Mapping[str, str] | None = None) -> Answer:
    """Return the answer to a request that comes to no route."""
    given = dict(headers or {})
    if status == UNAVAILABLE:
        given |= retry_after()
    return with_body(status, given, "error", HTTP_WORDS.get(status, "bad_request"))


def plain(path: str) -> str:
    """Return a path without slashes too many: an address put together from parts has some."""
    return "/" + "/".join(part for part in path.split("/") if part)


def with_body(status: int, headers: dict[str, str], name: str, word: str) -> Answer:
    """Return an answer whose body is one word."""
    body = encoded(name, word)
    headers["Content-Type"] = "application/json"
    headers["Content-Length"] = str(len(body))
    return status, headers, body


def answer(
    status: int, body: dict[str, object], headers: Mapping[str, str] | None = None
) -> Response:
    """Return `body` as JSON."""
    return Response(json.dumps(body), status, headers, content_type="application/json")


def retry_after() -> dict[str, str]:
    """Ask for another try."""
    return {"Retry-After": str(RETRY_AFTER)}


@cache
def encoded(name: str, word: str) -> bytes:
    """Return an answer's body. Both are words of ours, so there are few of them."""
    return json.dumps({name: word}).encode()


@cache
def status_line(status: int) -> str:
    """Return an answer's status as HTTP writes it."""
    return f"{status} {HTTPStatus(status).phrase}"
