"""What a report says, before it is rendered."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import msgspec

from reconcile.deliveries.events import Events
from shared.objects.catalogue import BY_NAME
from shared.objects.difference import named
from shared.repository.drifts import CONSEQUENCES, DriftRow, Tally
from shared.repository.ledger import Failed
from shared.repository.progress import Counts

MISSING = "missing_in_stripe_since"
"""The field of a row's mark, which is none of Stripe's."""


class RunOutcome(enum.StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    INCOMPLETE = "incomplete"
    REFUSED = "refused"
    FAILED = "failed"


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The run itself; times in epoch seconds, `reason` where the outcome is no success.

    `id`: under it drifts and changes are found, those of the unfinished run too from which this one
    went on. `attempt`: this run's own. `compared_since`: where it went on, when that one began.
    `would_be_refused`: of a report, why a run would repair none of it. `is_first_fill`: the
    database was empty when it began. `first_filled`: the objects of which it held none, without
    those that decide access. `not_compared`: objects that the key may not read. `subscription`: the
    only one that was looked at.
    """

    id: str
    mode: Literal["report", "repair"]
    started_at: int
    finished_at: int
    account: str | None
    livemode: bool
    outcome: RunOutcome
    reason: str | None
    compared_since: int | None = None
    attempt: str | None = None
    exit_status: int = 0
    would_be_refused: str | None = None
    is_first_fill: bool = False
    first_filled: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    subscription: str | None = None


class Differences(Protocol):
    """Yields differences, all or those of one consequence."""

    def __call__(self, consequence: str | None = None, /) -> Iterator[DriftRow]:
        """Begin anew."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """Under what a report came about: `flags` as they were typed, settings that decide in it."""

    version: str = "unknown"
    flags: tuple[str, ...] = ()
    grace_seconds: int = 0
    access_statuses: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run has to say.

    `counts` by object name. `drift` yields the differences anew at each call, all or those of one
    consequence, from where they are spooled until `close`; `tallies` counts them. `failed` counts
    the events that could not be applied so far, `failures` are the oldest of them.
    """

    run: RunFacts
    counts: dict[str, Counts]
    stripe_requests: int
    drift: Differences
    tallies: Callable[[], list[Tally]]
    events: Events
    failed: int
    failures: list[Failed]
    conditions: Conditions = Conditions()
    close: Callable[[], None] = lambda: None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """A report's counts over all objects, and by object.

    `listed`: by consequence, what the report lists, in flight or not. `monthly_amount`: by
    consequence and currency, the sum of what is at stake; `partial`: of how many differences that
    is not the whole truth.
    `drift` are the differences that are none of the webhook's work in flight; those among them
    that this run has put right are `repaired`: rows that were `inserted` or `changed`. `missing`
    are those of rows that the database lacked. `is_first_fill`: all that is told is what an empty
    database lacks. Nothing has drifted then, and it means nothing to any customer.
    `first_fill`: the same of single objects, how many rows of each were missing. They are in
    `drift` and `by_object`, and in nothing that is said by consequence.
    `drifted`: the drift that is told as such. Without the rows of a first fill; what an empty
    database lacks is told as long as nothing is written.
    """

    stripe: int
    database: int
    in_sync: int
    in_flight: int
    drift: int
    repaired: int
    inserted: int
    changed: int
    missing: int
    stripe_requests: int
    by_object: dict[str, dict[str, int]]
    by_consequence: dict[str, int]
    listed: dict[str, int]
    monthly_amount: dict[str, dict[str, int]]
    partial: dict[str, int]
    is_first_fill: bool = False
    first_fill: dict[str, int] = {}
    drifted: int

    @property
    def kept(self) -> dict[str, dict[str, Any]]:
        """The totals by consequence, as they are kept with the run."""
        return {
            name: {"count": count, "monthly_amount": self.monthly_amount.get(name, {})}
            for name, count in self.by_consequence.items()
        }


_NAMES = ("stripe", "database", "in_sync", "in_flight", "drift", "repaired")


def totals(report: Report) -> Totals:
    """Add up what the report counts."""
    by_object = {
        name: Counter(stripe=counts.stripe, database=counts.database, in_sync=counts.in_sync)
        for name, counts in sorted(report.counts.items())
    }
    by_consequence: Counter[str] = Counter()
    listed = dict.fromkeys(CONSEQUENCES, 0)
    amounts: dict[str, Counter[str]] = {}
    not_computed: Counter[str] = Counter()
    tallies = report.tallies()
    first_fill = _first_fill(report, tallies)
    for name, kind, action, consequence, count, monthly_amount, partial in tallies:
        mine = by_object.setdefault(name, Counter())
        listed[consequence] += count * (name not in first_fill)
        if action == "in_flight":
            mine["in_flight"] += count
            continue
        mine["drift"] += count
        is_missing = kind == "missing_in_database"
        mine["missing"] += count * is_missing
        if action == "repaired":
            mine["repaired"] += count
            mine["inserted" if is_missing else "changed"] += count
        if name in first_fill:
            continue
        by_consequence[consequence] += count
        not_computed[consequence] += partial
        amounts.setdefault(consequence, Counter()).update(monthly_amount)
    whole: Counter[str] = Counter()
    for mine in by_object.values():
        whole.update(mine)
    is_first_fill = report.run.is_first_fill and 0 < whole["missing"] == whole["drift"]
    if is_first_fill:
        for meant in (by_consequence, amounts, not_computed, first_fill):
            meant.clear()
    is_filled = is_first_fill and report.run.mode == "repair"
    return Totals(
        stripe=whole["stripe"],
        database=whole["database"],
        in_sync=whole["in_sync"],
        in_flight=whole["in_flight"],
        drift=whole["drift"],
        repaired=whole["repaired"],
        inserted=whole["inserted"],
        changed=whole["changed"],
        missing=whole["missing"],
        stripe_requests=report.stripe_requests,
        by_object={name: {key: mine[key] for key in _NAMES} for name, mine in by_object.items()},
        by_consequence=dict(by_consequence),
        listed=listed,
        monthly_amount={name: dict(sorted(sums.items())) for name, sums in amounts.items()},
        partial=dict(not_computed),
        is_first_fill=is_first_fill,
        first_fill=first_fill,
        drifted=0 if is_filled else whole["drift"] - sum(first_fill.values()),
    )


def _first_fill(report: Report, tallies: list[Tally]) -> dict[str, int]:
    """Return the objects of which nothing but missing rows has drifted, and how many of each."""
    missing: Counter[str] = Counter()
    other: set[str] = set()
    for tally in tallies:
        if tally.action == "in_flight":
            continue
        if tally.kind == "missing_in_database":
            missing[tally.object] += tally.differences
        else:
            other.add(tally.object)
    return {
        name: missing[name]
        for name in report.run.first_filled
        if missing[name] and name not in other
    }


def in_order(row: DriftRow) -> list[tuple[str, tuple[Any, Any]]]:
    """Return a difference's fields as they are declared; then items by id, as they are declared."""
    if len(row.fields) <= 1:  # as of each object that an empty database lacks
        return list(row.fields.items())
    mirrored = BY_NAME.get(row.object)
    own = mirrored.decoded.index if mirrored is not None else {}
    items = mirrored.items.decoded.index if mirrored is not None and mirrored.items else {}

    def place(entry: tuple[str, tuple[Any, Any]]) -> tuple[str, int, str]:
        field = named(*entry)
        names = own if field.item is None else items
        column = field.column
        number = names.get(column or "", -1 if column == MISSING else len(names))
        return field.item or "", number, entry[0]

    return sorted(row.fields.items(), key=place)
