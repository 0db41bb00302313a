"""Everything that a test or a scenario can do to one realm of the double, thread-safe."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from sandbox.stripe_double.churn import Churn
from sandbox.stripe_double.interventions import Fault, FaultKind, Hold, Hook, Match, When
from sandbox.stripe_double.keys import MAIN_ACCOUNT, PERMISSIONS, Key
from sandbox.stripe_double.mail import Mail
from sandbox.stripe_double.server import RequestLine, World
from sandbox.stripe_double.switches import Switches
from sandbox.stripe_double.truth import Truth

_MATCH_FIELDS = frozenset(Match.__struct_fields__)


class Control(Churn, Mail, Truth):
    """Assembled by subject: changes, random life, delivery, the truth, and here the rest.

    Which requests a fault, hold or hook meets is said by the fields of `Match`.
    """

    def __init__(self, world: Callable[[], World], account: str, *, livemode: bool) -> None:
        super().__init__(lambda: world().realm(account, livemode=livemode))
        self._world = world

    def realm(self, account: str = MAIN_ACCOUNT, *, livemode: bool = False) -> "Control":
        """The control over another account or mode."""
        return Control(self._world, account, livemode=livemode)

    # Time

    def now(self) -> float:
        return self._world().clock.now()

    def advance(self, seconds: float) -> float:
        return self._world().clock.advance(seconds)

    def set_clock(self, moment: float) -> float:
        return self._world().clock.move_to(moment)

    # The whole

    @property
    def switches(self) -> Switches:
        """A copy of what is set."""
        return self._world().switches.copy()

    def switch(self, **values: Any) -> None:
        self._world().switches.set(values)

    def add_key(
        self,
        secret: str,
        *,
        permissions: Iterable[str] = PERMISSIONS,
        account: str = MAIN_ACCOUNT,
    ) -> None:
        """A key for an account; its mode is that of its prefix (`sk_live_`, `rk_test_`)."""
        self._world().revoked.discard(secret)
        self._world().keys[secret] = Key(
            secret=secret,
            account=account,
            livemode="_live_" in secret,
            permissions=frozenset(permissions),
        )

    def revoke_key(self, secret: str) -> None:
        self._world().revoked.add(secret)

    # Single requests

    def fault(self, kind: FaultKind, **fields: Any) -> None:
        """Let requests go wrong; `fields` are those of `Match` and `Fault`."""
        match, rest = _match(fields)
        self._world().interventions.add_fault(match, Fault(kind=kind, **rest))

    def clear_faults(self) -> None:
        self._world().interventions.clear_faults()

    def hold(self, when: When = "after_read", **match: Any) -> Hold:
        """Hold requests before they read the state, or after it and before they answer."""
        return self._world().interventions.add_hold(Match(**match), when)

    def hook(self, hook: Hook, *, when: When = "before_read", **match: Any) -> None:
        """Call back from within requests, all of them unless `count` says otherwise."""
        self._world().interventions.add_hook(Match(**{"count": None, **match}), when, hook)

    def clear_interventions(self) -> None:
        """No fault, hold or hook is left and nobody is held."""
        self._world().interventions.clear()

    # What was asked

    def requests(self) -> list[RequestLine]:
        return list(self._world().requests)

    def request_counts(self) -> dict[str, int]:
        """How many requests came to each endpoint (`subscriptions.list`), refused ones too."""
        return dict(Counter(line.endpoint for line in self.requests()))

    def clear_requests(self) -> None:
        self._world().requests.clear()


def _match(fields: dict[str, Any]) -> tuple[Match, dict[str, Any]]:
    given = {name: value for name, value in fields.items() if name in _MATCH_FIELDS}
    rest = {name: value for name, value in fields.items() if name not in _MATCH_FIELDS}
    return Match(**given), rest
