"""Compare all of Stripe with all of the database, window by window."""

from __future__ import annotations

import time
from collections.abc import Iterator

from reconcile.comparison.findings import Findings
from reconcile.comparison.inspector import Inspector
from reconcile.connections import RetryingDatabase
from reconcile.deadline import Watch
from reconcile.streams import Streams
from reconcile.windows.frontier import ROWS, Frontier
from reconcile.windows.window import Window, without
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.repository.progress import Counts, Progress
from shared.repository.rows import boundaries, read_beyond
from shared.stripe.api import StripeApi

_MARGIN = 60
"""Seconds by which a row may seem to come from the future: Stripe's clock is known roughly."""


class Sweep:
    """One comparison of everything that `progress` does not say is done."""

    def __init__(
        self,
        database: RetryingDatabase,
        stripe: StripeApi,
        inspector: Inspector,
        watch: Watch,
        progress: Progress,
    ) -> None:
        """Plan the windows: from the beginning of time until now, cut where the rows lie."""
        self._database = database
        self._inspector = inspector
        self._watch = watch
        self._progress = progress
        self._end = stripe.now(MIRRORED)
        self._began = time.monotonic()
        frontiers: dict[MirroredObject, Frontier] = {}
        for mirrored in MIRRORED:
            left = without(Window(0, self._end), progress.done.get(mirrored.name, []))
            frontiers[mirrored] = Frontier(left, self._cuts(mirrored), lists=len(mirrored.lists))
        self._streams = Streams(frontiers, stripe, watch)

    @property
    def is_drained(self) -> bool:
        """Whether the last windows are under way."""
        return self._streams.is_drained

    def findings(self) -> Iterator[Findings]:
        """Yield what each window comes to, each to be kept before the next one is asked for.

        1. Walk the windows, several at a time.
        2. Ask for the rows that another window should have listed, and that none did.
        3. Ask for the rows that lie in no window.

        What the key may not read, and what decides no access, is left out and noted. Raises what
        stops a run; what was yielded by then stands, and the cursor behind it.
        """
        yield from self._streams.walk(self._inspector.window)
        forbidden = self._progress.forbidden = self._streams.forbidden
        for mirrored in (one for one in MIRRORED if one.name not in forbidden):
            yield from self._inspector.unlisted(mirrored)
            yield from self._beyond(mirrored, int(time.monotonic() - self._began) + _MARGIN)

    def _cuts(self, mirrored: MirroredObject) -> list[int]:
        return self._database.read(lambda connection: boundaries(connection, mirrored, ROWS))

    def _beyond(self, mirrored: MirroredObject, since: int) -> Iterator[Findings]:
        """Ask for each row that lies in no window: without a `created`, or with an impossible one.

        Test clocks run ahead, and a forged event may claim anything: such a row would never be
        compared with Stripe. What a list would leave out is counted, not asked for. Rows of the
        seconds `since` the windows were planned are the webhook's work of tonight, and left to the
        next run.
        """
        beyond = self._database.read(
            lambda connection: read_beyond(connection, mirrored, self._end + since)
        )
        if beyond.ids:
            self._watch.how_far = f"every {mirrored.name} window, but not rows from beyond"
        for object_id in beyond.ids:
            self._watch.require()
            yield self._inspector.objects.single(mirrored, object_id, Window(0, self._end))
        if beyond.absent:
            counts = Counts(database=beyond.absent, in_sync=beyond.absent)
            yield Findings(mirrored=mirrored, window=Window(0, 0), counts=counts)
