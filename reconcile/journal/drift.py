"""A difference as it is kept and reported, and what its repair needs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import msgspec

from reconcile.comparison import consequence
from reconcile.comparison.compare import Difference
from shared import truth
from shared.objects.column import Row
from shared.objects.declaration import Content, MirroredObject
from shared.repository.drifts import Customer, DriftRow, Tally
from shared.repository.write import Write
from shared.truth import Interval


class Spooled(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for repair: Stripe's side, and the row's revision that was read before asking.

    `row` is None where Stripe does not know the id, `at_revision` where there was no row. `as_of`
    is the interval of Stripe's side, `held_as_of` that of the row.
    """

    row: Row | None
    items: tuple[Row, ...]
    as_of: Interval
    held_as_of: Interval | None
    at_revision: int | None

    def content(self) -> Content | None:
        """Return Stripe's side."""
        return None if self.row is None else Content(str(self.row[0]), self.row, self.items)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Spooled)


def drift(
    mirrored: MirroredObject,
    difference: Difference,
    access: frozenset[str],
    action: str = "pending",
) -> DriftRow:
    """Return a difference as it is kept: with what its repair needs while it is pending."""
    meaning = consequence.consequence(mirrored, difference, access)
    held, content = difference.held, difference.content
    spooled: bytes | None = None
    amounts = consequence.monthly_amounts(mirrored, difference, meaning)
    if action == "pending":
        spooled = _encoder.encode(
            Spooled(
                row=content.row if content else None,
                items=(content.items or ()) if content else (),
                as_of=difference.as_of,
                held_as_of=held.as_of if held else None,
                at_revision=held.revision if held else None,
            )
        )
    return DriftRow(
        object=mirrored.name,
        object_id=difference.id,
        kind=difference.kind,
        consequence=meaning,
        fields=difference.fields,
        customer=_customer(mirrored, difference),
        monthly_amount=amounts.at_stake,
        monthly_before=amounts.before,
        monthly_after=amounts.after,
        not_computed=amounts.not_computed,
        ends_access=consequence.ends_access(meaning),
        action=action,
        spooled=spooled,
        found_at=int(time.time()),
    )


def _customer(mirrored: MirroredObject, difference: Difference) -> Customer | None:
    """Return whose object it is, by the row here, or where there is none by Stripe's."""
    side = difference.held or difference.content
    if mirrored.customer is None or side is None:
        return None
    customer = mirrored.value(side.row, mirrored.customer)
    if customer is None:  # owned by an Account that is no Customer
        return None
    if mirrored.customer != "id":
        return Customer(id=str(customer))
    email, name = (mirrored.value(side.row, key) for key in ("email", "name"))
    return Customer(
        id=str(customer),
        email=None if email is None else str(email),
        name=None if name is None else str(name),
    )


def closed(row: DriftRow, action: str) -> DriftRow:
    """Return a drift with its last word; nothing waits any more."""
    return msgspec.structs.replace(row, action=action, spooled=None)


def tallied(rows: Iterable[DriftRow]) -> list[Tally]:
    """Count differences by object, kind, action and consequence."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    partial: Counter[tuple[str, str, str, str]] = Counter()
    amounts: dict[tuple[str, str, str, str], Counter[str]] = {}
    for row in rows:
        group = (row.object, row.kind, row.action, row.consequence)
        counts[group] += 1
        partial[group] += bool(row.not_computed)
        amounts.setdefault(group, Counter()).update(row.monthly_amount)
    return [
        Tally(*group, counts[group], dict(amounts[group]), partial[group])
        for group in sorted(counts)
    ]


def spooled(row: DriftRow) -> Spooled:
    """Return what a pending drift's repair needs."""
    assert row.spooled is not None
    return _decoder.decode(row.spooled)


def write_of(difference: Difference) -> Write:
    """Return the write that gives the database Stripe's side, at the revision that was read."""
    assert difference.content is not None
    held = difference.held
    as_of = truth.after_answer(held.as_of if held else None, difference.as_of)
    revision = held.revision if held else None
    return Write(difference.content, as_of, revision, difference.fields)


def write_of_spooled(row: DriftRow) -> Write:
    """Return the same for a drift that waited."""
    waiting = spooled(row)
    content = waiting.content()
    assert content is not None
    as_of = truth.after_answer(waiting.held_as_of, waiting.as_of)
    return Write(content, as_of, waiting.at_revision, row.fields)
