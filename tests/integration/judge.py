"""An independent judge: Stripe's objects and the database's rows, brought to one picture.

Written without the product's decoders: what Stripe says is read by sandbox/mirrored.py, what the
database says by the contract of the tables.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg

from sandbox.mirrored import Picture, of_stripe
from sandbox.stripe_double import Control
from shared.objects.catalogue import MIRRORED
from shared.objects.column import Column, Type
from shared.objects.declaration import MirroredObject

_DECIMALS = {
    column.name
    for mirrored in MIRRORED
    for column in (*mirrored.columns, *(mirrored.items.columns if mirrored.items else ()))
    if column.type is Type.DECIMAL
}
_MOST_EMBEDDED = 10
_PERIOD = ("current_period_start", "current_period_end")
_ITEMS = """(
    SELECT jsonb_agg(i)::text FROM stripe.{table} AS i WHERE i.{parent} = {row}.id
)"""


def of_database(mirrored: MirroredObject, row: str, items: str | None) -> Picture:
    """Picture a row and its items, each as PostgreSQL prints them as JSON."""
    picture = _columns(mirrored.columns, json.loads(row, parse_float=Decimal))
    del picture["as_of"], picture["revision"]
    # Of what Stripe has deleted it may tell no more than that it does not know it.
    is_gone = mirrored.is_deletable and "missing_in_stripe_since" in picture
    if picture.get("deleted") or is_gone:
        return {"id": picture["id"], "deleted": True}
    if mirrored.items is not None:
        listed = json.loads(items or "[]", parse_float=Decimal)
        picture["items"] = {item["id"]: _columns(mirrored.items.columns, item) for item in listed}
        for item in picture["items"].values():
            del item[mirrored.items.parent]
    return picture


def _columns(columns: Sequence[Column], row: dict[str, Any]) -> Picture:
    found = {name: value for name, value in row.items() if value is not None}
    times = {column.name for column in columns if column.type is Type.TIMESTAMP}
    for name in (times | {"missing_in_stripe_since"}) & found.keys():
        found[name] = int(datetime.fromisoformat(found[name]).timestamp())
    for name in {column.name for column in columns if column.type is Type.DECIMAL} & found.keys():
        found[name] = Decimal(found[name])
    return found


def without_periods(picture: Picture) -> Picture:
    """Leave out what a body from before basil cannot say of each item."""
    bare = {name: value for name, value in picture.items() if name not in _PERIOD}
    if "items" in bare:
        bare["items"] = {name: without_periods(item) for name, item in bare["items"].items()}
    return bare


def rows(connection: psycopg.Connection, mirrored: MirroredObject) -> dict[str, Picture]:
    """Picture every row of an object that Stripe is believed to know."""
    found = connection.execute(
        f"SELECT o.id, to_jsonb(o)::text, {_items(mirrored, 'o')} FROM stripe.{mirrored.table} AS o"  # noqa: S608
    )
    return {row[0]: of_database(mirrored, row[1], row[2]) for row in found}


def _items(mirrored: MirroredObject, row: str) -> str:
    """Return SQL for the items of a row, as JSON text."""
    if mirrored.items is None:
        return "NULL::text"
    return _ITEMS.format(table=mirrored.items.table, parent=mirrored.items.parent, row=row)


def install_witness(connection: psycopg.Connection) -> None:
    """Let the database keep each version of each object as it was committed, items and all.

    And the events that were worked on again although they had not failed, should the product's own
    trigger against it ever be gone.
    """
    connection.execute(
        """
        CREATE TABLE witness (
            n bigint GENERATED ALWAYS AS IDENTITY, object text, id text, own text, items text
        );
        CREATE TABLE done_again (id text);
        CREATE FUNCTION done_again() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO done_again VALUES (NEW.id);
            RETURN NULL;
        END $$;
        CREATE TRIGGER done_again AFTER UPDATE OF outcome, attempts, processed_at ON stripe.events
            FOR EACH ROW WHEN (OLD.outcome <> 'failed') EXECUTE FUNCTION done_again();
        """
    )
    for mirrored in MIRRORED:
        connection.execute(
            f"""
            CREATE FUNCTION witness_{mirrored.name}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO witness (object, id, own, items)
                SELECT '{mirrored.name}', NEW.id, to_jsonb(NEW)::text, {_items(mirrored, "NEW")};
                RETURN NULL;
            END $$;
            CREATE CONSTRAINT TRIGGER witness AFTER INSERT OR UPDATE ON stripe.{mirrored.table}
                DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION witness_{mirrored.name}();
            """.encode()
        )


def versions(connection: psycopg.Connection) -> dict[str, list[Picture]]:
    """Picture every committed version of every object, oldest first."""
    found: dict[str, list[Picture]] = {}
    of = {mirrored.name: mirrored for mirrored in MIRRORED}
    seen = connection.execute("SELECT object, id, own, items FROM witness ORDER BY n")
    for kind, name, own, items in seen:
        found.setdefault(name, []).append(of_database(of[kind], own, items))
    return found


class Mark(NamedTuple):
    """What a comparison proved: whatever is shown after `shown` versions is no older than `state`.

    `state` counts Stripe's states of the object.
    """

    shown: int
    state: int


def prove(
    connection: psycopg.Connection, control: Control, since: float, old_shapes: Collection[str]
) -> dict[str, Mark]:
    """Assert that each row is a state from `since` or later, as after a whole comparison.

    Returns that as marks. Of objects in `old_shapes` the periods of single items are left out.
    """
    found: dict[str, Mark] = {}
    for name, shown in versions(connection).items():
        seen = control.history(name)
        state = max((n for n, one in enumerate(seen) if one.at <= since), default=0)
        found[name] = Mark(len(shown), state)
        possible = [of_stripe(one.object) for one in seen[state:]]
        last = {k: v for k, v in shown[-1].items() if k != "missing_in_stripe_since"}
        if name in old_shapes:
            possible, last = [without_periods(one) for one in possible], without_periods(last)
        assert last in possible, f"{name} is older than the comparison that has ended"
    return found


def assert_never_back(
    shown: Sequence[Picture], history: Sequence[Picture], proved: Sequence[Mark] = ()
) -> None:
    """Assert that the versions shown can be read off Stripe's states without going back.

    `proved`: what comparisons knew in between, though they wrote nothing.
    """
    reached = 0
    for number, version in enumerate(shown):
        reached = max([reached, *(mark.state for mark in proved if mark.shown <= number)])
        later = (n for n, state in enumerate(history) if n >= reached and state == version)
        found = next(later, None)
        if found is None:
            known = [n for n, state in enumerate(history) if state == version]
            raise AssertionError(f"{version['id']}: state {known or 'unknown'} after {reached}")
        reached = found


def folded(connection: psycopg.Connection) -> dict[str, dict[str, Any]]:
    """Fold the changes of each object by revision, and assert that each begins where one ended."""
    found: dict[str, dict[str, Any]] = {}
    for name, fields in connection.execute(
        "SELECT object_id, fields::text FROM stripe.changes ORDER BY object_id, revision"
    ):
        state = found.setdefault(name, {})
        for field, (before, after) in json.loads(fields).items():
            path = field.split(".")
            place = state.setdefault("items", {}) if path[0] == "items" else state
            for part in path[1:-1]:
                place = place[part]
            assert place.get(path[-1]) == before, f"{name}: {field} was not {before}"
            place.pop(path[-1], None)
            if after is not None:
                place[path[-1]] = after
    for state in found.values():
        for item in (state, *state.get("items", {}).values()):
            for name in _DECIMALS & item.keys():
                item[name] = Decimal(item[name])
    return found


def assert_past(
    connection: psycopg.Connection,
    control: Control,
    old_shapes: Collection[str],
    proved: Sequence[Mapping[str, Mark]] = (),
) -> None:
    """Assert that no row went back, that no event was done twice, that changes fold to the rows.

    `proved`: by comparison, what it knew of each object. Of objects in `old_shapes` the periods of
    single items are left out. More items than Stripe embeds are read in two requests, between which
    the object may change.
    """
    for name, shown in versions(connection).items():
        history = [of_stripe(seen.object) for seen in control.history(name)]
        known = [{k: v for k, v in one.items() if k != "missing_in_stripe_since"} for one in shown]
        if name in old_shapes:
            history = [without_periods(one) for one in history]
            known = [without_periods(one) for one in known]
        if all(len(state.get("items", ())) <= _MOST_EMBEDDED for state in history):
            mine = [marks[name] for marks in proved if name in marks]
            assert_never_back(known, history, mine)
    assert connection.execute("SELECT id FROM done_again").fetchall() == []
    twice = connection.execute(
        """
        SELECT event_id FROM stripe.changes WHERE event_id IS NOT NULL
        GROUP BY event_id, object_id HAVING count(*) > 1
        """
    ).fetchall()
    assert twice == []
    changes = folded(connection)
    for mirrored in MIRRORED:
        for name, picture in rows(connection, mirrored).items():
            folded_to = changes[name]
            if mirrored.is_deletable and "missing_in_stripe_since" in folded_to:
                folded_to = {"id": name, "deleted": True}
            assert {key: folded_to.get(key) for key in picture} == picture
            assert folded_to.keys() <= picture.keys() or picture.get("deleted")


def assert_present(connection: psycopg.Connection, control: Control) -> None:
    """Assert that the database is what Stripe is, and that its ledger is complete."""
    for mirrored in MIRRORED:
        held = rows(connection, mirrored)
        true = {body["id"]: of_stripe(body) for body in control.truths(mirrored.name)}
        # Lists leave deleted objects out: one whose events were all lost is unknown for good.
        gone = {name for name, one in true.items() if one.get("deleted") and name not in held}
        assert held == {name: one for name, one in true.items() if name not in gone}
    ledger = {row[0] for row in connection.execute("SELECT id FROM stripe.events")}
    assert ledger == {name for name, _ in control.event_types()}
