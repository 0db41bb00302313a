"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from reconcile.gate import Limit


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a run is asked to do. `deadline` on time.monotonic(), None for none; seconds else.

    `every_field`: recognise nothing by its fingerprint. `flags`: the arguments as they were typed.
    """

    writes: bool
    subscription: str | None
    limit: Limit
    grace: int
    deadline: float | None
    lease_seconds: int
    payload_days: int
    access: frozenset[str]
    every_field: bool = False
    flags: tuple[str, ...] = ()
