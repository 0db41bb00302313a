"""What an answer of Stripe's other than 200 means, and when an answer was true."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import ceil, floor
from urllib.parse import unquote

import msgspec

from shared.errors import (
    KeyRevoked,
    ObjectMissing,
    StripeError,
    StripeRefused,
    StripeUnavailable,
    StripeUnreadable,
)
from shared.truth import Interval

_MISSING = frozenset({"resource_missing", "not_found"})
"""How the first and the second API say that they have no such object; anything else is no word."""

_PASSING = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})


class _ErrorDetail(msgspec.Struct):
    code: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail


_decoder = msgspec.json.Decoder(_ErrorBody)


class Final(Exception):
    """An answer that asking again cannot better."""

    def __init__(self, error: StripeError) -> None:
        self.error = error
        super().__init__(str(error))


def limiter(headers: Mapping[str, str]) -> str | None:
    """Return the limiter that a 429 names (docs.stripe.com/rate-limits)."""
    return headers.get("stripe-rate-limited-reason", "")[:40] or None


def interval(date: str | None, took: float, endpoint: str) -> Interval:
    """Return when the answer was true on Stripe's clock, rounded outwards to whole seconds.

    `Date` is cut to the second and may be set at any time while the answer is made (RFC 9110,
    6.6.1), so the request's duration counts on both sides.
    """
    try:
        seconds = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        raise StripeUnreadable(f"GET {endpoint}: the answer has no readable Date") from None
    return Interval(floor(seconds - took), ceil(seconds + 1 + took))


def failure(
    status: int,
    headers: Mapping[str, str],
    body: bytes | bytearray,
    endpoint: str,
    target: str,
    took: float,
) -> Exception:
    """Translate an answer that is not 200; Stripe's own words stay out, they name keys.

    `headers` by their names in lower case.
    """
    request = headers.get("request-id", "without id")
    what = f"GET {endpoint}: {status} (request {request})"
    if status == HTTPStatus.NOT_FOUND and code(body) in _MISSING:
        as_of = interval(headers.get("date"), took, endpoint)
        return Final(ObjectMissing(unquote(target.rpartition("/")[2].partition("?")[0]), as_of))
    if status == HTTPStatus.UNAUTHORIZED:
        return Final(KeyRevoked(f"{what}: the key is wrong or revoked; set STRIPE_SECRET_KEY"))
    if status == HTTPStatus.FORBIDDEN:
        return Final(StripeRefused(f"{what}: the key lacks the permission to read {endpoint}"))
    reason = limiter(headers)
    if reason:
        what += f" limited by {reason}"
    advice = headers.get("stripe-should-retry")
    error = StripeUnavailable(what, retry_after=_seconds(headers.get("retry-after")))
    if advice == "false":
        return Final(error)
    if advice == "true" or status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return error
    return Final(StripeUnreadable(f"{what}: not an answer that the API promises"))


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
