"""The control for other processes: every method of `Control` as a JSON call."""

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from sandbox.stripe_double.control.control import Control
from sandbox.stripe_double.delivery.sending import Delivery, DeliveryPlan
from sandbox.stripe_double.http.interventions import Hold
from sandbox.stripe_double.http.keys import MAIN_ACCOUNT
from sandbox.stripe_double.protocol.encoding import to_json
from sandbox.stripe_double.protocol.request import Answer, Request


class RealmName(Struct, kw_only=True):
    account: str = MAIN_ACCOUNT
    livemode: bool = False


class RemoteCall(Struct, kw_only=True):
    method: str
    args: list[Any] = []
    keywords: dict[str, Any] = {}
    realm: RealmName = msgspec.field(default_factory=RealmName)


_call_decoder = msgspec.json.Decoder(RemoteCall)
_plan_decoder = msgspec.json.Decoder(DeliveryPlan)


class ControlRoutes:
    """`POST /_control/call`, the holds, and what is read by GET."""

    def __init__(self, control: Control, reset: Callable[[], None]) -> None:
        self._control = control
        self._reset = reset
        self._lock = threading.Lock()
        self._holds: dict[int, Hold] = {}

    def answer(self, request: Request) -> Answer:
        try:
            return self._answer(request)
        except (LookupError, TimeoutError, TypeError, ValueError, msgspec.MsgspecError) as error:
            problem = {"error": f"{type(error).__name__}: {error}"}
            return Answer(status=400, body=to_json(problem))

    def _answer(self, request: Request) -> Answer:
        route = [unquote(part) for part in request.path.removeprefix("/_control/").split("/")]
        if request.method == "POST":
            return _result(self._act(route, request))
        if route[0] == "truths":
            lines = (msgspec.json.encode(found) for found in self._control.truths(route[1]))
            return Answer(status=200, body=b"\n".join(lines), content_type="application/x-ndjson")
        return _result(self._read(route, request))

    def _act(self, route: list[str], request: Request) -> Any:
        match route:
            case ["call"]:
                return self._call(_call_decoder.decode(request.body))
            case ["hold"]:
                return self._hold(msgspec.json.decode(request.body or b"{}"))
            case ["hold", number, "release"]:
                return self._holds[int(number)].release()
            case ["reset"]:
                return self._reset()
        raise LookupError("no such control route")

    def _read(self, route: list[str], request: Request) -> Any:
        match route:
            case ["hold", number, "reached"]:
                return self._holds[int(number)].wait_reached(float(request.value("timeout") or 5))
            case ["clock"]:
                return self._control.now()
            case ["truth", name]:
                return self._control.truth(name)
            case ["history", name]:
                return self._control.history(name)
        raise LookupError("no such control route")

    def _call(self, call: RemoteCall) -> Any:
        control = self._control.realm(call.realm.account, livemode=call.realm.livemode)
        if call.method.startswith("_") or call.method in {"hold", "hook", "part", "realm"}:
            raise LookupError(f"{call.method} cannot be called from afar")
        if not hasattr(control, call.method):
            raise LookupError(f"no such method: {call.method}")
        found = getattr(control, call.method)
        if not callable(found):
            return found
        if "plan" in call.keywords:
            call.keywords["plan"] = msgspec.convert(call.keywords["plan"], _plan_decoder.type)
        return found(*call.args, **call.keywords)

    def _hold(self, fields: dict[str, Any]) -> int:
        hold = self._control.hold(**fields)
        with self._lock:
            number = len(self._holds)
            self._holds[number] = hold
        return number


def _result(value: Any) -> Answer:
    return Answer(status=200, body=to_json({"result": _show(value)}, compact=True))


def _show(value: Any) -> Any:
    """Bytes as text: bodies and answers are JSON, which JSON can carry as a string."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Delivery):
        shown = {name: _show(getattr(value, name)) for name in value.__struct_fields__}
        return {**shown, "accepted": value.accepted}
    if isinstance(value, Struct):
        return {name: _show(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list | tuple):
        return [_show(one) for one in value]
    return value
