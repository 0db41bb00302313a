"""What an answer of Stripe's other than 200 means."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import unquote

import msgspec

from shared.errors import (
    KeyRevoked,
    NotPermitted,
    ObjectMissing,
    StripeError,
    StripeUnavailable,
    StripeUnreadable,
)
from shared.stripe.clock import interval_of

_MISSING = frozenset({"resource_missing", "not_found"})
"""How the first and the second API say that they have no such object; anything else is no word."""

_PASSING = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})


class _ErrorDetail(msgspec.Struct):
    code: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail


_decoder = msgspec.json.Decoder(_ErrorBody)


def limiter(headers: Mapping[str, str]) -> str | None:
    """Return the limiter that a 429 names (docs.stripe.com/rate-limits)."""
    return headers.get("stripe-rate-limited-reason", "")[:40] or None


def failure(
    status: int,
    headers: Mapping[str, str],
    body: bytes | bytearray,
    endpoint: str,
    target: str,
    took: float,
) -> StripeError:
    """Translate an answer that is not 200; Stripe's own words stay out, they name keys.

    `headers` by their names in lower case.
    """
    request = headers.get("request-id", "without id")
    what = f"GET {endpoint}: {status} (request {request})"
    if status == HTTPStatus.NOT_FOUND and code(body) in _MISSING:
        as_of = interval_of(headers.get("date"), took, endpoint)
        object_id = unquote(target.rpartition("/")[2].partition("?")[0])
        return ObjectMissing(object_id, as_of)
    if status == HTTPStatus.UNAUTHORIZED:
        revoked = f"{what}: the key is wrong or revoked; set STRIPE_SECRET_KEY"
        return KeyRevoked(revoked, is_final=True)
    if status == HTTPStatus.FORBIDDEN:
        lacking = f"{what}: the key lacks the permission to read {endpoint}"
        return NotPermitted(lacking, is_final=True)
    reason = limiter(headers)
    if reason:
        what += f" limited by {reason}"
    advice = headers.get("stripe-should-retry")
    is_passing = status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if advice in {"true", "false"} or is_passing:
        wished = _seconds(headers.get("retry-after"))
        return StripeUnavailable(what, is_final=advice == "false", retry_after=wished)
    return StripeUnreadable(f"{what}: not an answer that the API promises", is_final=True)


def code(body: bytes | bytearray) -> str | None:
    """Return Stripe's word for an error, None where the body tells none."""
    try:
        return _decoder.decode(body).error.code
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _seconds(header: str | None) -> float | None:
    try:
        return min(max(float(header or ""), 0.0), 60.0)
    except ValueError:
        return None
