"""The one rule of truth: which of two snapshots of a Stripe object is newer.

Stripe delivers events at least once and in any order, their times have a resolution of one
second, and the nightly run reads while webhooks write. So every snapshot carries the interval of
Stripe's time in which it was read, and a row is replaced by an event only where the event's
interval lies strictly right of the row's. Where they overlap nobody can tell, and Stripe is asked.

Pure functions on whole epoch seconds; what must be true of the caller is said in each docstring.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

LIST_LAG = 600
"""Seconds by which a list may be older than the objects in it; Stripe promises nothing here."""


class Interval(NamedTuple):
    """Seconds of Stripe's time, `[lower, upper)`: the snapshot was true at some moment in it."""

    lower: int
    upper: int


class Verdict(Enum):
    """What is to be done with an event's snapshot."""

    REPLACE = "replace"
    CONFIRM = "confirm"
    STALE = "stale"
    ASK = "ask"


def of_event(created: int, *, is_creation: bool) -> Interval:
    """Return the interval of an event's snapshot; `created` is the event's own field.

    The event of an object's creation comes first by nature, so it is dated one second earlier:
    an event of the same second then lies strictly right of it.
    """
    return Interval(created - 1, created) if is_creation else Interval(created, created + 1)


def of_page(asked: Interval) -> Interval:
    """Return the interval of the objects on a list page that was asked for and answered in `asked`.

    The page then lies strictly right of a row exactly when that row is old enough for a lagging
    list to speak for it; of anything younger the object itself has to be asked for.
    """
    return Interval(asked.lower - LIST_LAG, asked.upper)


def speaks_for(page: Interval, held: Interval) -> bool:
    """Return whether a list page is certainly newer than the row, so that it may replace it."""
    return held.upper <= page.lower


def is_history(incoming: Interval, compared: int | None) -> bool:
    """Return whether an event ended before the latest comparison began, at `compared`.

    That comparison leaves no trace on a row that it finds equal. So the event's snapshot may be
    older than what is held, whatever the row's interval says.
    """
    return compared is not None and incoming.upper <= compared


def tells_nothing_new(held: Interval | None, incoming: Interval, compared: int | None) -> bool:
    """Return whether an event that never arrived can be left out of account, without a question.

    So it is where the row was read later, or was compared with a list that was asked for at
    `compared` or later (None: it was not) and that, with its lag, tells of a time after the event.
    """
    if held is None:
        return False
    if incoming.upper <= held.lower:
        return True
    return compared is not None and incoming.upper <= compared - LIST_LAG


def decide(
    held: Interval | None,
    incoming: Interval,
    *,
    equal: bool,
    held_is_terminal: bool,
    incoming_is_terminal: bool,
    compared: int | None = None,
) -> Verdict:
    """Decide what becomes of an event's snapshot against the row that is held.

    `held` is None where there is no row. `equal`: both have the same content. Terminal: a state
    that Stripe never leaves (`canceled`, `incomplete_expired`, a deleted customer). `compared`:
    when the latest comparison of all such objects began, None where there was none.
    """
    if held is None:
        return Verdict.ASK if is_history(incoming, compared) else Verdict.REPLACE
    if incoming.upper <= held.lower:
        return Verdict.STALE
    if equal:
        return Verdict.CONFIRM
    is_later = held.upper <= incoming.lower
    if held_is_terminal and not incoming_is_terminal:
        # Nothing comes after a terminal state: either two of Stripe's clocks disagree by a second,
        # or somebody else has written the row.
        return Verdict.ASK if is_later else Verdict.STALE
    is_newer = is_later or (incoming_is_terminal and not held_is_terminal)
    return Verdict.REPLACE if is_newer and not is_history(incoming, compared) else Verdict.ASK


def after_event(held: Interval | None, incoming: Interval) -> Interval:
    """Return the row's interval after REPLACE or CONFIRM by an event.

    Strictly right: the event's own. Overlapping: both together, since the content that stands
    may have been read at any moment of either.
    """
    if held is None or held.upper <= incoming.lower:
        return incoming
    return Interval(min(held.lower, incoming.lower), max(held.upper, incoming.upper))


def after_answer(held: Interval | None, answer: Interval) -> Interval:
    """Return the row's interval after an answer took the place of the revision read before asking.

    The revision proves that the answer is the later of the two, so its own beginning counts; the
    end never moves back, whatever Stripe's clocks say.
    """
    if held is None or held.upper <= answer.upper:
        return answer
    return Interval(answer.lower, held.upper)
