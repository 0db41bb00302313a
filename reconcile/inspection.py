"""Look at one window, or at one object, on both sides. Reads only."""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from reconcile.compare import Difference, compare_one, compare_window
from reconcile.consequence import grants
from reconcile.listing import list_window
from reconcile.windows import Window
from shared import log
from shared.database import Database
from shared.errors import ListingBroken, ObjectMissing, UnreadableObject
from shared.mirrored import Content, Held, MirroredObject
from shared.objects import SUBSCRIPTION
from shared.repository import mirror_rows
from shared.stripe_api import StripeApi
from shared.truth import LIST_LAG, Interval

_log = logging.getLogger(__name__)

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
        self, database: Database, stripe: StripeApi, *, grace: int, access: frozenset[str]
    ) -> None:
        self._database = database
        self._stripe = stripe
        self._grace = grace
        self._access = access

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
        comparison = compare_window(mirrored, held, listing.objects)
        found.counts["in_sync"] = comparison.in_sync
        for difference in comparison.differences:
            self._sort(found, difference, listing.asked)
        for object_id in comparison.doubtful:
            self._ask(found, object_id, listing.asked)
        for object_id in comparison.absent:
            content = self._ask(found, object_id, listing.asked)
            if content is not None:
                found.counts["stripe"] += 1
                self._note_left_out(found, content, listing.asked)
        return found

    def one(
        self, mirrored: MirroredObject, object_id: str, now: int
    ) -> tuple[Held | None, Content | None, Difference | None]:
        """Read the row, then ask Stripe for the object, and compare; `now` in epoch seconds.

        Raises UnreadableObject besides what `window` raises.
        """
        _, held = self._database.read(
            lambda connection: mirror_rows.read_held(connection, mirrored, object_id, None)
        )
        content: Content | None = None
        as_of = Interval(now, now + 1)
        with suppress(ObjectMissing):
            content, as_of = self._stripe.retrieve(mirrored, object_id)
        return held, content, compare_one(mirrored, object_id, held, content, as_of)

    def single(self, mirrored: MirroredObject, object_id: str) -> Inspected:
        """Look at one object as if it were a window."""
        now = int(time.time())
        found = Inspected(mirrored=mirrored, window=Window(0, 0))
        try:
            held, content, difference = self.one(mirrored, object_id, now)
        except UnreadableObject as error:
            self._note_unreadable(found, object_id, str(error))
            return found
        found.counts["database"] = int(held is not None)
        found.counts["stripe"] = int(content is not None)
        found.counts["granting"] = int(held is not None and self._grants(mirrored, held))
        if difference is not None:
            found.waiting.append(difference)
        elif held is not None or content is not None:
            found.counts["in_sync"] = 1
        return found

    def _ask(self, found: Inspected, object_id: str, asked: int) -> Content | None:
        """Ask for one object of which the list may not speak, and enter what comes of it."""
        try:
            _, content, difference = self.one(found.mirrored, object_id, asked)
        except UnreadableObject as error:
            self._note_unreadable(found, object_id, str(error))
            return None
        if difference is None:
            found.counts["in_sync"] += 1
        else:
            self._sort(found, difference, asked)
        return content

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
