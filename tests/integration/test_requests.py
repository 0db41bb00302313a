"""What a run asks of Stripe: little more than the pages there are, for any account."""

from collections.abc import Callable
from math import ceil

import pytest

from reconcile.report.model import Report, RunOutcome
from sandbox.stripe_double import Control, StripeDouble
from shared.objects import MIRRORED
from tests.builders import reconcile

YEAR = 365 * 86_400


def most(report: Report) -> int:
    """How many requests a run may send: a tenth more than there are pages, and a dozen."""
    pages = sum(ceil(report.counts[each.name]["stripe"] / 100) for each in MIRRORED)
    return int(pages * 1.1) + 12


def young(control: Control) -> None:
    """498 subscriptions of as many customers, made within the last hours."""
    now = int(control.now())
    control.seed(498, customers=498, start=now - 9_000, end=now - 1_800)


def one_hour(control: Control) -> None:
    now = int(control.now())
    control.seed(3_000, start=now - 2 * YEAR, end=now - 2 * YEAR + 3_600)


def one_second(control: Control) -> None:
    second = int(control.now()) - YEAR
    control.seed(3_000, start=second, end=second)


def years_apart(control: Control) -> None:
    now = int(control.now())
    control.seed(1_500, start=now - 5 * YEAR, end=now - 5 * YEAR + 86_400)
    control.seed(1_500, start=now - 7_200, end=now - 1_800)


def burst_and_tail(control: Control) -> None:
    now = int(control.now())
    control.seed(300, start=now - 9 * YEAR, end=now - 86_400)
    control.seed(2_700, start=now - 5_400, end=now - 1_800)


def few(control: Control) -> None:
    control.seed(3)


@pytest.mark.parametrize("made", [few, young, one_hour, one_second, years_apart, burst_and_tail])
def test_run_asks_for_a_tenth_more_than_the_pages_and_a_dozen(
    database_url: str, stripe_double: StripeDouble, made: Callable[[Control], None]
) -> None:
    control = stripe_double.control
    made(control)
    for nights, every_field in enumerate((False, False, True, False)):
        control.clear_requests()
        report = reconcile(database_url, stripe_double, every_field=every_field)
        assert report.run.outcome is RunOutcome.SUCCESS
        assert report.stripe_requests == len(control.requests())
        assert report.stripe_requests <= most(report), (nights, control.request_counts())
        control.advance(86_400)
