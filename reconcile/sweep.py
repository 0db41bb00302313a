"""Compare all of Stripe with all of the database, window by window."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from reconcile.comparison.findings import Inspected
from reconcile.comparison.inspector import Inspector
from reconcile.deadline import TimeLeft
from reconcile.patient import PatientDatabase
from reconcile.streams import Streams
from reconcile.windows.frontier import ROWS, Frontier
from reconcile.windows.window import Window, without
from shared import log
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.repository import mirror_rows
from shared.repository.runs import Progress
from shared.stripe.api import StripeApi
from shared.wording import share

_log = logging.getLogger(__name__)

_MARGIN = 60
"""Seconds by which a row may seem to come from the future: Stripe's clock is known roughly."""


class Comparison:
    """The comparing part of a run over everything."""

    def __init__(
        self,
        database: PatientDatabase,
        stripe: StripeApi,
        inspector: Inspector,
        streams: Streams,
        time: TimeLeft,
        keep: Callable[[Inspected], None],
    ) -> None:
        self._database = database
        self._stripe = stripe
        self._inspector = inspector
        self._streams = streams
        self._time = time
        self._keep = keep
        self._frontiers: dict[MirroredObject, Frontier] = {}

    def compare(self, progress: Progress) -> None:
        """Compare what `progress` does not say is done; findings go to `keep`.

        Raises what stops a run; what was kept by then stands, and the cursor behind it.
        """
        end = self._stripe.now(MIRRORED[0])
        began = time.monotonic()
        for mirrored in MIRRORED:
            left = without(Window(0, end), progress.done.get(mirrored.name, []))
            self._frontiers[mirrored] = Frontier(left, self._cuts(mirrored))
        self._streams.walk(self._frontiers, self._inspector.window)
        for mirrored in MIRRORED:
            for found in self._inspector.unlisted(mirrored):
                self._keep(found)
            self._compare_beyond(mirrored, end, int(time.monotonic() - began) + _MARGIN)

    def how_far(self) -> str:
        """Say how many windows are done."""
        ended = sum(frontier.ended for frontier in self._frontiers.values())
        planned = sum(frontier.planned for frontier in self._frontiers.values())
        return share(ended, planned, "window")

    def _cuts(self, mirrored: MirroredObject) -> list[int]:
        return self._database.read(
            lambda connection: mirror_rows.boundaries(connection, mirrored, ROWS)
        )

    def _compare_beyond(self, mirrored: MirroredObject, end: int, since: int) -> None:
        """Ask for each row that lies in no window: without a `created`, or with an impossible one.

        Test clocks run ahead, and a forged event may claim anything: such a row would never be
        compared with Stripe. What a list would leave out is counted, not asked for. Rows of the
        seconds `since` the windows were planned are the webhook's work of tonight, and left to the
        next run.
        """
        beyond = self._database.read(
            lambda connection: mirror_rows.read_beyond(connection, mirrored, end + since)
        )
        for object_id in beyond.ids:
            self._time.require(f"every {mirrored.name} window, but not rows from beyond")
            self._keep(self._inspector.single(mirrored, object_id, Window(0, end)))
        if beyond.absent:
            counted = Inspected(mirrored=mirrored, window=Window(0, 0))
            counted.counts.update(database=beyond.absent, in_sync=beyond.absent)
            self._keep(counted)


def note(found: Inspected) -> None:
    """Log what a window came to."""
    log.event(
        _log,
        "window.compared",
        level=logging.DEBUG,
        object=found.mirrored.name,
        gte=found.window.gte,
        lt=found.window.lt,
        counts=dict(found.counts),
    )
