"""Making, changing and deleting objects of any kind."""

from collections.abc import Callable
from typing import Any, Generic

from msgspec import structs

from sandbox.stripe_double.fields import overlay, split_fields
from sandbox.stripe_double.objects.kind import Kind, S
from sandbox.stripe_double.realm import Realm


class ObjectChanges(Generic[S]):
    """Each change is one instant of the clock.

    `events` says how many Event objects Stripe makes of a change: 1, or 0 (it failed to), or 2.
    Fields that the double does not know by name, and `extra`, lie over the rendered body as given.
    A change that leaves everything as it was makes no event.
    """

    def __init__(self, realm: Callable[[], Realm], kind: Kind[S]) -> None:
        self._find_realm = realm
        self._kind = kind

    def create(
        self,
        *,
        id: str | None = None,  # noqa: A002 -- Stripe's own name
        events: int = 1,
        **fields: Any,
    ) -> str:
        """Returns the new id."""
        realm = self._find_realm()
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
        realm = self._find_realm()
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
        realm = self._find_realm()
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
        found: S | None = self._find_realm().find(self._kind.name, name)
        if found is None:
            raise LookupError(f"no {self._kind.name} {name!r}")
        return found
