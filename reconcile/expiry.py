"""Payloads of events that have done their time."""

from __future__ import annotations

from collections.abc import Callable

from reconcile.patient import PatientDatabase
from shared.repository import ledger

_BATCH = 1000


def expire(database: PatientDatabase, days: int, alive: Callable[[], None]) -> int:
    """Drop payloads older than so many days, in small transactions; returns how many.

    `alive` is called before each and may stop it.
    """
    dropped = 0
    while True:
        alive()
        count = database.read(lambda c: ledger.drop_payloads(c, days=days, most=_BATCH))
        dropped += count
        if count < _BATCH:
            return dropped
