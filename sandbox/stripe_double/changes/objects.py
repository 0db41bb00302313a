"""Making, changing and deleting objects of any kind, and events for their own sake."""

from collections.abc import Callable
from typing import Any, Generic

from msgspec import structs

from sandbox.stripe_double.changes.fields import overlay, split_fields
from sandbox.stripe_double.objects.catalogue import KINDS, kind_named
from sandbox.stripe_double.objects.kind import Kind, S
from sandbox.stripe_double.protocol.encoding import JsonObject
from sandbox.stripe_double.realm.part import RealmPart
from sandbox.stripe_double.realm.realm import Realm


class ObjectChanges(RealmPart, Generic[S]):
    """Objects of one kind. Each change is one instant of the clock.

    `events` says how many Event objects Stripe makes of a change: 1, or 0 (it failed to), or 2.
    Fields that the double does not know by name, and `extra`, lie over the rendered body as given.
    A change that leaves everything as it was makes no event.
    """

    def __init__(self, realm: Callable[[], Realm], kind: Kind[S]) -> None:
        super().__init__(realm)
        self._kind = kind

    def create(
        self,
        *,
        id: str | None = None,  # noqa: A002 -- Stripe's own name
        events: int = 1,
        **fields: Any,
    ) -> str:
        """Returns the new id."""
        realm = self._realm
        with realm.lock:
            known, extra = split_fields(self._kind.state, fields)
            known.setdefault("created", realm.second())
            shelf = realm.shelf_for(self._kind.name, inline=bool(known.get("inline")))
            name = id or shelf.name(shelf.next_number)
            state = self._kind.state(id=name, livemode=realm.livemode, extra=extra, **known)
            shelf.add(state, realm.clock.now())
            realm.emit(f"{self._kind.event}.created", state, times=events)
            return name

    def update(self, name: str, /, *, events: int = 1, **fields: Any) -> str:
        """ValueError for a field that Stripe lets nobody change."""
        realm = self._realm
        with realm.lock:
            before = self.get(name)
            known, extra = split_fields(self._kind.state, fields)
            given = {**known, "extra": overlay(before.extra, fields, extra)}
            state: S = structs.replace(before, **given)
            fixed = known.keys() - (self._kind.changeable or known.keys())
            if fixed:
                raise ValueError(f"a {self._kind.name} keeps its {', '.join(sorted(fixed))}")
            if state == before:
                return name
            if hasattr(state, "updated"):
                state = structs.replace(state, updated=realm.second())
            realm.keep(state)
            realm.emit(f"{self._kind.event}.updated", state, before=before, times=events)
            return name

    def delete(self, name: str, /, *, events: int = 1, **last: Any) -> str:
        """`last`: what its last event shows of it; nothing happens to one that has gone."""
        realm = self._realm
        with realm.lock:
            before = self.get(name)
            if before.deleted:
                return name
            state: S = structs.replace(before, **last)
            realm.keep(structs.replace(state, deleted=True))
            # The event shows the object without `deleted`.
            realm.emit(f"{self._kind.event}.deleted", state, times=events)
            return name

    def get(self, name: str) -> S:
        """Call it with the realm's lock."""
        found: S | None = self._realm.find(self._kind.name, name)
        if found is None:
            raise LookupError(f"no {self._kind.name} {name!r}")
        return found


class Objects(RealmPart):
    """Objects of every kind of the catalogue."""

    def create(self, kind: str, /, **fields: Any) -> str:
        """Any object of the catalogue, with these fields and no others; returns its id."""
        return ObjectChanges(self._find, kind_named(kind)).create(**fields)

    def update(self, kind: str, name: str, /, **fields: Any) -> str:
        return ObjectChanges(self._find, kind_named(kind)).update(name, **fields)

    def emit(self, kind: str, name: str, *, extra: JsonObject | None = None) -> str:
        """An event of any type for an object as it is now: `trial_will_end` and the like."""
        with self._realm.lock:
            found = (self._realm.find(one.name, name) for one in KINDS)
            state = next((one for one in found if one is not None), None)
            if state is None:
                raise LookupError(f"no object {name!r}")
            return self._realm.emit(kind, state, extra=extra)[0]

    def emit_object(self, kind: str, body: JsonObject, *, extra: JsonObject | None = None) -> str:
        """An event of any type with any object; `extra` lies over the event itself."""
        with self._realm.lock:
            return self._realm.emit_body(kind, body, extra)
