"""One GET to Stripe: limits, retries, time-outs, errors, and Stripe's clock."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

import msgspec

from shared import log
from shared.circuit_breaker import HANGING_SECONDS, CircuitBreaker
from shared.errors import (
    DeadlineReached,
    Interrupted,
    ObjectMissing,
    StripeError,
    StripeUnavailable,
    StripeUnreadable,
)
from shared.stripe.clock import StripeClock, interval_of
from shared.stripe.connection import Connections, NoAnswer, Reply
from shared.stripe.proxy import Proxy
from shared.stripe.rate_limit import RateLimit, Turn
from shared.stripe.refusal import failure, limiter
from shared.truth import Interval
from shared.wording import error_text

API_VERSION = "2026-10-28.endive"
"""The version in which Stripe renders its answers to us: that of the pinned Stripe library."""

Parameters = Mapping[str, str | int] | Sequence[tuple[str, str | int]]
"""The query of a request; pairs where a name stands more than once."""

_LONGEST_WAIT = 0.5
"""Seconds after which a request that waits for its turn looks at the limit anew."""

_log = logging.getLogger(__name__)


class Answer(msgspec.Struct, frozen=True):
    """A successful answer: the decoded body's bytes, and when it was true on Stripe's clock."""

    body: bytes | bytearray
    as_of: Interval


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often and how long to ask: attempts, seconds a read may take, the first pause.

    Pauses double up to `longest_pause`, each drawn from its last three quarters.
    """

    attempts: int
    read_seconds: float
    first_pause: float
    longest_pause: float = 20.0


WEBHOOK_PATIENCE = Patience(attempts=3, read_seconds=2.0, first_pause=0.2)
RUN_PATIENCE = Patience(attempts=8, read_seconds=30.0, first_pause=0.5)


class StripeHttp:
    """Keep-alive connections to Stripe's API under one key; threads share it."""

    def __init__(  # noqa: PLR0913 (each has its default)
        self,
        base: str,
        key: str,
        *,
        patience: Patience,
        limit: RateLimit | None = None,
        deadline: float | None = None,
        stop: threading.Event | None = None,
        clock: StripeClock | None = None,
        breaker: CircuitBreaker | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        """Connect at the first request.

        `deadline`, on time.monotonic(), holds for every request that has none of its own. Once
        `stop` is set nothing more is asked, and no retry is waited for. `clock` takes note of every
        answer's time. `breaker` says who may still ask while Stripe does not answer.
        """
        self.clock = clock or StripeClock()
        self._breaker = breaker
        self.requests = 0
        """How many requests were sent, retries among them."""
        self._counting = threading.Lock()
        self._patience = patience
        self._limit = limit
        self._deadline = deadline
        self._stop = stop or threading.Event()
        headers = {
            "Authorization": f"Bearer {key}",
            "Stripe-Version": API_VERSION,
            "User-Agent": "subscription-sync",
        }
        self._connections = Connections(base, headers, proxy)

    def saturated(self, endpoint: str) -> bool:
        """Whether our own limit is what requests to `endpoint` wait for: more threads gain nothing.

        False where there is no limit.
        """
        return self._limit is not None and self._limit.saturated(endpoint)

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
        StripeUnavailable, StripeUnreadable; DeadlineReached where the limit leaves no turn before
        the deadline of all requests, Interrupted once `stop` is set.
        """
        # A cursor may be what nobody can encode: half a character. Stripe then refuses it.
        target = path + ("?" + urlencode(parameters, errors="replace") if parameters else "")
        name = endpoint or path
        deadline = self._deadline if deadline is None else deadline
        for attempt in range(1, self._patience.attempts + 1):
            try:
                return self._in_turn(target, name, deadline)
            except StripeError as error:
                pause = self._next_pause(attempt, error.retry_after)
                late = deadline is not None and time.monotonic() + pause >= deadline
                if error.is_final or attempt == self._patience.attempts or late:
                    raise
                log.event(
                    _log,
                    "stripe.retried",
                    endpoint=name,
                    attempt=attempt,
                    seconds=round(pause, 1),
                    error=error_text(error),
                )
                if self._stop.wait(pause):
                    raise Interrupted("stopped by a signal while waiting for Stripe") from None
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """Close the kept connections."""
        self._connections.close()

    def _in_turn(self, target: str, endpoint: str, deadline: float | None) -> Answer:
        """Wait for the limit, then ask; what comes after, a pause above all, is out of the line."""
        if self._limit is None:
            return self._once(target, endpoint, deadline, None)
        with self._limit.turn(endpoint) as turn:
            while (wait := turn.wait()) > 0:
                if self._deadline is not None and time.monotonic() + wait >= self._deadline:
                    raise DeadlineReached(
                        f"the deadline came before a request to {endpoint} had its turn"
                    )
                if deadline is not None and time.monotonic() + wait >= deadline:
                    late = f"no request to {endpoint} left within the time allowed"
                    raise StripeUnavailable(late, is_final=True)
                time.sleep(min(wait, _LONGEST_WAIT))
            return self._once(target, endpoint, deadline, turn)

    def _next_pause(self, attempt: int, wished: float | None) -> float:
        longest = min(self._patience.first_pause * 2 ** (attempt - 1), self._patience.longest_pause)
        jittered = random.uniform(longest / 4, longest)  # noqa: S311 (no secret hangs on it)
        return jittered if wished is None else max(jittered, wished)

    def _once(
        self, target: str, endpoint: str, deadline: float | None, turn: Turn | None
    ) -> Answer:
        if self._stop.is_set():
            raise Interrupted("stopped by a signal before a question to Stripe")
        began = time.monotonic()
        seconds = self._patience.read_seconds
        if deadline is not None:
            seconds = max(min(seconds, deadline - began), 0.05)
        try:
            status, headers, body = self._reply(target, seconds)
        except NoAnswer as error:
            raise StripeUnavailable(f"GET {endpoint}: {error}, no whole answer") from None
        took = time.monotonic() - began
        if status == HTTPStatus.TOO_MANY_REQUESTS and turn is not None:
            reason = limiter(headers)
            if turn.refused(reason):
                log.event(_log, "stripe.limited", endpoint=endpoint, reason=reason)
        if status != HTTPStatus.OK:
            refusal = failure(status, headers, body, endpoint, target, took)
            if isinstance(refusal, ObjectMissing):
                self.clock.read(refusal.as_of, endpoint)
            raise refusal
        kind = headers.get("content-type", "")
        if "json" not in kind:
            raise StripeUnreadable(f"GET {endpoint}: answered {kind[:40]!r} instead of JSON")
        as_of = interval_of(headers.get("date"), took, endpoint)
        return Answer(body, self.clock.read(as_of, endpoint))

    def _reply(self, target: str, seconds: float) -> Reply:
        """Ask within so many seconds, or not at all while Stripe does not answer others."""
        breaker = self._breaker
        if breaker is not None and not breaker.enter():
            raise StripeUnavailable(
                "Stripe does not answer others either; one of them asks", is_final=True
            )
        with self._counting:
            self.requests += 1
        began = time.monotonic()
        answered: bool | None = None
        try:
            reply = self._connections.get(target, seconds)
            answered = True
        except NoAnswer:
            if time.monotonic() - began > HANGING_SECONDS:
                answered = False
            raise
        finally:
            if breaker is not None:
                breaker.leave(answered=answered)
        return reply
