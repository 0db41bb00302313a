"""Known ways to lose the truth while events arrive, each tried on the real thing.

With every object of the catalogue; what is only of items, with those that have some.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from sandbox.stripe_double import Control, StripeDouble
from shared.mirror import Mirror, Outcome
from shared.objects.declaration import MirroredObject
from shared.repository.rows import read_held
from tests.builders import apply, apply_all, mirror, until, world
from tests.integration import judge
from tests.integration.lived import Lived
from tests.integration.witness import blocked, one
from tests.objects import can_be_deleted, each_object, endpoint, has_items, tables


@pytest.fixture
def heart(database_url: str, stripe_double: StripeDouble) -> Iterator[Mirror]:
    with mirror(database_url, stripe_double) as made:
        yield made


@pytest.fixture
def control(stripe_double: StripeDouble, connection: psycopg.Connection) -> Control:
    """The double's, and a witness of each version of each row."""
    judge.install_witness(connection)
    return stripe_double.control


@each_object()
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1, 0, 1)])
def test_two_events_of_one_second_end_in_the_later_state(
    heart: Mirror,
    control: Control,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    order: tuple[int, ...],
) -> None:
    """Trap 1: a guard on timestamps drops the second event of one second."""
    lived = Lived(control, mirrored)
    lived.become(1)
    made = lived.bodies()
    for place in order:
        apply(heart, made[place])
    assert lived.held(connection) == 1


@each_object()
def test_two_updates_of_one_second_in_any_order_end_in_stripes_state(
    heart: Mirror, control: Control, connection: psycopg.Connection, mirrored: MirroredObject
) -> None:
    """Trap 1: neither event says which of the two came first, so Stripe is asked."""
    lived = Lived(control, mirrored)
    control.advance(60)
    for state in (1, 2, 3):
        lived.become(state)
    for body in reversed(lived.bodies()):
        apply(heart, body)
    assert lived.held(connection) == 3


@each_object()
def test_slow_answer_with_the_old_state_does_not_overwrite_the_newer_one(
    heart: Mirror, control: Control, connection: psycopg.Connection, mirrored: MirroredObject
) -> None:
    """Trap 2: the GET that began first finishes last, with what was true before."""
    lived = Lived(control, mirrored)
    control.advance(60)
    lived.become(1)
    first = lived.body()
    second = lived.same_again()
    apply(heart, lived.bodies()[0])
    apply(heart, second)
    with (
        ThreadPoolExecutor(1) as pool,
        control.hold("after_read", endpoint=endpoint(mirrored, "retrieve")) as hold,
    ):
        lived.become(2)
        slow = pool.submit(apply, heart, lived.body())
        hold.wait_reached()
        control.advance(5)
        lived.become(3)
        newer = lived.body()
        assert apply(heart, newer).outcome is Outcome.APPLIED
        hold.release()
        receipt = slow.result(10)
    assert (receipt.outcome, receipt.retries) == (Outcome.STALE, 1)
    assert apply(heart, first).outcome is Outcome.STALE
    assert lived.shown(connection) == [0, 1, 3]
    # What came again is known, and nothing rejects what follows.
    assert apply(heart, newer).outcome is Outcome.DUPLICATE
    control.advance(5)
    lived.become(4)
    assert apply(heart, lived.body()).outcome is Outcome.APPLIED
    assert lived.shown(connection) == [0, 1, 3, 4]


@each_object()
def test_two_slow_answers_finishing_in_the_wrong_order_leave_the_newer(
    heart: Mirror, control: Control, connection: psycopg.Connection, mirrored: MirroredObject
) -> None:
    """Trap 2: both ask about the same second; the one that read later is answered earlier."""
    lived = Lived(control, mirrored)
    control.advance(60)
    for state in (1, 2):
        lived.become(state)
    created, former, latter = lived.bodies()
    apply(heart, created)
    apply(heart, latter)
    with (
        ThreadPoolExecutor(2) as pool,
        control.hold("after_read", endpoint=endpoint(mirrored, "retrieve")) as hold,
    ):
        slow = pool.submit(apply, heart, former)
        hold.wait_reached()
        # The same second goes on: no event can say that it is later than what is held.
        lived.become(3)
        assert apply(heart, lived.body()).asked == 1
        hold.release()
        receipt = slow.result(10)
    assert receipt.retries == 1
    shown = lived.shown(connection)
    assert shown[-1] == 3
    assert shown == sorted(shown)


@each_object()
def test_stale_event_changes_nothing(
    heart: Mirror, control: Control, connection: psycopg.Connection, mirrored: MirroredObject
) -> None:
    """Trap 1: an event that was delayed for minutes."""
    lived = Lived(control, mirrored)
    for state in (1, 2, 3):
        control.advance(60)
        lived.become(state)
    created, first, second, newest = lived.bodies()
    apply(heart, newest)
    before = world(connection, "events")
    for late in (created, first, second):
        assert apply(heart, late).outcome is Outcome.STALE
    assert world(connection, "events") == before
    assert lived.shown(connection) == [3]


@each_object()
@pytest.mark.parametrize("is_same_second", [True, False], ids=["at once", "minutes later"])
def test_end_is_not_taken_back_by_any_event_from_before(
    heart: Mirror,
    control: Control,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    is_same_second: bool,
) -> None:
    """Trap 1: what has ended for good grants access again, or an address is back."""
    lived = Lived(control, mirrored)
    control.advance(60)
    lived.become(1)
    control.advance(60)
    lived.become(2)
    if not is_same_second:
        control.advance(60)
    lived.end()
    *earlier, ended = lived.bodies()
    assert apply(heart, earlier[0]).outcome is Outcome.APPLIED
    control.clear_requests()
    assert apply(heart, ended).outcome is Outcome.APPLIED
    assert control.requests() == [], "an end needs no question"
    assert lived.held(connection) == -1
    for late in (*earlier[1:], *earlier[:1]):
        assert apply(heart, late).outcome in {Outcome.STALE, Outcome.DUPLICATE}
    assert lived.shown(connection) == [0, -1]
    held = read_held(connection, mirrored, [lived.name]).get(lived.name)
    assert held is not None
    assert mirrored.is_terminal(held.row)


@each_object(can_be_deleted)
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "never seen before"])
def test_deletion_leaves_nothing_that_stripe_no_longer_tells(
    heart: Mirror,
    control: Control,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    is_known: bool,
) -> None:
    """Its event still carries every field, its answer none: both are to give one row."""
    dated = []
    for is_thin in (False, True):
        lived = Lived(control, mirrored)
        if is_known:
            apply_all(heart, control)
        control.advance(60)
        lived.end()
        name = control.events()[-1]["id"]
        body = control.thin_body(name) if is_thin else control.event_body(name)
        assert apply(heart, body).outcome is Outcome.APPLIED
        held = read_held(connection, mirrored, [lived.name]).get(lived.name)
        assert held is not None
        assert mirrored.is_deleted(held.row)
        assert mirrored.is_emptied(held.row)
        dated.append(mirrored.created(held.row) is not None)
        control.advance(60)
    assert dated == [True, is_known], "when it was created only the event still tells"


@each_object(has_items)
def test_stale_event_does_not_delete_an_item_added_later(
    heart: Mirror, control: Control, connection: psycopg.Connection, mirrored: MirroredObject
) -> None:
    """Trap 4: the row is guarded against the old event, its items are not."""
    lived = Lived(control, mirrored)
    for state in (1, 2):
        control.advance(60)
        lived.become(state)
    control.advance(60)
    control.add_item(lived.name, price="pro")
    created, first, second, added = lived.bodies()
    apply(heart, created)
    apply(heart, added)
    before = world(connection, "events")
    for late in (first, second):
        assert apply(heart, late).outcome is Outcome.STALE
    assert world(connection, "events") == before
    assert len(before[tables(mirrored)[0]]) == 2


@each_object()
def test_nothing_of_a_lost_race_is_written(
    heart: Mirror,
    database_url: str,
    control: Control,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Trap 4: items change in the statement that changes their object, or not at all."""
    lived = Lived(control, mirrored)
    for state in (1, 2):
        control.advance(60)
        lived.become(state)
    created, former, latter = lived.bodies()
    apply(heart, created)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as holder:
        holder.execute(f"SELECT 1 FROM stripe.{mirrored.table} FOR UPDATE".encode())  # noqa: S608
        waiting = pool.submit(apply, heart, former)
        until(lambda: blocked(connection) == 1, "the writer waits for the row")
        # What another process does that has applied the last event meanwhile.
        holder.execute(
            f"""
            UPDATE stripe.{mirrored.table} SET revision = revision + 1,
                as_of = tstzrange(lower(as_of) + interval '120 s', upper(as_of) + interval '121 s')
            """.encode()  # noqa: S608
        )
        holder.commit()
        assert waiting.result(10).outcome is Outcome.STALE
    assert lived.shown(connection) == [0, 0]
    assert apply(heart, latter).outcome is not Outcome.FAILED
    assert one(connection, "SELECT count(*) FROM stripe.events WHERE outcome = 'failed'") == 0
