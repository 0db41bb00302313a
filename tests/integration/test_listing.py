"""A walk over a list finds everything once, however the server keeps and pages it."""

from collections.abc import Iterator

import pytest

from reconcile.windows.frontier import Frontier
from reconcile.windows.listing import walk
from reconcile.windows.window import Window
from sandbox.stripe_double import StripeDouble
from shared.objects.catalogue import EVENT_TYPES
from shared.objects.customer import CUSTOMER
from shared.objects.declaration import MirroredObject
from shared.stripe.api import StripeApi
from shared.stripe.http import StripeHttp
from tests.builders import KEY, QUICK
from tests.objects import LIVES, each_object

CURSORS = ["empty", "skips_second", "works"]


@pytest.fixture
def stripe(stripe_double: StripeDouble) -> Iterator[StripeApi]:
    http = StripeHttp(stripe_double.url, KEY, patience=QUICK)
    yield StripeApi(http, livemode=False)
    http.close()


def walked(stripe: StripeApi, gte: int, lt: int) -> list[str]:
    """Ids in the order in which the steps of a walk tell them."""
    span = Frontier([Window(gte, lt)]).take()
    assert span is not None
    found: list[str] = []
    ceiling = lt
    for step in walk(stripe, CUSTOMER, span, None):
        assert step.ceiling == ceiling, "no second is left out between two steps"
        found += [one.id for part in step.parts for one in part.objects]
        ceiling = step.floor
    assert ceiling == gte
    return found


def made(double: StripeDouble, seconds: int, each: int) -> list[str]:
    names = []
    for _ in range(seconds):
        double.control.advance(1)
        names += [double.control.create_customer() for _ in range(each)]
    return names


@pytest.mark.parametrize("fractions", [False, True])
@pytest.mark.parametrize("cursor", CURSORS)
def test_walk_finds_everything_once_though_the_server_keeps_fractions_of_a_second(
    stripe_double: StripeDouble, stripe: StripeApi, cursor: str, fractions: bool
) -> None:
    """`lte` a second leaves out there what was created after that second had begun."""
    control = stripe_double.control
    control.switch(cursor_in_range=cursor, fractions=fractions)
    begin = int(control.now())
    names = made(stripe_double, 150, 1) + made(stripe_double, 30, 7) + made(stripe_double, 1, 250)
    names += made(stripe_double, 120, 1)
    control.clear_requests()
    found = walked(stripe, begin, int(control.now()) + 1)
    assert len(found) == len(set(found))
    assert set(found) == set(names)
    assert len(control.requests()) <= 9, "730 objects, and hardly one of them twice"


@pytest.mark.parametrize("fractions", [False, True])
@pytest.mark.parametrize("cursor", CURSORS)
def test_events_are_all_found_once_though_the_server_keeps_fractions_of_a_second(
    stripe_double: StripeDouble, stripe: StripeApi, cursor: str, fractions: bool
) -> None:
    control = stripe_double.control
    control.switch(cursor_in_range=cursor, fractions=fractions)
    begin = int(control.now())
    made(stripe_double, 150, 1)
    made(stripe_double, 30, 7)
    made(stripe_double, 1, 250)
    made(stripe_double, 120, 1)
    control.clear_requests()
    pages = stripe.events(sorted(EVENT_TYPES), begin, int(control.now()))
    found = [event.id for page in pages for event in page]
    assert len(found) == len(set(found))
    assert set(found) == {event["id"] for event in control.events()}
    assert len(control.requests()) <= 9


@pytest.mark.parametrize("deleted_cursor", ["goes_on", "missing"])
def test_walk_goes_on_where_the_object_of_its_cursor_is_deleted(
    stripe_double: StripeDouble, stripe: StripeApi, deleted_cursor: str
) -> None:
    control = stripe_double.control
    control.switch(deleted_cursor=deleted_cursor)
    begin = int(control.now())
    names = made(stripe_double, 60, 5)
    span = Frontier([Window(begin, int(control.now()) + 1)]).take()
    assert span is not None
    found: list[str] = []
    gone = ""
    for step in walk(stripe, CUSTOMER, span, None):
        found += [one.id for part in step.parts for one in part.objects]
        if not gone:
            gone = names[200]
            control.delete_customer(gone)
    # It was the last of the first page, and is told unless its second is listed once more.
    left_out = {gone} if deleted_cursor == "missing" else set()
    assert sorted(found) == sorted(set(names) - left_out)


def test_ranges_leave_out_what_came_within_a_second_where_fractions_are_kept(
    stripe_double: StripeDouble, stripe: StripeApi
) -> None:
    control = stripe_double.control
    control.switch(fractions=True)
    control.create_customer()
    now = int(control.now())
    asked = {"created[lte]": 0, "created": 0, "created[gt]": 1, "created[gte]": 1}
    found = {name: len(stripe.page(CUSTOMER, {name: now}).page.objects) for name in asked}
    assert found == asked
    assert len(stripe.page(CUSTOMER, {"created[lt]": now + 1}).page.objects) == 1


@each_object(lambda mirrored: len(mirrored.lists) > 1)
def test_lists_that_are_complete_together_are_walked_on_from_span_to_span(
    stripe_double: StripeDouble, stripe: StripeApi, mirrored: MirroredObject
) -> None:
    """What one has shown ahead of the others is asked for once, and what is done is let go."""
    control = stripe_double.control
    life, begin = LIVES[mirrored.name], int(control.now())
    names = []
    for place in range(2_000):
        control.advance(1)
        names.append(life.create(control, **({} if place % 20 else life.shelved)))
    end = int(control.now()) + 1
    frontier = Frontier([Window(begin, end)], range(begin, end, 99))
    control.clear_requests()
    found: list[str] = []
    ceiling = end
    while (span := frontier.take()) is not None:
        for step in walk(stripe, mirrored, span, None):
            assert (step.ceiling, step.floor < step.ceiling) == (ceiling, True)
            found += [one.id for part in step.parts for one in part.objects]
            ceiling = step.floor
            assert len(span.stretch.ahead.parts) <= len(mirrored.lists)
        frontier.done(span, Window(span.gte, span.lt))
    assert (len(found), set(found)) == (len(names), set(names))
    assert len(control.requests()) <= 20 + 2
