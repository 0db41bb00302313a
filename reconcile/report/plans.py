"""What each difference of a subscription is about, in words that people use: its plans."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice

import msgspec

from reconcile.connections import RetryingDatabase
from reconcile.report.model import Differences
from shared import log
from shared.errors import DatabaseUnavailable
from shared.repository.drifts import BATCH, DriftRow
from shared.repository.plans import read_plans

_log = logging.getLogger(__name__)


class WithPlans:
    """Yields differences with the names of the products that they concern, where known."""

    def __init__(self, database: RetryingDatabase, found: Differences) -> None:
        self._database = database
        self._found = found

    def __call__(self, consequence: str | None = None, /) -> Iterator[DriftRow]:
        """Begin anew."""
        found = self._found(consequence)
        while rows := list(islice(found, BATCH)):
            plans = self._plans([row.object_id for row in rows])
            for row in rows:
                names = plans.get(row.object_id)
                yield msgspec.structs.replace(row, plans=names) if names else row

    def _plans(self, ids: list[str]) -> dict[str, list[str]]:
        """Return plans by id; none where the database is gone: the report is told anyway."""
        try:
            return self._database.read(lambda connection: read_plans(connection, ids))
        except DatabaseUnavailable as error:
            log.event(_log, "report.unnamed", level=logging.WARNING, error=str(error))
            return {}
