"""Ways to lose the truth that only some objects know, each by what its declaration says of it."""

from typing import Any

import psycopg
import pytest

from reconcile.report.model import RunOutcome
from sandbox.stripe_double import StripeDouble
from shared.mirror import Outcome
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.repository.rows import read_held
from tests.builders import apply, apply_all, mirror, reconcile
from tests.integration.lived import Lived
from tests.integration.witness import count
from tests.objects import LIVES, can_be_deleted, each_object, endpoint, event_type

HOUR = 3_600


def can_be_shelved(mirrored: MirroredObject) -> bool:
    return bool(LIVES[mirrored.name].shelved)


def fields(mirrored: MirroredObject, *, is_shelved: bool) -> dict[str, Any]:
    """What makes an object one that the lists show by default, or one that they do not."""
    shelved = LIVES[mirrored.name].shelved
    return {name: value if is_shelved else not value for name, value in shelved.items()}


@each_object(can_be_shelved)
def test_objects_of_every_list_are_found_and_repaired_by_one_run(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Left out of the one list that was asked for, they would be missing for ever."""
    control = stripe_double.control
    control.advance(HOUR)
    made = [
        Lived(control, mirrored, **fields(mirrored, is_shelved=one), events=0)
        for one in (False, True)
    ]
    control.advance(HOUR)
    assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
    assert [lived.held(connection) for lived in made] == [0] * len(made)
    for lived in made:
        lived.become(1, events=0)
    control.advance(HOUR)
    report = reconcile(database_url, stripe_double)
    assert {(row.object_id, row.kind) for row in report.drift()} == {
        (lived.name, "differs") for lived in made
    }
    assert [lived.held(connection) for lived in made] == [1] * len(made)
    control.advance(HOUR)
    assert list(reconcile(database_url, stripe_double).drift()) == []


@each_object(can_be_shelved)
@pytest.mark.parametrize("is_shelved", [False, True])
def test_object_that_goes_to_another_list_while_they_are_read_is_not_missing(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    is_shelved: bool,
) -> None:
    """It is in none of the pages, or in two."""
    control = stripe_double.control
    control.advance(HOUR)
    lived = Lived(control, mirrored, **fields(mirrored, is_shelved=is_shelved))
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    control.advance(HOUR)
    shown = fields(mirrored, is_shelved=not is_shelved)

    def move() -> None:
        lived.life.update(control, lived.name, **shown, events=0)

    control.hook(move, when="after_read", endpoint=endpoint(mirrored, "list"), count=1)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert "missing_in_stripe" not in {row.kind for row in report.drift()}
    control.advance(HOUR)
    reconcile(database_url, stripe_double)
    assert count(connection, mirrored.table, "missing_in_stripe_since IS NOT NULL") == 0
    held = read_held(connection, mirrored, [lived.name]).get(lived.name)
    assert held is not None
    assert {name: mirrored.value(held.row, name) for name in shown} == shown


@each_object(can_be_shelved)
def test_what_one_list_has_shown_ahead_overtakes_no_event_that_came_since(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """The oldest object stands on the first page of its list, and its window is the last."""
    control = stripe_double.control
    control.advance(30 * 24 * HOUR)
    end = int(control.now()) - HOUR
    oldest = Lived(control, mirrored, created=end - 90_000, **LIVES[mirrored.name].shelved)
    others = [Lived(control, mirrored, created=end - 80 * place) for place in range(1_100)]
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        for _ in range(2):
            control.advance(24 * HOUR)
            assert reconcile(database_url, stripe_double).run.outcome is RunOutcome.SUCCESS
        control.advance(24 * HOUR)
        shown: list[str] = []

        def change() -> None:
            shown.append("page")
            if len(shown) == 4:  # every list has begun, and not all windows have
                control.advance(60)
                oldest.become(1)
                assert apply(to, oldest.body()).outcome is Outcome.APPLIED

        control.hook(change, when="after_read", endpoint=endpoint(mirrored, "list"), count=None)
        report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert oldest.held(connection) == 1
    assert {row.action for row in report.drift()} <= {"in_flight"}
    counts = report.counts[mirrored.name]
    assert counts.stripe == counts.database == len(others) + 1


@each_object(can_be_deleted)
@pytest.mark.parametrize("when", ["long ago", "just now", "marked before"])
@pytest.mark.parametrize("is_refused", [False, True], ids=["repaired", "refused before"])
def test_deletion_whose_event_was_lost_is_written_by_the_night_as_by_the_webhook(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    when: str,
    is_refused: bool,
) -> None:
    control = stripe_double.control
    control.advance(HOUR)
    lost, told, silent = (Lived(control, mirrored, metadata={"a": "b"}) for _ in range(3))
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        control.advance(24 * HOUR)
        reconcile(database_url, stripe_double)
        told.end()
        assert apply(to, told.body()).outcome is Outcome.APPLIED
    silent.end(events=0)
    if when == "marked before":
        lost.end(events=0)
        control.advance(HOUR)
        reconcile(database_url, stripe_double)
        control.emit(event_type(mirrored, "deleted"), lost.name)
    else:
        lost.end()
    control.advance(10 if when == "just now" else HOUR)
    if is_refused:
        refused = reconcile(database_url, stripe_double, limit="0")
        is_done = when == "marked before" and mirrored.known_when_deleted
        assert (refused.run.outcome is RunOutcome.REFUSED) != is_done
        control.advance(HOUR)
    report = reconcile(database_url, stripe_double)
    assert report.run.outcome is RunOutcome.SUCCESS
    assert lost.held(connection) == told.held(connection) == -1
    rows = read_held(connection, mirrored, [lost.name, told.name, silent.name])
    assert rows[lost.name].missing_in_stripe_since is None
    own = {mirrored.decoded.index[name] for name in ("id", "created")}

    def kept(lived: Lived) -> list[object]:
        return [value for at, value in enumerate(rows[lived.name].row) if at not in own]

    assert kept(lost) == kept(told)
    # Of one that nobody has told to be deleted no more is known than what Stripe says.
    is_known = mirrored.known_when_deleted
    assert (rows[silent.name].missing_in_stripe_since is None) == is_known
    assert mirrored.is_deleted(rows[silent.name].row) == is_known
    assert count(connection, "events", "outcome = 'failed'") == 0
    control.advance(24 * HOUR)
    assert not list(reconcile(database_url, stripe_double).drift())


@each_object(lambda mirrored: LIVES[mirrored.name].unlisted)
def test_object_that_no_list_ever_shows_is_not_called_missing(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    control = stripe_double.control
    control.advance(HOUR)
    lived = Lived(control, mirrored, **LIVES[mirrored.name].unlisted)
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    for night in range(3):
        control.advance(24 * HOUR)
        report = reconcile(database_url, stripe_double)
        assert (report.run.outcome, list(report.drift())) == (RunOutcome.SUCCESS, []), night
    assert lived.held(connection) == 0
    lived.become(1)
    with mirror(database_url, stripe_double) as to:
        assert apply(to, lived.body()).outcome is Outcome.APPLIED
    assert lived.held(connection) == 1


@each_object(lambda mirrored: LIVES[mirrored.name].untold)
def test_what_no_event_tells_is_asked_for_and_no_list_takes_it_back(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
) -> None:
    """Left out of a body is not empty: the row would lose it with every event."""
    control = stripe_double.control
    control.advance(HOUR)
    lived = Lived(control, mirrored, **LIVES[mirrored.name].whole)

    def told() -> list[object]:
        held = read_held(connection, mirrored, [lived.name]).get(lived.name)
        assert held is not None
        return [mirrored.value(held.row, name) for name in LIVES[mirrored.name].untold]

    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        first = told()
        assert None not in first
        for night in range(2):
            control.advance(HOUR)
            lived.become(1 + night)
            receipt = apply(to, lived.body())
            assert (receipt.outcome, receipt.asked) == (Outcome.APPLIED, 1)
            assert told() == first
            control.advance(HOUR)
            report = reconcile(database_url, stripe_double)
            assert (report.run.outcome, list(report.drift())) == (RunOutcome.SUCCESS, []), night
    for name in LIVES[mirrored.name].untold:
        emptied = f'UPDATE stripe.{mirrored.table} SET "{name}" = NULL'  # noqa: S608
        connection.execute(emptied.encode())
    (row,) = reconcile(database_url, stripe_double).drift()
    assert (row.object_id, row.action) == (lived.name, "repaired")
    assert told() == first


@each_object(lambda mirrored: mirrored.is_deletable and not mirrored.known_when_deleted)
@pytest.mark.parametrize("others", [(), MIRRORED], ids=["alone", "beside others"])
def test_vanished_rows_of_what_may_vanish_make_no_healthy_database_anothers(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    mirrored: MirroredObject,
    others: tuple[MirroredObject, ...],
) -> None:
    """Trap 9: the newest rows are unknown to Stripe, and the key may not read whose it is."""
    control = stripe_double.control
    for one in others:
        Lived(control, one)
    control.advance(HOUR)
    for _ in range(6):
        Lived(control, mirrored)
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
    gone = f"UPDATE stripe.{mirrored.table} SET id = 'x_' || id"  # noqa: S608
    connection.execute(gone.encode())
    control.advance(HOUR)
    report = reconcile(database_url, stripe_double, key="rk_test_double")
    assert report.run.outcome is RunOutcome.SUCCESS
    marked = "id LIKE 'x_%' AND missing_in_stripe_since IS NOT NULL"
    wanted = 6 + (mirrored in others)
    assert count(connection, mirrored.table, marked.replace("%", "%%")) == wanted
