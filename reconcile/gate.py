"""How much a run may change at once. Pure."""

from __future__ import annotations

from typing import NamedTuple

from shared.errors import RepairRefused

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


class Tally(NamedTuple):
    """The whole plan for one object: rows compared, rows that grant access, changes to rows."""

    object: str
    rows: int
    granting: int
    changes: int
    ending_access: int


def parse(text: str) -> Limit:
    """Read `10%` or `50`. Raises ValueError with the reason."""
    number = text.removesuffix("%").strip()
    try:
        if text.endswith("%"):
            percent = float(number)
            if not 0 <= percent <= 100:  # noqa: PLR2004 (per cent)
                raise ValueError
            return Limit(percent, None)
        rows = int(number)
        if rows < 0:
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is neither a percentage (10%) nor a number of rows") from None
    return Limit(None, rows)


def check(tallies: list[Tally], limit: Limit) -> None:
    """Pass the whole plan, or raise RepairRefused: then none of it is written."""
    needed = max((tally.changes for tally in tallies), default=0)
    for tally in tallies:
        for what, concerned, rows in (
            (f"change ({tally.object}s)", tally.changes, tally.rows),
            (f"lose access ({tally.object}s that grant it)", tally.ending_access, tally.granting),
        ):
            allowed = limit.allowed(rows)
            if concerned > allowed:
                raise RepairRefused(
                    what=what,
                    concerned=concerned,
                    rows=rows,
                    limit=str(limit),
                    allowed=allowed,
                    needed=needed,
                )
