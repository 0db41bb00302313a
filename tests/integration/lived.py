"""One object that lives in the double, and the states that its row shows."""

from typing import Any

import psycopg

from reconcile.report.model import Report, RunOutcome
from sandbox.mirrored import Picture, of_stripe
from sandbox.stripe_double import Control, StripeDouble
from shared.objects.declaration import MirroredObject
from tests.builders import apply_all, mirror, reconcile
from tests.integration import judge
from tests.objects import LIVES, event_type

LONG_AGO = 1_780_000_000
"""Months before the double's clock: old enough for any list."""


class Lived:
    """One object in the double; its states are counted as in its `Life`, the end is -1."""

    def __init__(self, control: Control, mirrored: MirroredObject, **fields: Any) -> None:
        """Create it in state 0, with other fields if given."""
        self.mirrored = mirrored
        self.life = LIVES[mirrored.name]
        self._control = control
        self.name = self.life.create(control, **{**self.life.states[0], **fields})
        self._pictures = {0: self.truth}

    @property
    def truth(self) -> Picture:
        """What the row must say now."""
        body = self._control.truth(self.name)
        assert body is not None
        return of_stripe(body)

    def become(self, state: int, *, events: int = 1) -> None:
        """Go to another state, told by so many events."""
        self.life.update(self._control, self.name, **self.life.states[state], events=events)
        self._pictures[state] = self.truth

    def touch(self, *, events: int = 1) -> None:
        """Change a field of its JSON that is not mirrored, and never will be."""
        self.life.update(self._control, self.name, of_a_later_version="another", events=events)

    def end(self, *, events: int = 1) -> None:
        """Come to the end that Stripe never takes back."""
        self.life.end(self._control, self.name, events=events)
        self._pictures[-1] = self.truth

    def bodies(self) -> list[bytes]:
        """Return the events that tell of it, oldest first."""
        return [
            self._control.event_body(made["id"])
            for made in self._control.events()
            if made["data"]["object"].get("id") == self.name
        ]

    def body(self) -> bytes:
        """Return the newest event that tells of it."""
        return self.bodies()[-1]

    def same_again(self) -> bytes:
        """Return an event of now, of no change."""
        kind = event_type(self.mirrored, "updated")
        return self._control.event_body(self._control.emit(kind, self.name))

    def number(self, picture: Picture) -> int:
        """Return which of its states a row shows; AssertionError for none."""
        found = [state for state, one in self._pictures.items() if one == picture]
        assert found, f"no state of {self.name}: {picture}"
        return found[-1]

    def held(self, connection: psycopg.Connection) -> int | None:
        """Return the state that the database holds, None where it has no row."""
        picture = judge.rows(connection, self.mirrored).get(self.name)
        return None if picture is None else self.number(picture)

    def shown(self, connection: psycopg.Connection) -> list[int]:
        """Return the state of each version of its row since `judge.install_witness`."""
        return [self.number(one) for one in judge.versions(connection).get(self.name, [])]


def found(report: Report, mirrored: MirroredObject) -> list[tuple[str, str, str]]:
    """What a report says of objects of a kind: id, kind, action."""
    return [
        (row.object_id, row.kind, row.action)
        for row in report.drift()
        if row.object == mirrored.name
    ]


def drifted(
    url: str, double: StripeDouble, mirrored: MirroredObject, number: int = 1
) -> list[Lived]:
    """Objects that the database holds as of their creation, long ago, and Stripe no more."""
    control = double.control
    control.clear_requests()
    made = [Lived(control, mirrored, created=LONG_AGO + place) for place in range(number)]
    with mirror(url, double) as to:
        apply_all(to, control)
    control.advance(3_600)
    for lived in made:
        lived.become(1, events=0)
    control.advance(3_600)
    return made


def seeded(
    url: str, double: StripeDouble, mirrored: MirroredObject, number: int, **fields: Any
) -> list[Lived]:
    """Objects in sync that two runs have compared, so that a third knows them again."""
    control = double.control
    control.advance(86_400 * 30)
    end = int(control.now()) - 5_000
    made = [
        Lived(control, mirrored, created=end - 80 * (number - place), events=0, **fields)
        for place in range(number)
    ]
    for _ in range(2):
        control.advance(3_600)
        assert reconcile(url, double).run.outcome is RunOutcome.SUCCESS
    control.advance(3_600)
    return made
