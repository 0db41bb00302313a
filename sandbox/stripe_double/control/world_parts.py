"""What can be done to the double as a whole: its time, its trouble, what it was asked."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from sandbox.stripe_double.http.interventions import Fault, FaultKind, Hold, Hook, Match, When
from sandbox.stripe_double.http.keys import MAIN_ACCOUNT, PERMISSIONS, Key
from sandbox.stripe_double.http.server import RequestLine, World
from sandbox.stripe_double.realm.switches import Switches

_MATCH_FIELDS = frozenset(Match.__struct_fields__)


class WorldPart:
    """Acts on the world that `find` gives: resets put another in its place."""

    def __init__(self, find: Callable[[], World]) -> None:
        self._find = find

    @property
    def _world(self) -> World:
        return self._find()


class Time(WorldPart):
    def now(self) -> float:
        return self._world.clock.now()

    def advance(self, seconds: float) -> float:
        return self._world.clock.advance(seconds)

    def set_clock(self, moment: float) -> float:
        return self._world.clock.move_to(moment)


class Trouble(WorldPart):
    """Which requests a fault, hold or hook meets is said by the fields of `Match`."""

    def switches(self) -> Switches:
        """A copy of what is set."""
        return self._world.switches.copy()

    def switch(self, /, **values: Any) -> None:
        self._world.switches.set(values)

    def add_key(
        self,
        secret: str,
        *,
        permissions: Iterable[str] = PERMISSIONS,
        account: str = MAIN_ACCOUNT,
    ) -> None:
        """A key for an account; its mode is that of its prefix (`sk_live_`, `rk_test_`)."""
        self._world.revoked.discard(secret)
        self._world.keys[secret] = Key(
            secret=secret,
            account=account,
            livemode="_live_" in secret,
            permissions=frozenset(permissions),
        )

    def revoke_key(self, secret: str) -> None:
        self._world.revoked.add(secret)

    def fault(self, /, kind: FaultKind, **fields: Any) -> None:
        """Let requests go wrong; `fields` are those of `Match` and `Fault`."""
        match = {name: value for name, value in fields.items() if name in _MATCH_FIELDS}
        rest = {name: value for name, value in fields.items() if name not in _MATCH_FIELDS}
        self._world.interventions.add_fault(Match(**match), Fault(kind=kind, **rest))

    def clear_faults(self) -> None:
        self._world.interventions.clear_faults()

    def hold(self, /, when: When = "after_read", **match: Any) -> Hold:
        """Hold requests before they read the state, or after it and before they answer."""
        return self._world.interventions.add_hold(Match(**match), when)

    def hook(self, /, hook: Hook, *, when: When = "before_read", **match: Any) -> None:
        """Call back from within requests, all of them unless `count` says otherwise."""
        self._world.interventions.add_hook(Match(**{"count": None, **match}), when, hook)

    def clear_interventions(self) -> None:
        """No fault, hold or hook is left and nobody is held."""
        self._world.interventions.clear()


class Asked(WorldPart):
    def requests(self) -> list[RequestLine]:
        return list(self._world.requests)

    def request_counts(self) -> dict[str, int]:
        """How many requests came to each endpoint (`subscriptions.list`), refused ones too."""
        return dict(Counter(line.endpoint for line in self.requests()))

    def clear_requests(self) -> None:
        self._world.requests.clear()
