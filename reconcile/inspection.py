"""Look at one window, or at one object, on both sides. Reads only."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reconcile.compare import Difference, compare_one, compare_window
from reconcile.consequence import grants
from reconcile.listing import Listing, list_window
from reconcile.windows import Window
from shared import log
from shared.columns import Row
from shared.database import Database
from shared.errors import ListingBroken, ObjectMissing, UnreadableObject
from shared.mirrored import Content, Held, MirroredObject
from shared.objects import SUBSCRIPTION
from shared.repository import mirror_rows
from shared.stripe_api import StripeApi
from shared.truth import LIST_LAG, Interval

_log = logging.getLogger(__name__)

_MOST_ASKED = 50
"""Questions a window, one request or two each, at most where it can be made smaller."""

_MOST_LEFT_OUT = 20
"""Objects left out by a window's list after which no more are asked for: the list is broken."""


@dataclass(kw_only=True)
class Inspected:
    """What was found in a window.

    `missing` may be inserted at once; `waiting` must not be written before every window has been
    compared, or is so young that its event may still be on its way. `counts`: stripe, database,
    in_sync, granting, left_out, unreadable.
    """

    mirrored: MirroredObject
    window: Window
    missing: list[Difference] = field(default_factory=list)
    waiting: list[Difference] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


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
    ) -> None:
        self._database = database
        self._stripe = stripe
        self._grace = grace
        self._access = access
        self._still = still

    def window(self, mirrored: MirroredObject, window: Window) -> Inspected:
        """Compare a window, or as much of its upper part as one listing covers.

        The rows are read before Stripe is asked, so each difference may be written at the revision
        that was read. Raises StripeUnavailable, StripeRefused, StripeUnreadable,
        DatabaseUnavailable.
        """
        rows = self._database.read(
            lambda connection: list(
                mirror_rows.read_window(connection, mirrored, window.gte, window.lt)
            )
        )
        listing = list_window(self._stripe, mirrored, window)
        found, asked = self._compared(mirrored, rows, listing)
        if len(asked) > _MOST_ASKED and (smaller := _smaller(listing, asked)) is not None:
            found, asked = self._compared(mirrored, rows, smaller)
        for object_id in asked:
            self._still()
            self._ask(found, object_id, listing)
        return found

    def _compared(
        self, mirrored: MirroredObject, rows: list[Held], listing: Listing
    ) -> tuple[Inspected, dict[str, int]]:
        """Compare without asking; returns too what must be asked for, with its `created`."""
        created = mirrored.decoded.index["created"]
        held = {
            str(row.row[0]): row
            for row in rows
            if int(row.row[created] or 0) >= listing.covered.gte
        }
        found = Inspected(mirrored=mirrored, window=listing.covered)
        found.counts["database"] = len(held)
        found.counts["stripe"] = len(listing.objects) + len(listing.unreadable)
        found.counts["granting"] = sum(self._grants(mirrored, row) for row in held.values())
        for object_id, reason in listing.unreadable.items():
            held.pop(object_id, None)
            self._note_unreadable(found, object_id, reason)
        strangers = self._strangers(mirrored, held, listing)
        known = {name: one for name, one in listing.objects.items() if name not in strangers}
        comparison = compare_window(mirrored, held, known)
        found.counts["in_sync"] = comparison.in_sync
        for difference in comparison.differences:
            self._sort(found, difference, listing.asked)
        asked = {
            name: int(listing.objects[name].content.row[created] or 0)
            for name in (*comparison.doubtful, *strangers)
        }
        asked.update((name, int(held[name].row[created] or 0)) for name in comparison.absent)
        return found, asked

    def _strangers(
        self, mirrored: MirroredObject, held: Mapping[str, Held], listing: Listing
    ) -> set[str]:
        """Return what is listed here but has its row in another window, or has only just got one.

        A row's `created` may have drifted like any other field.
        """
        new = [name for name in listing.objects if name not in held]
        if not new:
            return set()
        return set(
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
            self._note_unreadable(found, object_id, str(error))
            return found
        found.counts["database"] = int(held is not None)
        found.counts["granting"] = int(held is not None and self._grants(mirrored, held))
        if content is not None and looked_at is not None and _in(mirrored, content, looked_at):
            return found
        found.counts["stripe"] = int(content is not None)
        if difference is not None:
            found.waiting.append(difference)
        elif held is not None or content is not None:
            found.counts["in_sync"] = 1
        return found

    def _ask(self, found: Inspected, object_id: str, listing: Listing) -> None:
        """Ask for one object of which the list may not speak, and enter what comes of it."""
        mirrored = found.mirrored
        try:
            held, content, difference = self.one(mirrored, object_id)
        except UnreadableObject as error:
            self._note_unreadable(found, object_id, str(error))
            return
        if object_id not in listing.objects and content is not None:
            if _in(mirrored, content, Window(0, listing.end)) and not _in(
                mirrored, content, listing.covered
            ):
                return  # its own window lists it and looks at it
            found.counts["stripe"] += 1
            self._note_left_out(found, content, listing.asked)
        elif held is not None and not _at(mirrored, held.row, listing.covered):
            found.counts["database"] += held.row[mirrored.decoded.index["created"]] is None
        if difference is None:
            found.counts["in_sync"] += 1
        else:
            self._sort(found, difference, listing.asked)

    def _sort(self, found: Inspected, difference: Difference, asked: int) -> None:
        """Insert what is missing with its window; let the rest, and the youngest, wait."""
        created = found.mirrored.decoded.index["created"]
        content = difference.content
        if content is not None and difference.held is None:
            is_old = int(content.row[created] or 0) < asked - self._grace
        else:
            is_old = False
        if is_old:
            found.missing.append(difference)
        else:
            found.waiting.append(difference)

    def _note_unreadable(self, found: Inspected, object_id: str, reason: str) -> None:
        found.counts["unreadable"] += 1
        log.event(
            _log,
            "object.unreadable",
            level=logging.ERROR,
            object=found.mirrored.name,
            object_id=object_id,
            error=reason,
        )

    def _note_left_out(self, found: Inspected, content: Content, asked: int) -> None:
        """Count what a sound list would have named: neither young, nor deleted, nor on a clock."""
        mirrored = found.mirrored
        created = mirrored.decoded.index["created"]
        young = int(content.row[created] or 0) >= asked - LIST_LAG
        if young or mirrored.is_deleted(content.row) or _on_test_clock(mirrored, content):
            return
        found.counts["left_out"] += 1
        if found.counts["left_out"] >= _MOST_LEFT_OUT:
            raise ListingBroken(found.counts["left_out"])
        log.event(
            _log,
            "list.left_out",
            level=logging.WARNING,
            object=mirrored.name,
            object_id=content.id,
        )

    def _grants(self, mirrored: MirroredObject, row: Held) -> bool:
        return mirrored is SUBSCRIPTION and grants(row, self._access)


def _on_test_clock(mirrored: MirroredObject, content: Content) -> bool:
    """Return whether Stripe leaves it out of lists on purpose: it lives on a test clock."""
    position = mirrored.decoded.index.get("test_clock")
    return position is not None and content.row[position] is not None


def _smaller(listing: Listing, asked: Mapping[str, int]) -> Listing | None:
    """Return the upper part of a listing in which few enough must be asked for, if it has one.

    Each question costs a request, and a window is kept whole or not at all: one that is full of
    questions would never be done before the deadline.
    """
    cut = sorted(asked.values(), reverse=True)[_MOST_ASKED] + 1
    if not listing.covered.gte < cut < listing.covered.lt:
        return None
    return listing.above(cut)


def _in(mirrored: MirroredObject, content: Content, window: Window) -> bool:
    """Return whether Stripe's lists show the object in this window."""
    return _at(mirrored, content.row, window) and not _on_test_clock(mirrored, content)


def _at(mirrored: MirroredObject, row: Row, window: Window) -> bool:
    created = row[mirrored.decoded.index["created"]]
    return created is not None and window.gte <= int(created) < window.lt
