"""What people call whom and what a difference concerns: its customer and its plans."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

import msgspec

from reconcile.connections import RetryingDatabase
from reconcile.report.model import Differences
from shared import log
from shared.database.connection import Connection
from shared.errors import DatabaseUnavailable
from shared.repository import drifts
from shared.repository.drifts import BATCH, Customer, DriftRow
from shared.repository.plans import read_plans

_log = logging.getLogger(__name__)

T = TypeVar("T")


def customers(database: RetryingDatabase, ids: list[str]) -> dict[str, Customer]:
    """Return those of these customers that the database knows, by id."""
    return _known(database, lambda connection: drifts.customers(connection, ids))


def with_plans(database: RetryingDatabase, found: Differences) -> Differences:
    """Return what yields the same, with the names of the products concerned where known."""

    def named(consequence: str | None = None, /) -> Iterator[DriftRow]:
        left = found(consequence)
        while rows := list(islice(left, BATCH)):
            ids = [row.object_id for row in rows]
            plans = _known(database, lambda connection, ids=ids: read_plans(connection, ids))  # type: ignore[misc]
            for row in rows:
                names = plans.get(row.object_id)
                yield msgspec.structs.replace(row, plans=names) if names else row

    return named


def _known(
    database: RetryingDatabase, question: Callable[[Connection], dict[str, T]]
) -> dict[str, T]:
    """Return an answer by id; nothing where the database is gone: the report is told anyway."""
    try:
        return database.read(question)
    except DatabaseUnavailable as error:
        log.event(_log, "report.unnamed", level=logging.WARNING, error=str(error))
        return {}
