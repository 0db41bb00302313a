"""Payloads of events that have done their time."""

from __future__ import annotations

from collections.abc import Callable

from shared.database import Database
from shared.repository import ledger

_BATCH = 1000


def expire(database: Database, days: int, alive: Callable[[], None]) -> int:
    """Drop payloads older than so many days, in small transactions; returns how many.

    `alive` is called before each and may stop it.
    """
    dropped = 0
    while True:
        alive()
        with database.connection() as connection:
            count = ledger.drop_payloads(connection, days=days, most=_BATCH)
        dropped += count
        if count < _BATCH:
            return dropped
