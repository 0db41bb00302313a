"""One GET to Stripe: limits, retries, time-outs, errors, and Stripe's clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import ceil, floor
from urllib.parse import unquote, urlencode

import msgspec
import urllib3

from shared.errors import (
    ObjectMissing,
    StripeError,
    StripeRefused,
    StripeUnavailable,
    StripeUnreadable,
)
from shared.rate_limit import RateLimit
from shared.truth import Interval

API_VERSION = "2026-10-28.endive"
"""The version in which Stripe renders its answers to us: that of the pinned Stripe library."""

Parameters = Mapping[str, str | int] | Sequence[tuple[str, str | int]]
"""The query of a request; pairs where a name stands more than once."""

_MOST_BYTES = 64 * 1024 * 1024
_CHUNK = 256 * 1024
_PASSING = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})


class Answer(msgspec.Struct, frozen=True):
    """A successful answer: the decoded body's bytes, and when it was true on Stripe's clock."""

    body: bytes
    as_of: Interval


class _ErrorDetail(msgspec.Struct):
    code: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often and how long to ask: attempts, seconds a read may take, the first pause.

    Pauses double with full jitter up to `longest_pause`.
    """

    attempts: int
    read_seconds: float
    first_pause: float
    longest_pause: float = 20.0


WEBHOOK_PATIENCE = Patience(attempts=3, read_seconds=2.0, first_pause=0.2)
RUN_PATIENCE = Patience(attempts=8, read_seconds=30.0, first_pause=0.5)


class StripeHttp:
    """Keep-alive connections to Stripe's API under one key; threads share it."""

    def __init__(
        self,
        base: str,
        key: str,
        *,
        patience: Patience,
        limit: RateLimit | None = None,
        deadline: float | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect at the first request.

        `deadline`, on time.monotonic(), holds for every request that has none of its own. `pause`
        waits out limits and retries; it may raise.
        """
        self.requests = 0
        self._base = base.rstrip("/")
        self._patience = patience
        self._limit = limit
        self._deadline = deadline
        self._pause = pause
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Stripe-Version": API_VERSION,
            "Accept-Encoding": "gzip",
            "User-Agent": "subscription-sync",
        }
        self._pool = urllib3.PoolManager(num_pools=2, maxsize=32, retries=False)

    def get(
        self,
        path: str,
        parameters: Parameters | None = None,
        *,
        endpoint: str | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """GET `path`, retrying what Stripe or the network may answer better, until `deadline`.

        `endpoint` names the rate limit that it counts against (default: the path); `deadline` is
        on time.monotonic(). Raises ObjectMissing (404), StripeRefused (401, 403),
        StripeUnavailable, StripeUnreadable.
        """
        url = self._base + path + ("?" + urlencode(parameters) if parameters else "")
        name = endpoint or path
        deadline = self._deadline if deadline is None else deadline
        for attempt in range(1, self._patience.attempts + 1):
            self._keep_to_limit(name, deadline)
            try:
                return self._once(url, name, deadline)
            except _Final as final:
                raise final.error from None
            except (StripeUnavailable, StripeUnreadable) as error:
                wished = error.retry_after if isinstance(error, StripeUnavailable) else None
                pause = self._next_pause(attempt, wished)
                late = deadline is not None and time.monotonic() + pause >= deadline
                if attempt == self._patience.attempts or late:
                    raise
                self._pause(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()

    def _keep_to_limit(self, endpoint: str, deadline: float | None) -> None:
        if self._limit is None:
            return
        wait = self._limit.reserve(endpoint)
        if deadline is not None and time.monotonic() + wait >= deadline:
            raise StripeUnavailable(f"no request to {endpoint} left within the time allowed")
        if wait > 0:
            self._pause(wait)

    def _next_pause(self, attempt: int, wished: float | None) -> float:
        longest = min(self._patience.first_pause * 2 ** (attempt - 1), self._patience.longest_pause)
        jittered = random.uniform(longest / 4, longest)  # noqa: S311 (no secret hangs on it)
        return jittered if wished is None else max(jittered, wished)

    def _once(self, url: str, endpoint: str, deadline: float | None) -> Answer:
        self.requests += 1
        began = time.monotonic()
        seconds = self._patience.read_seconds
        if deadline is not None:
            seconds = max(min(seconds, deadline - began), 0.05)
        try:
            response = self._pool.request(
                "GET",
                url,
                headers=self._headers,
                timeout=urllib3.Timeout(connect=min(seconds, 5.0), read=seconds),
                preload_content=False,
                redirect=False,
            )
            body = _read(response, began + seconds)
        except urllib3.exceptions.HTTPError as error:
            raise StripeUnavailable(
                f"GET {endpoint}: {type(error).__name__}, no whole answer"
            ) from None
        took = time.monotonic() - began
        if response.status != HTTPStatus.OK:
            raise _failure(response, body, endpoint, url, took)
        kind = response.headers.get("Content-Type", "")
        if "json" not in kind:
            raise StripeUnreadable(f"GET {endpoint}: answered {kind[:40]!r} instead of JSON")
        return Answer(body, _interval(response.headers.get("Date"), took, endpoint))


class _Final(Exception):
    """An answer that asking again cannot better."""

    def __init__(self, error: StripeError) -> None:
        self.error = error
        super().__init__(str(error))


def _read(response: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """Read the body, however slowly it drips, until the time is up."""
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read1(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > _MOST_BYTES or time.monotonic() > until:
            response.close()
            raise urllib3.exceptions.HTTPError("too large or too slow")
    response.release_conn()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _interval(date: str | None, took: float, endpoint: str) -> Interval:
    """Return when the answer was true on Stripe's clock, rounded outwards to whole seconds.

    `Date` is cut to the second and may be set at any time while the answer is made (RFC 9110,
    6.6.1), so the request's duration counts on both sides.
    """
    try:
        seconds = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        raise StripeUnreadable(f"GET {endpoint}: the answer has no readable Date") from None
    return Interval(floor(seconds - took), ceil(seconds + 1 + took))


def _failure(
    response: urllib3.BaseHTTPResponse, body: bytes, endpoint: str, url: str, took: float
) -> Exception:
    """Translate an answer that is not 200; Stripe's own words stay out, they name keys."""
    status = response.status
    request = response.headers.get("Request-Id", "without id")
    what = f"GET {endpoint}: {status} (request {request})"
    if status == HTTPStatus.NOT_FOUND and _code(body) == "resource_missing":
        as_of = _interval(response.headers.get("Date"), took, endpoint)
        return _Final(ObjectMissing(unquote(url.rpartition("/")[2].partition("?")[0]), as_of))
    if status == HTTPStatus.UNAUTHORIZED:
        return _Final(StripeRefused(f"{what}: the key is wrong or revoked; set STRIPE_SECRET_KEY"))
    if status == HTTPStatus.FORBIDDEN:
        return _Final(StripeRefused(f"{what}: the key lacks the permission to read {endpoint}"))
    reason = response.headers.get("Stripe-Rate-Limited-Reason")
    if reason:
        what += f" limited by {reason}"
    advice = response.headers.get("Stripe-Should-Retry")
    error = StripeUnavailable(what, retry_after=_seconds(response.headers.get("Retry-After")))
    if advice == "false":
        return _Final(error)
    if advice == "true" or status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return error
    return _Final(StripeUnreadable(f"{what}: not an answer that the API promises"))


def _code(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_ErrorBody).error.code
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _seconds(header: str | None) -> float | None:
    try:
        return min(max(float(header or ""), 0.0), 60.0)
    except ValueError:
        return None
