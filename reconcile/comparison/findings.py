"""What was found in one window, and how each finding is entered."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from reconcile.comparison.compare import Difference
from reconcile.windows.window import Window
from shared import log
from shared.errors import ListingBroken
from shared.objects.column import Row
from shared.objects.declaration import Content, MirroredObject
from shared.repository.fingerprints import Fingerprint
from shared.repository.progress import Counts
from shared.truth import LIST_LAG

_log = logging.getLogger(__name__)

_MOST_LEFT_OUT = 20
"""Objects left out by a window's list after which no more are asked for: the list is broken."""


@dataclass(kw_only=True)
class Findings:
    """What was found in a window.

    `missing` may be inserted at once; `waiting` must not be written before every window has been
    compared, or is so young that its event may still be on its way. `confirmed`: rows that say what
    Stripe answered, to take the answer's time. `equal`: what was found equal and is to be
    recognised from now on. `counts`: stripe, database, in_sync, recognised, granting, left_out,
    unreadable. `unreadable`: objects that cannot be read, and why, still to be told. `again`: the
    one object of which this is a further look; `is_nowhere`: neither side has it.
    """

    mirrored: MirroredObject
    window: Window
    missing: list[Difference] = field(default_factory=list)
    waiting: list[Difference] = field(default_factory=list)
    confirmed: list[Difference] = field(default_factory=list)
    equal: list[Fingerprint] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    unreadable: dict[str, str] = field(default_factory=dict)
    again: str | None = None
    is_nowhere: bool = False

    @property
    def differences(self) -> int:
        """How many differences are held."""
        return len(self.missing) + len(self.waiting)

    def add(self, look: Findings) -> None:
        """Add what a further look at the same window has found."""
        self.missing += look.missing
        self.waiting += look.waiting
        self.equal += look.equal
        self.counts.add(look.counts)
        self.unreadable.update(look.unreadable)

    def sort(self, difference: Difference, begun: int, grace: int) -> None:
        """Insert what is missing with its window; let the rest, and the youngest, wait.

        `begun`: when the window's list was asked for, on Stripe's clock.
        """
        content = difference.content
        if content is not None and difference.held is None:
            created = content.row[self.mirrored.decoded.index["created"]]
            if int(created or 0) < begun - grace:
                self.missing.append(difference)
                return
        self.waiting.append(difference)

    def tell_unreadable(self) -> None:
        """Count and log the objects that cannot be read, each once."""
        for object_id, reason in self.unreadable.items():
            self.counts.unreadable += 1
            tell_unreadable(self.mirrored, object_id, reason)
        self.unreadable.clear()

    def note_left_out(self, content: Content, begun: int) -> None:
        """Count what a sound list would have named: neither young, nor deleted, nor on a clock.

        Of objects that lists may leave out it is nothing. Raises ListingBroken when that is too
        often to be chance.
        """
        mirrored = self.mirrored
        if mirrored.unlisted is not None:
            return
        created = mirrored.decoded.index["created"]
        young = int(content.row[created] or 0) >= begun - LIST_LAG
        if young or mirrored.is_deleted(content.row) or mirrored.is_on_test_clock(content.row):
            return
        self.counts.left_out += 1
        if self.counts.left_out >= _MOST_LEFT_OUT:
            raise ListingBroken(self.counts.left_out)
        log.event(
            _log,
            "list.left_out",
            level=logging.WARNING,
            object=mirrored.name,
            object_id=content.id,
        )


def tell_unreadable(mirrored: MirroredObject, object_id: str, reason: str) -> None:
    """Log that an object cannot be read."""
    log.event(
        _log,
        "object.unreadable",
        level=logging.ERROR,
        object=mirrored.name,
        object_id=object_id,
        error=reason,
    )


def is_listed_in(mirrored: MirroredObject, content: Content, window: Window) -> bool:
    """Return whether Stripe's lists show the object in this window, for certain."""
    return is_at(mirrored, content.row, window) and mirrored.is_listed(content.row)


def is_at(mirrored: MirroredObject, row: Row, window: Window) -> bool:
    """Return whether a row's `created` lies in the window."""
    created = mirrored.created(row)
    return created is not None and window.gte <= created < window.lt
