"""The double's front door: from a request to an answer, with everything that may go wrong."""

import math
import threading
from email.utils import formatdate
from typing import Any

import msgspec
from msgspec import Struct

from sandbox.stripe_double.changes.subscriptions import Subscriptions
from sandbox.stripe_double.http.calls import Call
from sandbox.stripe_double.http.endpoints import Endpoint, answer_call, find_endpoint
from sandbox.stripe_double.http.interventions import Fault, Interventions, pass_stops
from sandbox.stripe_double.http.keys import Key, first_keys, secret_of
from sandbox.stripe_double.http.limits import Limits
from sandbox.stripe_double.protocol.encoding import JsonObject, to_json
from sandbox.stripe_double.protocol.refusals import (
    Refusal,
    expired_key,
    no_key,
    rate_limited,
    troubled,
    unknown_key,
)
from sandbox.stripe_double.protocol.request import Answer, Break, Request
from sandbox.stripe_double.realm.clock import Clock
from sandbox.stripe_double.realm.realm import Realm
from sandbox.stripe_double.realm.switches import Switches

_HTML = b"<html><head><title>Maintenance</title></head><body>Back soon.</body></html>"


class RequestLine(Struct, frozen=True, kw_only=True):
    """One request that was answered, or broken (`status` None)."""

    method: str
    path: str
    query: list[tuple[str, str]]
    endpoint: str
    status: int | None
    at: float


class World:
    """Everything that a reset forgets."""

    def __init__(
        self, *, clock: Clock, switches: Switches, stopping: threading.Event, seed: int
    ) -> None:
        self.clock = clock
        self.switches = switches
        self.stopping = stopping
        self.lock = threading.RLock()
        self.keys = first_keys()
        self.revoked: set[str] = set()
        self.limits = Limits(switches)
        self.interventions = Interventions(stopping, seed)
        self.requests: list[RequestLine] = []
        self._realms: dict[tuple[str, bool], Realm] = {}

    def realm(self, account: str, *, livemode: bool) -> Realm:
        with self.lock:
            found = self._realms.get((account, livemode))
            if found is None:
                found = self._realms[account, livemode] = Realm(
                    account,
                    livemode=livemode,
                    clock=self.clock,
                    switches=self.switches,
                    lock=self.lock,
                )
            return found

    def answer(self, request: Request) -> Answer:
        """Answer one request for the API."""
        name = ""
        key = None
        try:
            key = self._key(request)
            endpoint, rest = find_endpoint(request)
            name = endpoint.name
            call = Call(
                request=request,
                realm=self.realm(key.account, livemode=key.livemode),
                key=key,
                name=rest,
            )
            answer = self._within_limits(endpoint, call)
        except Refusal as refusal:
            answer = refusal.answer
        moment = self.clock.now()
        self._stamp(answer, request, moment, key)
        silent = answer.broken is not None and answer.broken.kind in {"reset", "hang"}
        self.requests.append(
            RequestLine(
                method=request.method,
                path=request.path,
                query=request.query,
                endpoint=name,
                status=None if silent else answer.status,
                at=moment,
            )
        )
        return answer

    def _key(self, request: Request) -> Key:
        secret = secret_of(request)
        if not secret:
            raise no_key()
        if secret in self.revoked:
            raise expired_key(secret)
        key = self.keys.get(secret)
        if key is None:
            raise unknown_key(secret)
        return key

    def _within_limits(self, endpoint: Endpoint, call: Call) -> Answer:
        owner = f"{call.key.account} {call.key.livemode}"
        reason = self.limits.enter(owner, endpoint.name, livemode=call.key.livemode)
        if reason is not None:
            return rate_limited(reason, None)
        try:
            return self._attempt(endpoint, call)
        finally:
            self.limits.leave(owner, endpoint.name)

    def _attempt(self, endpoint: Endpoint, call: Call) -> Answer:
        fault = self.interventions.fault(call.request, endpoint.name)
        stops = self.interventions.stops(call.request, endpoint.name)
        pass_stops(stops.get("before_read", []))
        self._wait(self.switches.latency / 2)
        if fault is not None and fault.kind in {"status", "html", "reset", "hang"}:
            return _fail(fault)
        if self.switches.churn_on_list and endpoint.name == "subscriptions.list":
            # A walk must bear objects that were not there when it began.
            Subscriptions(lambda: call.realm).create()
        try:
            answer = answer_call(endpoint, call)
        except Refusal as refusal:
            answer = refusal.answer
        pass_stops(stops.get("after_read", []))
        self._wait(self.switches.latency / 2)
        if fault is not None:
            _spoil(answer, fault)
        return answer

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.stopping.wait(seconds)

    def _stamp(self, answer: Answer, request: Request, moment: float, key: Key | None) -> None:
        account = self.switches.account_version
        name = f"req_{len(self.requests):014d}"
        if answer.error is not None:
            answer.body = to_json({"error": _signposted(answer.error, name, key)})
        answer.headers = {
            "Server": "nginx",
            "Date": formatdate(math.floor(moment), usegmt=True),
            "Request-Id": name,
            "Stripe-Version": request.headers.get("stripe-version", account),
            "Cache-Control": "no-cache, no-store",
            **answer.headers,
        }


def _signposted(error: JsonObject, request: str, key: Key | None) -> JsonObject:
    """The error with where the account's owner finds the request; a wrong key has no owner."""
    found = dict(error)
    if key is not None:
        mode = "" if key.livemode else "/test"
        found["request_log_url"] = (
            f"https://dashboard.stripe.com/{key.account}{mode}/workbench/logs?object={request}"
        )
    return dict(sorted(found.items()))


def _fail(fault: Fault) -> Answer:
    if fault.kind == "html":
        status = 200 if fault.status == 500 else fault.status
        return Answer(status=status, body=_HTML, content_type="text/html; charset=utf-8")
    if fault.kind == "status" and fault.status == 429:
        answer = rate_limited(fault.reason, fault.should_retry)
        if fault.retry_after is not None:
            answer.headers["Retry-After"] = str(fault.retry_after)
        return answer
    answer = troubled(fault.status, fault.should_retry, fault.retry_after)
    if fault.kind != "status":
        answer.broken = Break(
            kind="hang" if fault.kind == "hang" else "reset", seconds=fault.seconds
        )
    return answer


def _spoil(answer: Answer, fault: Fault) -> None:
    if fault.kind == "date":
        answer.headers["Date"] = formatdate(fault.date, usegmt=True)
        return
    if fault.kind in {"half_body", "slow_body"}:
        answer.broken = Break(
            kind="half_body" if fault.kind == "half_body" else "slow_body", seconds=fault.seconds
        )
        return
    if answer.error is not None:
        return
    page: Any = msgspec.json.decode(answer.body)
    if page.get("object") == "list":
        page["data"] = page["data"][: fault.keep if fault.kind == "truncated_list" else 0]
        page["has_more"] = False
        answer.body = to_json(page)
