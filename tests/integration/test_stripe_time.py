"""No single clock reading moves what the product takes for Stripe's time, nor a row's interval."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from sandbox.stripe_double import StripeDouble
from shared.errors import ObjectMissing, StripeUnreadable
from shared.objects.customer import CUSTOMER
from shared.stripe.api import StripeApi
from shared.stripe.clock import StripeClock
from shared.stripe.http import Patience, StripeHttp
from tests.builders import KEY, QUICK

IN_2099 = 4_070_908_800
ONCE = Patience(attempts=1, read_seconds=2.0, first_pause=0.01)


def answer_of_2099(double: StripeDouble, number: int = 1) -> None:
    """Let the answer to so manieth request from now on be dated 2099, as by a proxy."""
    double.control.fault("date", date=IN_2099, skip=number - 1)


@pytest.fixture
def http(stripe_double: StripeDouble) -> Iterator[StripeHttp]:
    host = stripe_double.control.now()
    opened = StripeHttp(stripe_double.url, KEY, patience=QUICK, clock=StripeClock(lambda: host))
    yield opened
    opened.close()


@pytest.mark.parametrize("wrong", [1, 2, 3, 5])
def test_answer_of_2099_is_asked_for_again_and_reaches_nothing(
    stripe_double: StripeDouble, http: StripeHttp, wrong: int
) -> None:
    answer_of_2099(stripe_double, wrong)
    stripe = StripeApi(http, livemode=False)
    name = stripe_double.control.create_customer()
    now = int(stripe_double.control.now())
    assert stripe.account_id(5.0) is not None
    for _ in range(4):
        assert stripe.now([CUSTOMER]) in {now - 1, now}
        assert stripe.retrieve(CUSTOMER, name).as_of.upper < now + 60
        assert stripe.page(CUSTOMER, {}).as_of.upper < now + 60
    with pytest.raises(ObjectMissing) as missing:
        stripe.retrieve(CUSTOMER, "cus_none")
    assert missing.value.as_of[1] < now + 60


def test_missing_object_of_2099_is_not_believed(
    stripe_double: StripeDouble, http: StripeHttp
) -> None:
    answer_of_2099(stripe_double)
    stripe = StripeApi(http, livemode=False)
    with pytest.raises(ObjectMissing) as missing:
        stripe.retrieve(CUSTOMER, "cus_none")
    assert missing.value.as_of[1] < stripe_double.control.now() + 60
    assert http.requests == 2


def test_fault_says_what_it_is(stripe_double: StripeDouble) -> None:
    host = stripe_double.control.now()
    clock = StripeClock(lambda: host)
    http = StripeHttp(stripe_double.url, KEY, patience=ONCE, clock=clock)
    answer_of_2099(stripe_double)
    refused = pytest.raises(StripeUnreadable, match="/v1/customers: an answer dated 2098-12-31")
    with closing(http), refused:
        StripeApi(http, livemode=False).page(CUSTOMER, {})


def test_clock_years_behind_this_machine_costs_no_request(stripe_double: StripeDouble) -> None:
    now = int(stripe_double.control.now())
    clock = StripeClock(lambda: now + 5 * 365 * 86_400)
    http = StripeHttp(stripe_double.url, KEY, patience=ONCE, clock=clock)
    stripe = StripeApi(http, livemode=False)
    with closing(http):
        for _ in range(3):
            stripe.page(CUSTOMER, {})
        assert stripe.now([CUSTOMER]) in {now - 1, now}
        assert http.requests == 3
