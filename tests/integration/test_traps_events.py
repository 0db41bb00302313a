"""Known ways to lose the truth while events arrive, each tried on the real thing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble
from shared.mirror import Mirror, Outcome
from tests.builders import apply, mirror, until, world
from tests.integration.witness import blocked, one, quantities, watch_quantities

Bodies = Callable[[], list[bytes]]


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


@pytest.fixture
def bodies(stripe_double: StripeDouble) -> Bodies:
    """The bodies of all events so far, oldest first."""
    control = stripe_double.control
    return lambda: [control.event_body(made["id"]) for made in control.events()]


def status(connection: psycopg.Connection, subscription: str) -> str | None:
    found: str | None = one(
        connection, "SELECT status FROM stripe.subscriptions WHERE id = %s", subscription
    )
    return found


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1, 0, 1)])
def test_two_events_of_one_second_end_in_the_later_state(
    heart: Mirror,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    order: tuple[int, ...],
    bodies: Bodies,
) -> None:
    """Trap 1: a guard on timestamps drops the second event of one second."""
    control = stripe_double.control
    subscription = control.create_subscription(status="incomplete")
    control.activate(subscription)
    made = bodies()[1:]
    for place in order:
        apply(heart, made[place])
    assert status(connection, subscription) == "active"


def test_two_updates_of_one_second_in_any_order_end_in_stripes_state(
    heart: Mirror, stripe_double: StripeDouble, connection: psycopg.Connection, bodies: Bodies
) -> None:
    """Trap 1: neither event says which of the two came first, so Stripe is asked."""
    control = stripe_double.control
    subscription = control.create_subscription(status="active")
    control.advance(60)
    control.update_subscription(subscription, status="past_due")
    control.update_subscription(subscription, status="active", cancel_at_period_end=True)
    control.update_subscription(subscription, status="unpaid")
    for body in reversed(bodies()):
        apply(heart, body)
    assert status(connection, subscription) == "unpaid"


def test_slow_answer_with_the_old_state_does_not_overwrite_the_newer_one(
    heart: Mirror, stripe_double: StripeDouble, connection: psycopg.Connection, bodies: Bodies
) -> None:
    """Trap 2: the GET that began first finishes last, with what was true before."""
    control = stripe_double.control
    watch_quantities(connection)
    subscription = control.create_subscription(quantity=1)
    item = control.truth(subscription)["items"]["data"][0]["id"]  # type: ignore[index]
    control.advance(60)
    control.change_item(subscription, item, quantity=2)
    control.update_subscription(subscription, metadata={"same": "second"})
    created, first, second = bodies()[1:]
    apply(heart, created)
    apply(heart, second)
    with (
        ThreadPoolExecutor(1) as pool,
        control.hold("after_read", endpoint="subscriptions.retrieve") as hold,
    ):
        slow = pool.submit(apply, heart, first)
        hold.wait_reached()
        control.advance(5)
        control.change_item(subscription, item, quantity=3)
        newer = bodies()[-1]
        assert apply(heart, newer).outcome is Outcome.APPLIED
        hold.release()
        receipt = slow.result(10)
    assert (receipt.outcome, receipt.retries) == (Outcome.STALE, 1)
    assert quantities(connection) == [1, 2, 3]
    # What came again is known, and nothing rejects what follows.
    assert apply(heart, first).outcome is Outcome.DUPLICATE
    control.advance(5)
    control.change_item(subscription, item, quantity=4)
    assert apply(heart, bodies()[-1]).outcome is Outcome.APPLIED
    assert quantities(connection) == [1, 2, 3, 4]


def test_two_slow_answers_finishing_in_the_wrong_order_leave_the_newer(
    heart: Mirror, stripe_double: StripeDouble, connection: psycopg.Connection, bodies: Bodies
) -> None:
    """Trap 2: both ask about the same second; the one that read later is answered earlier."""
    control = stripe_double.control
    watch_quantities(connection)
    subscription = control.create_subscription(quantity=1)
    item = control.truth(subscription)["items"]["data"][0]["id"]  # type: ignore[index]
    control.advance(60)
    for number in (2, 3):
        control.change_item(subscription, item, quantity=number)
    created, two, three = bodies()[1:]
    apply(heart, created)
    apply(heart, three)
    with (
        ThreadPoolExecutor(2) as pool,
        control.hold("after_read", endpoint="subscriptions.retrieve") as hold,
    ):
        slow = pool.submit(apply, heart, two)
        hold.wait_reached()
        # The same second goes on: no event can say that it is later than what is held.
        control.change_item(subscription, item, quantity=4)
        assert apply(heart, bodies()[-1]).asked == 1
        hold.release()
        receipt = slow.result(10)
    assert receipt.retries == 1
    assert quantities(connection)[-1] == 4
    assert quantities(connection) == sorted(quantities(connection))


def test_stale_event_does_not_delete_an_item_added_later(
    heart: Mirror, stripe_double: StripeDouble, connection: psycopg.Connection, bodies: Bodies
) -> None:
    """Trap 4: the row is guarded against the old event, its items are not."""
    control = stripe_double.control
    subscription = control.create_subscription()
    for number in range(2):
        control.advance(60)
        control.update_subscription(subscription, metadata={"n": str(number)})
    control.advance(60)
    control.add_item(subscription, price="pro")
    _, created, first, second, added = bodies()
    apply(heart, created)
    apply(heart, added)
    before = world(connection, "events")
    for late in (first, second):
        assert apply(heart, late).outcome is Outcome.STALE
    assert world(connection, "events") == before
    assert len(before["subscription_items"]) == 2


def test_items_of_a_lost_race_are_not_written(
    heart: Mirror,
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    bodies: Bodies,
) -> None:
    """Trap 4: items change in the statement that changes their subscription, or not at all."""
    control = stripe_double.control
    subscription = control.create_subscription()
    control.advance(60)
    added = control.add_item(subscription, price="pro")
    control.advance(60)
    control.remove_item(subscription, added)
    created, with_two, with_one = bodies()[1:]
    apply(heart, created)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as holder:
        holder.execute("SELECT 1 FROM stripe.subscriptions FOR UPDATE")
        waiting = pool.submit(apply, heart, with_two)
        until(lambda: blocked(connection) == 1, "the writer waits for the row")
        # What another process does that has applied the last event meanwhile.
        holder.execute(
            """
            UPDATE stripe.subscriptions SET revision = revision + 1,
                as_of = tstzrange(lower(as_of) + interval '120 s', upper(as_of) + interval '121 s')
            """
        )
        holder.commit()
        assert waiting.result(10).outcome is Outcome.STALE
    items = connection.execute("SELECT id FROM stripe.subscription_items").fetchall()
    assert (added,) not in items
    assert len(items) == 1
    assert apply(heart, with_one).outcome is not Outcome.FAILED
