"""Look at one window, or at one object, on both sides. Reads only; threads share the inspector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconcile.compare import Difference, Listed, compare_one, compare_window, sift
from reconcile.consequence import grants
from reconcile.frontier import Span
from reconcile.inspected import Inspected, is_at, is_listed_in
from reconcile.listing import Step, walk
from reconcile.windows import Window
from shared.database import Database
from shared.errors import ObjectMissing, UnreadableObject
from shared.mirrored import Content, Held, MirroredObject
from shared.objects import SUBSCRIPTION
from shared.repository import mirror_rows, window_rows
from shared.repository.window_rows import WindowRow, WindowRows
from shared.stripe_api import StripeApi
from shared.truth import Interval

MOST_PAGES = 20
"""Pages after which a window is kept and its rest becomes a window of its own."""

_MOST_FOUND = 400
"""Differences after which a window is kept in the same way: they are what a run holds in memory."""

_MOST_ASKED = 50
"""Questions after which a window's rest becomes a window of its own: each costs a request or two,
and what is not kept before the deadline would have to be asked again."""


class Inspector:
    """Compares Stripe with the database; `grace` in seconds."""

    def __init__(
        self,
        database: Database,
        stripe: StripeApi,
        *,
        grace: int,
        access: frozenset[str],
        still: Callable[[], None],
        is_enough: Callable[[], bool],
    ) -> None:
        """`still` may stop the run between two questions; `is_enough` ends a window early."""
        self._database = database
        self._stripe = stripe
        self._grace = grace
        self._access = access
        self._still = still
        self._is_enough = is_enough

    def window(self, mirrored: MirroredObject, span: Span) -> Inspected:
        """Compare a span, or as much of its upper part as is enough for one time.

        The rows are read before Stripe is asked, so each difference may be written at the revision
        that was read. Raises StripeUnavailable, StripeRefused, StripeUnreadable, ListingBroken,
        DatabaseUnavailable.
        """
        rows = self._database.read(
            lambda connection: window_rows.read_window(connection, mirrored, span.gte, span.lt)
        )
        found = Inspected(mirrored=mirrored, window=Window(span.lt, span.lt))
        asked: dict[str, bool] = {}
        begun: int | None = None
        for number, step in enumerate(walk(self._stripe, mirrored, span), 1):
            begun = step.asked if begun is None else begun
            self._compare(found, rows, step, asked)
            found.window = Window(step.floor, span.lt)
            if number >= MOST_PAGES or _is_full(found, asked) or self._is_enough():
                break
        assert begun is not None
        for object_id, is_listed in asked.items():
            self._still()
            self._ask(found, object_id, is_listed=is_listed, begun=begun)
        return found

    def _compare(
        self, found: Inspected, rows: WindowRows, step: Step, asked: dict[str, bool]
    ) -> None:
        """Compare one step without asking.

        Enters into `asked` what must be asked for, and whether a list names it.
        """
        mirrored, counts = found.mirrored, found.counts
        access = self._access if mirrored is SUBSCRIPTION else frozenset[str]()
        held: dict[str, Held] = {}
        listed: dict[str, Listed] = {}
        unreadable: list[tuple[str, str]] = []
        for part in step.parts:
            sifted = sift(mirrored, rows.rows, part.objects, access)
            counts["stripe"] += len(part.objects) + len(part.unreadable)
            for name in ("in_sync", "database"):
                counts[name] += sifted.in_sync
            counts["granting"] += sifted.granting
            unreadable += sifted.unreadable
            unreadable += ((one.id, str(one.error)) for one in part.unreadable)
            for one, row in sifted.odd:
                held_row = row.held(mirrored) if row else rows.odd.pop(one.id, None)
                content = _content(mirrored, one, unreadable)
                if content is None:
                    counts["database"] += held_row is not None
                    continue
                listed[content.id] = Listed(content, part.as_of)
                if held_row is not None:
                    held[content.id] = held_row
        for name, reason in unreadable:
            counts["database"] += int(_take(rows, name) is not None)
            found.note_unreadable(name, reason)
        held |= _unlisted(mirrored, rows, step.floor)
        counts["database"] += len(held)
        counts["granting"] += sum(self._grants(mirrored, row) for row in held.values())
        for stranger in self._strangers(mirrored, held, listed):
            del listed[stranger]
            asked[stranger] = True
        comparison = compare_window(mirrored, held, listed)
        counts["in_sync"] += comparison.in_sync
        for difference in comparison.differences:
            found.sort(difference, step.asked, self._grace)
        asked.update(dict.fromkeys(comparison.doubtful, True))
        for name in comparison.absent:
            asked.setdefault(name, False)

    def _strangers(
        self, mirrored: MirroredObject, held: dict[str, Held], listed: dict[str, Listed]
    ) -> list[str]:
        """Return what is listed here but has its row in another window, or has only just got one.

        A row's `created` may have drifted like any other field.
        """
        new = [name for name in listed if name not in held]
        if not new:
            return []
        return list(
            self._database.read(lambda connection: mirror_rows.read_many(connection, mirrored, new))
        )

    def one(
        self, mirrored: MirroredObject, object_id: str
    ) -> tuple[Held | None, Content | None, Difference | None]:
        """Read the row, then ask Stripe for the object, and compare.

        Raises UnreadableObject besides what `window` raises.
        """
        _, held = self._database.read(
            lambda connection: mirror_rows.read_held(connection, mirrored, object_id, None)
        )
        content: Content | None = None
        try:
            content, as_of = self._stripe.retrieve(mirrored, object_id)
        except ObjectMissing as missing:
            as_of = Interval(*missing.as_of)
        return held, content, compare_one(mirrored, object_id, held, content, as_of)

    def single(
        self, mirrored: MirroredObject, object_id: str, looked_at: Window | None = None
    ) -> Inspected:
        """Look at one object as if it were a window.

        One that Stripe's lists show in `looked_at` has been compared there and is only counted.
        """
        found = Inspected(mirrored=mirrored, window=Window(0, 0))
        try:
            held, content, difference = self.one(mirrored, object_id)
        except UnreadableObject as error:
            found.note_unreadable(object_id, str(error))
            return found
        found.counts["database"] = int(held is not None)
        found.counts["granting"] = int(held is not None and self._grants(mirrored, held))
        if looked_at is not None and content and is_listed_in(mirrored, content, looked_at):
            return found
        found.counts["stripe"] = int(content is not None)
        if difference is not None:
            found.waiting.append(difference)
        elif held is not None or content is not None:
            found.counts["in_sync"] = 1
        return found

    def _ask(self, found: Inspected, object_id: str, *, is_listed: bool, begun: int) -> None:
        """Ask for one object of which the list may not speak, and enter what comes of it."""
        mirrored, covered = found.mirrored, found.window
        try:
            held, content, difference = self.one(mirrored, object_id)
        except UnreadableObject as error:
            found.note_unreadable(object_id, str(error))
            return
        if not is_listed and content is not None:
            if is_listed_in(mirrored, content, Window(0, begun)) and not is_listed_in(
                mirrored, content, covered
            ):
                return  # its own window lists it and looks at it
            found.counts["stripe"] += 1
            found.note_left_out(content, begun)
        elif held is not None and not is_at(mirrored, held.row, covered):
            found.counts["database"] += held.row[mirrored.decoded.index["created"]] is None
        if difference is None:
            found.counts["in_sync"] += 1
        else:
            found.sort(difference, begun, self._grace)

    def _grants(self, mirrored: MirroredObject, row: Held) -> bool:
        return mirrored is SUBSCRIPTION and grants(row, self._access)


def _is_full(found: Inspected, asked: dict[str, bool]) -> bool:
    return len(asked) >= _MOST_ASKED or len(found.missing) + len(found.waiting) >= _MOST_FOUND


def _content(
    mirrored: MirroredObject, one: Any, unreadable: list[tuple[str, str]]
) -> Content | None:
    try:
        return mirrored.content(one)
    except UnreadableObject as error:
        unreadable.append((one.id, str(error)))
        return None


def _unlisted(mirrored: MirroredObject, rows: WindowRows, floor: int) -> dict[str, Held]:
    """Take out the rows that a list should have named by now: those from `floor` on."""
    left: list[WindowRow] = []
    for row in rows.rows.values():  # newest first
        if row.content.created < floor:
            break
        left.append(row)
    held = {row.content.id: row.held(mirrored) for row in left}
    created = mirrored.decoded.index["created"]
    held |= {name: row for name, row in rows.odd.items() if int(row.row[created] or 0) >= floor}
    for name in held:
        _take(rows, name)
    return held


def _take(rows: WindowRows, name: str) -> object:
    return rows.rows.pop(name, None) or rows.odd.pop(name, None)
