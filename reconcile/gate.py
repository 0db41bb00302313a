"""How much a run may change at once. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from shared.errors import RepairRefused
from shared.objects.catalogue import BY_NAME
from shared.repository.drifts import DriftRow
from shared.repository.progress import Counts

_NONE = Counts()

FLOOR = 20
"""Repairs that a percentage never forbids: a tenth of thirty rows is an ordinary morning."""


class Limit(NamedTuple):
    """`--max-repairs`: a share of the rows (`percent`) or a plain number (`rows`)."""

    percent: float | None
    rows: int | None

    def allowed(self, rows: int) -> int:
        """Return how many of so many rows may be changed."""
        if self.rows is not None:
            return self.rows
        if not self.percent:
            return 0
        return max(FLOOR, int(rows * self.percent / 100))

    @property
    def forbids_all(self) -> bool:
        """Whether no row at all may be changed."""
        return not self.rows and not self.percent

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return f"{self.percent:g}%" if self.percent is not None else str(self.rows)


class Changes(NamedTuple):
    """The plan for one object: rows compared, rows that grant access, changes to rows."""

    object: str
    rows: int
    granting: int
    changes: int
    ending_access: int


def parse(text: str) -> Limit:
    """Read `10%` or `50`, as the setting MAX_REPAIRS has it once it was checked."""
    share, percent, _ = text.partition("%")
    return Limit(float(share), None) if percent else Limit(None, int(text))


def refusals(plan: list[Changes], limit: Limit) -> dict[str, RepairRefused]:
    """Return why objects of a plan may not be repaired, by name: what exceeds the limit.

    One that decides access holds back all with it; see `Plan.check`.
    """
    needed = max((one.changes for one in plan), default=0)
    found: dict[str, RepairRefused] = {}
    for one in plan:
        for what, concerned, rows in (
            (f"change ({one.object}s)", one.changes, one.rows),
            (f"lose access ({one.object}s that grant it)", one.ending_access, one.granting),
        ):
            allowed = limit.allowed(rows)
            if concerned > allowed and one.object not in found:
                found[one.object] = RepairRefused(
                    what=what,
                    concerned=concerned,
                    rows=rows,
                    limit=str(limit),
                    allowed=allowed,
                    needed=needed,
                    alone=not _holds_back_all(one.object),
                )
    return found


def _holds_back_all(name: str) -> bool:
    return BY_NAME[name].access is not None


class Plan:
    """Every change to a row that stands after the second look, held against the limit.

    Whatever stage it comes from, and before any is written; each object by itself.
    """

    def __init__(
        self, counts: Mapping[str, Counts], limit: Limit, later: AbstractSet[str] = frozenset()
    ) -> None:
        """`counts`: the run's, by object name. `later`: objects whose plan is not whole yet."""
        self.later = later
        self._counts = counts
        self._limit = limit
        self._changes: Counter[str] = Counter()
        self._ending_access: Counter[str] = Counter()

    def add(self, row: DriftRow) -> None:
        """Count a difference, if it is to change a row that there is."""
        self._count(row, 1)

    def replace(self, before: DriftRow, after: DriftRow) -> None:
        """Count what is now said of an object in the place of what was."""
        self._count(before, -1)
        self._count(after, 1)

    def check(self) -> Mapping[str, RepairRefused]:
        """Return why the repairs of some objects are refused, by name: those of others may go on.

        Raises RepairRefused where one that decides access exceeds the limit: then all may be wrong,
        and nothing is to be written. Names that a merchant has changed in all of his products keep
        nobody locked out.
        """
        refused = self._refusals()
        for name, refusal in refused.items():
            if _holds_back_all(name):
                raise refusal
        return refused

    def refusal(self) -> str | None:
        """Return what a run may not repair and why, None where it may repair all."""
        refused = self._refusals()
        whole = [str(refusal) for name, refusal in refused.items() if _holds_back_all(name)]
        return "; ".join(whole[:1] or map(str, refused.values())) or None

    def _refusals(self) -> dict[str, RepairRefused]:
        return refusals(
            [
                Changes(
                    object=name,
                    rows=self._counts.get(name, _NONE).database,
                    granting=self._counts.get(name, _NONE).granting,
                    changes=self._changes[name],
                    ending_access=self._ending_access[name],
                )
                for name in BY_NAME
                if name not in self.later
            ],
            self._limit,
        )

    def _count(self, row: DriftRow, times: int) -> None:
        is_free = row.kind == "missing_in_database" or (_fills(row) and not self._limit.forbids_all)
        if row.action == "pending" and not is_free:
            self._changes[row.object] += times
            self._ending_access[row.object] += times * row.ends_access


def _fills(row: DriftRow) -> bool:
    """Return whether a difference only fills what is empty and decides nothing.

    So it is with every row after a column was added, or after Stripe gave a field to every object:
    no value of the database is lost, and no limit is to keep it from the rows night after night.
    """
    return (
        row.kind == "differs"
        and row.consequence == "cosmetic"
        and all(before is None for before, _ in row.fields.values())
    )
