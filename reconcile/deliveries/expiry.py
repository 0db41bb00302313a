"""Payloads of events that have done their time."""

from __future__ import annotations

from collections.abc import Generator

from reconcile.connections import RetryingDatabase
from shared.repository import ledger

_BATCH = 1000


def expire(database: RetryingDatabase, days: int) -> Generator[int, None, None]:
    """Drop payloads older than so many days, and yield how many after each small transaction."""
    count = _BATCH
    while count == _BATCH:
        count = database.read(lambda c: ledger.drop_payloads(c, days=days, most=_BATCH))
        yield count
