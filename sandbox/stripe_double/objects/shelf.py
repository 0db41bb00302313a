"""All objects of one kind, in order of creation, each with its whole past.

Seeded objects that nobody has changed are not stored: their batch computes them from their number.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from sandbox.stripe_double.objects.ids import IdScheme
from sandbox.stripe_double.objects.states import State

S = TypeVar("S", bound=State)

LATEST = float("inf")


class Batch(Protocol[S]):
    """Objects with the numbers `first` to `first + count - 1`, none younger than the next."""

    first: int
    count: int

    def created(self, number: int) -> int: ...

    def sketch(self, number: int) -> "Sketch[S]": ...

    def build(self, sketch: "Sketch[S]") -> S: ...


class Sketch(Struct, Generic[S], frozen=True, kw_only=True):
    """A seeded object that nobody has changed: what is its own, and what it shares.

    Two of the same batch and variant (status, place of the price) differ only in their facts.
    """

    batch: Batch[S]
    variant: tuple[str, int]
    facts: dict[str, str | int]

    @property
    def status(self) -> str:
        return self.variant[0]

    @property
    def email(self) -> object:
        return self.facts["email"]

    @property
    def deleted(self) -> bool:
        return False

    @property
    def test_clock(self) -> None:
        return None

    def state(self) -> S:
        return self.batch.build(self)


class Moment(Struct, Generic[S], frozen=True):
    """What an object became, and when by the double's clock."""

    at: float
    state: S


class Shelf(Generic[S]):
    def __init__(self, ids: IdScheme) -> None:
        self._ids = ids
        self._next = 0
        # The two columns of one index, sorted by creation time, then by number.
        self._created = array("q")
        self._numbers = array("q")
        self._batches: list[Batch[S]] = []
        self._histories: dict[int, list[Moment[S]]] = {}
        self._own_names: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def __len__(self) -> int:
        return self._next

    @property
    def next_number(self) -> int:
        return self._next

    def name(self, number: int) -> str:
        return self._names.get(number) or self._ids.make(number)

    def number(self, name: str) -> int | None:
        number = self._own_names.get(name)
        if number is None:
            number = self._ids.number(name)
        return number if number is not None and number < self._next else None

    def add(self, state: S, at: float) -> int:
        """Put a new object on the shelf; its id is `state.id`, of this shelf's scheme or any."""
        number = self._next
        self._next += 1
        if state.id != self._ids.make(number):
            self._own_names[state.id] = number
            self._names[number] = state.id
        place = bisect_right(self._created, state.created)
        self._created.insert(place, state.created)
        self._numbers.insert(place, number)
        self._histories[number] = [Moment(at, state)]
        return number

    def add_batch(self, batch: Batch[S]) -> None:
        numbers = range(batch.first, batch.first + batch.count)
        self._next += batch.count
        self._batches.append(batch)
        created = array("q", map(batch.created, numbers))
        in_order = not self._created or not created or created[0] >= self._created[-1]
        self._created.extend(created)
        self._numbers.extend(numbers)
        if not in_order:
            rows = sorted(zip(self._created, self._numbers, strict=True))
            self._created = array("q", (row[0] for row in rows))
            self._numbers = array("q", (row[1] for row in rows))

    def change(self, number: int, state: S, at: float) -> None:
        history = self._histories.get(number)
        if history is None:
            history = self._histories[number] = [Moment(-LATEST, self._seeded(number))]
        history.append(Moment(at, state))

    def state(self, number: int, at: float = LATEST) -> S | None:
        """What the object was at a time, None before it was there."""
        found = self.look(number, at)
        return found.state() if isinstance(found, Sketch) else found

    def look(self, number: int, at: float = LATEST) -> S | Sketch[S] | None:
        """The same, but a seeded object that nobody has changed comes as its sketch."""
        history = self._histories.get(number)
        if history is None:
            return self._sketch(number)
        if at >= history[-1].at:
            return history[-1].state
        place = bisect_right(history, at, key=_when)
        return history[place - 1].state if place else None

    def history(self, number: int) -> list[Moment[S]]:
        known = self._histories.get(number)
        return list(known) if known else [Moment(-LATEST, self._seeded(number))]

    def find(self, name: str, at: float = LATEST) -> S | None:
        number = self.number(name)
        return None if number is None else self.state(number, at)

    def span(self, lower: int, upper: int) -> tuple[int, int]:
        """The places [first, last) of objects created in the seconds [lower, upper)."""
        return bisect_left(self._created, lower), bisect_left(self._created, upper)

    def created(self, number: int) -> int:
        history = self._histories.get(number)
        return self._seeded(number).created if history is None else history[0].state.created

    def place(self, number: int) -> int:
        created = self.created(number)
        first, last = self.span(created, created + 1)
        return bisect_left(self._numbers, number, first, last)

    def number_at(self, place: int) -> int:
        return self._numbers[place]

    def names(self) -> Iterator[str]:
        """All ids, oldest first."""
        return map(self.name, list(self._numbers))

    def _sketch(self, number: int) -> Sketch[S]:
        for batch in self._batches:
            if batch.first <= number < batch.first + batch.count:
                return batch.sketch(number)
        raise LookupError(number)

    def _seeded(self, number: int) -> S:
        return self._sketch(number).state()


def _when(moment: Moment[S]) -> float:
    return moment.at
