"""How a run ended, in a sentence that is true of what it was asked to do. Pure.

The sentence says what stopped it, what it had written by then, and what comes next.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple

from reconcile.report.model import RunOutcome, Totals
from shared.command import FAILED, OK
from shared.wording import counted

DRIFT = 3
"""The exit status of a run that found some, where that was asked for."""


class Mode(enum.Enum):
    """What a run is: a report keeps nothing, and a run over one subscription no cursor."""

    REPORT = "report"
    ALL = "all"
    ONE = "one"


class Why(enum.Enum):
    """Why a run ended."""

    WHOLE = "it went through"
    FLAWED = "it went through, but could not read or write everything"
    DEADLINE = "the deadline came"
    SIGNAL = "a signal stopped it"
    REFUSED = "the repair exceeds the limit"
    UNSOUND = "Stripe's list is not to be trusted"
    LEASE_LOST = "another run took its lease"
    UNKNOWN = "neither side knows the one that was asked for"
    FAULT = "Stripe or the database failed"


class Ended(NamedTuple):
    """Why a run ended, and in its own words what stopped it."""

    why: Why
    cause: str | None = None

    @property
    def outcome(self) -> RunOutcome:
        """What it comes to."""
        return _OUTCOMES[self.why]


_OUTCOMES = {
    Why.WHOLE: RunOutcome.SUCCESS,
    Why.FLAWED: RunOutcome.FAILED,
    Why.DEADLINE: RunOutcome.INCOMPLETE,
    Why.SIGNAL: RunOutcome.INCOMPLETE,
    Why.REFUSED: RunOutcome.REFUSED,
    Why.UNSOUND: RunOutcome.REFUSED,
    Why.LEASE_LOST: RunOutcome.FAILED,
    Why.UNKNOWN: RunOutcome.FAILED,
    Why.FAULT: RunOutcome.FAILED,
}

_GOES_ON = "the next run goes on from there"
_BEGINS_ANEW = "the next run begins anew"
_KEEPS_NOTHING = "a report keeps nothing: the next one begins anew"
_BY_HAND = "run it again"
_NOTHING: str | None = None

_NEXT: Mapping[tuple[Mode, Why], str | None] = {
    (Mode.REPORT, Why.DEADLINE): (
        "a report keeps nothing: give it a longer --deadline, or none, to see it whole"
    ),
    (Mode.REPORT, Why.SIGNAL): _KEEPS_NOTHING,
    (Mode.REPORT, Why.UNSOUND): _KEEPS_NOTHING,
    (Mode.REPORT, Why.FAULT): _KEEPS_NOTHING,
    (Mode.REPORT, Why.UNKNOWN): _NOTHING,
    (Mode.ALL, Why.DEADLINE): _GOES_ON,
    (Mode.ALL, Why.SIGNAL): _GOES_ON,
    (Mode.ALL, Why.REFUSED): _BEGINS_ANEW,
    (Mode.ALL, Why.UNSOUND): _BEGINS_ANEW,
    (Mode.ALL, Why.LEASE_LOST): _NOTHING,
    (Mode.ALL, Why.FAULT): _GOES_ON,
    (Mode.ONE, Why.DEADLINE): _BY_HAND,
    (Mode.ONE, Why.SIGNAL): _BY_HAND,
    (Mode.ONE, Why.REFUSED): _NOTHING,
    (Mode.ONE, Why.UNSOUND): _BY_HAND,
    (Mode.ONE, Why.LEASE_LOST): _NOTHING,
    (Mode.ONE, Why.UNKNOWN): _NOTHING,
    (Mode.ONE, Why.FAULT): _BY_HAND,
}
"""What comes next, for whatever can end each mode. A report has no gate, and no lease to lose."""


def reason(
    mode: Mode, ended: Ended, totals: Totals | None, *, is_gone_on_from: bool | None
) -> str | None:
    """Return why a run is no success, what it had written by then and what comes next.

    One that went through has only to tell what it could not do; a success, None, has nothing.
    `totals` and `is_gone_on_from` (whether the next run will) are None where the database did not
    say.
    """
    if ended.why in {Why.WHOLE, Why.FLAWED}:
        return ended.cause
    following = _NEXT.get((mode, ended.why))
    if following is _GOES_ON and not is_gone_on_from:
        following = _NOTHING if is_gone_on_from is None else _BEGINS_ANEW
    parts = (ended.cause, _written(mode, ended, totals), following)
    return "; ".join(part for part in parts if part)


def _written(mode: Mode, ended: Ended, totals: Totals | None) -> str:
    if mode is Mode.REPORT:
        return "nothing was written"
    if totals is None or ended.why is Why.LEASE_LOST:
        # What is counted by now may be the other run's work.
        return "what was written by then stands"
    changed = "no existing row was changed"
    if totals.changed:
        was = "was" if totals.changed == 1 else "were"
        changed = f"{counted(totals.changed, 'existing row')} {was} changed"
    inserted = "none was inserted"
    if totals.inserted:
        was = "was" if totals.inserted == 1 else "were"
        inserted = f"{counted(totals.inserted, 'missing row')} {was} inserted"
    return f"{changed}; {inserted}"


def exit_status(outcome: RunOutcome, drift: int, missed: int | None, *, is_strict: bool) -> int:
    """Return the exit status; `is_strict`: 3 where drift was found, repaired or not.

    So it is where the webhook missed events: that its objects differ from Stripe's no more, or not
    in what is mirrored, does not make it a webhook that works.
    """
    if outcome is not RunOutcome.SUCCESS:
        return FAILED
    return DRIFT if is_strict and (drift or missed) else OK
