"""The routes: translate between HTTP and the mirror, nothing more.

Bodies are fixed words. What went wrong is in the log, which is written by the access log from the
fields that a route leaves in the request's environment.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
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
from shared.event import decode_event
from shared.mirror import Mirror
from shared.settings import WebhookSettings
from webhook.readiness import READY_SECONDS, Readiness
from webhook.signature import verify

ANSWER_SECONDS: Final = 4.5
"""From the whole request to the answer: below every time-out that Stripe is said to have."""

RETRY_AFTER: Final = 30
UNAVAILABLE: Final = 503

FIELDS: Final = "subscription_sync.fields"
"""Where in the WSGI environment a request's log fields are."""

Fields = dict[str, object]
"""What a route leaves for the request's line in the log."""

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

HTTP_WORDS: Final = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class App(Flask):
    """Flask, but for the one route that everything else waits for.

    Its context, routing and response objects take a fifth of an event's time.
    """

    max_body_bytes: int
    receive: Callable[[bytes, str | None, Fields], str]
    """Apply an event and return its outcome."""

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"] != "/webhook" or environ["REQUEST_METHOD"] != "POST":
            return super().wsgi_app(environ, start_response)
        status, headers, body = self.answer_event(
            lambda: read_body(environ, self.max_body_bytes),
            environ.get("HTTP_STRIPE_SIGNATURE"),
            log_fields(environ),
        )
        start_response(status_line(status), list(headers.items()))
        return [body]

    def answer_event(
        self, read: Callable[[], bytes], signature: str | None, fields: Fields
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body for the event that `read` returns; raises nothing."""
        headers: dict[str, str] = {}
        try:
            status, body = 200, encoded("outcome", self.receive(read(), signature, fields))
        except Exception as error:  # noqa: BLE001 - as Flask does: `refusal` is the one catch-all
            status, word, headers = refusal(fields, error)
            body = encoded("error", word)
        headers["Content-Type"] = "application/json"
        headers["Content-Length"] = str(len(body))
        return status, headers, body


def create_app(settings: WebhookSettings, mirror: Mirror, readiness: Readiness) -> Flask:
    """Return the WSGI application; it touches neither network nor database before a request."""
    app = App(__name__, static_folder=None)
    # A redirect would fail the delivery: Stripe follows none.
    app.url_map.merge_slashes = False

    def receive(body: bytes, signature: str | None, fields: Fields) -> str:
        deadline = time.monotonic() + ANSWER_SECONDS
        verify(
            body,
            signature,
            settings.stripe_webhook_secret,
            settings.signature_tolerance,
            time.time,
        )
        event = decode_event(body)
        fields.update(event_id=event.id, event_type=event.type)
        readiness.require(deadline)
        receipt = mirror.apply_event(event, body, deadline)
        fields.update(
            object_id=receipt.object_id,
            outcome=receipt.outcome,
            asked=receipt.asked,
            retries=receipt.retries,
        )
        if receipt.error is not None:
            fields["error"] = receipt.error
        return receipt.outcome

    def healthz() -> Response:
        return answer(200, {"healthy": True})

    def readyz() -> Response:
        try:
            readiness.check(time.monotonic() + READY_SECONDS)
        except (DatabaseUnavailable, SchemaMismatch) as error:
            log_fields(request.environ)["error"] = describe(error)
            reason = "schema" if isinstance(error, SchemaMismatch) else "database"
            return answer(503, {"ready": False, "reason": reason}, retry_after())
        return answer(200, {"ready": True})

    app.max_body_bytes = settings.max_body_bytes
    app.receive = receive
    # So that Flask answers any other method with 405; a POST never comes as far as to it.
    app.add_url_rule(
        "/webhook", endpoint="receive", methods=["POST"], provide_automatic_options=False
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


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def refuse(error: Exception) -> Response:
    """Answer an error in Flask's own routes."""
    status, word, headers = refusal(log_fields(request.environ), error)
    return answer(status, {"error": word}, headers)


def refusal(fields: Fields, error: Exception) -> tuple[int, str, dict[str, str]]:
    """Return status, word and headers for an error: the one catch-all of this edge."""
    if isinstance(error, HTTPException):
        status = error.code or 500
        if isinstance(error, BadRequest):
            fields["error"] = error.description
        allowed = {name: value for name, value in error.get_headers() if name == "Allow"}
        return status, HTTP_WORDS.get(status, "bad_request"), allowed
    for kind in type(error).__mro__:
        if kind in ANSWERS:
            status, word = ANSWERS[kind]
            fields["error"] = describe(error)
            return status, word, retry_after() if status == UNAVAILABLE else {}
    # A product error without a row above is as unexpected here as any other.
    fields["error"] = error
    return 500, "internal", {}


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
