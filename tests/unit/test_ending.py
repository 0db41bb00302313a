"""How a run ended: each sentence is true of what the run was asked and of why it ended."""

import itertools
import re

import pytest

from reconcile.report.ending import Ended, Mode, Why, exit_status, reason
from reconcile.report.model import RunOutcome, Totals
from shared.errors import ListingBroken, RepairRefused, SettingsError
from shared.wording import counted, share

STOPPED = (Why.DEADLINE, Why.SIGNAL, Why.FAULT)
POSSIBLE = [
    (mode, why)
    for mode, why in itertools.product(Mode, Why)
    if why is not Why.WHOLE and not (mode is Mode.REPORT and why in {Why.REFUSED, Why.LEASE_LOST})
]


def sums(*, inserted: int = 0, changed: int = 0) -> Totals:
    return Totals(
        stripe=0,
        database=0,
        in_sync=0,
        in_flight=0,
        drift=inserted + changed,
        repaired=inserted + changed,
        inserted=inserted,
        changed=changed,
        missing=inserted,
        stripe_requests=0,
        by_object={},
        by_consequence={},
        listed={},
        monthly_amount={},
        partial={},
        drifted=inserted + changed,
    )


def said(
    mode: Mode,
    why: Why,
    *,
    inserted: int = 0,
    changed: int = 0,
    goes_on: bool | None = True,
    known: bool = True,
) -> str:
    totals = sums(inserted=inserted, changed=changed) if known else None
    return str(reason(mode, Ended(why, "because"), totals, is_gone_on_from=goes_on))


@pytest.mark.parametrize("mode, why", POSSIBLE)
def test_reason_never_says_more_than_is_true(mode: Mode, why: Why) -> None:
    """Every mode, every ending, every state of the database."""
    for inserted, changed, goes_on, known in itertools.product(
        (0, 1, 25), (0, 1, 12), (True, False, None), (True, False)
    ):
        text = said(mode, why, inserted=inserted, changed=changed, goes_on=goes_on, known=known)
        assert text.startswith("because")
        if why is Why.FLAWED:
            assert text == "because"
            continue
        keeps_cursor = mode is Mode.ALL and why in STOPPED
        assert ("goes on from there" in text) == (keeps_cursor and goes_on is True)
        assert ("nothing was written" in text) == (mode is Mode.REPORT)
        has_next = mode is Mode.REPORT and why is not Why.UNKNOWN
        assert ("keeps nothing" in text) == has_next
        assert not (why is Why.UNKNOWN and re.search("again|anew|goes on", text))
        assert text.count("writes no more") == 0, "the cause says it"
        is_counted = mode is not Mode.REPORT and why is not Why.LEASE_LOST and known
        assert ("no existing row was changed" in text) == (is_counted and not changed)
        assert (f"{counted(changed, 'existing row')} w" in text) == bool(is_counted and changed)
        assert (f"{counted(inserted, 'missing row')} w" in text) == bool(is_counted and inserted)
        assert not re.search(r"\b1 (?:\w+ )?\w+s (?:was|were)\b", text)


@pytest.mark.parametrize("goes_on, words", [(False, "begins anew"), (None, "stands")])
def test_run_that_kept_no_window_or_too_much_is_not_gone_on_from(
    goes_on: bool | None, words: str
) -> None:
    for why in STOPPED:
        text = said(Mode.ALL, why, goes_on=goes_on, known=goes_on is not None)
        assert words in text
        assert "goes on" not in text


def test_success_needs_no_reason() -> None:
    for mode in Mode:
        assert reason(mode, Ended(Why.WHOLE), sums(), is_gone_on_from=None) is None


def test_report_that_its_deadline_cut_says_how_to_see_it_whole() -> None:
    assert "longer --deadline, or none" in said(Mode.REPORT, Why.DEADLINE)


@pytest.mark.parametrize("outcome", RunOutcome)
@pytest.mark.parametrize("drift, missed", [(0, 0), (1, 0), (0, 1), (0, None), (7, 9)])
@pytest.mark.parametrize("is_strict", [True, False])
def test_exit_status_is_3_only_for_a_success_that_found_something_and_was_asked(
    outcome: RunOutcome, drift: int, missed: int | None, is_strict: bool
) -> None:
    status = exit_status(outcome, drift, missed, is_strict=is_strict)
    if outcome is not RunOutcome.SUCCESS:
        assert status == 1
    else:
        assert status == (3 if is_strict and (drift or missed) else 0)


@pytest.mark.parametrize("number", [0, 1, 2, 1_349])
def test_counts_are_in_the_singular_only_for_one(number: int) -> None:
    plural = "" if number == 1 else "s"
    assert counted(number, "row") == f"{number:,} row{plural}"
    assert share(number, number, "row") == f"{number:,} of {number:,} row{plural}"
    heading = str(SettingsError(["x"] * number)).splitlines()[0]
    assert heading == f"{number} setting{plural} {'is' if number == 1 else 'are'} wrong:".replace(
        "1349", "1,349"
    )
    assert f" {number:,} object{plural} or more" in str(ListingBroken(number))
    refused = RepairRefused(
        what="change",
        concerned=number,
        rows=number,
        limit="0",
        allowed=0,
        needed=number,
        alone=False,
    )
    assert str(refused).startswith(f"{number:,} of {number:,} row{plural} (100.00 %)")
