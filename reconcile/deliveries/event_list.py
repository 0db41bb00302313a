"""Stripe's event list, from what the last look at it was shown on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from reconcile.connections import RetryingDatabase
from reconcile.deliveries.past_event import Began, Sent
from reconcile.deliveries.prefetch import Prefetch
from reconcile.windows.window import Window, without
from shared.objects.catalogue import EVENT_TYPES, MIRRORED
from shared.repository import ledger
from shared.stripe.api import ListedEvent, StripeApi

LOOK_BACK = 26 * 3600
"""Seconds by which a look at the event list begins before what the last one was shown.

Stripe's list has shown events hours late. So an event that is shown within a day is still found,
by a run that begins up to two hours later than the night before. It costs a request for each
hundred events of that time, each night.
"""

_DAYS = 30
_TYPES = 20

_PAGES = 4
"""Pages that are read ahead: a page is half a megabyte."""


class EventPage(NamedTuple):
    """A page of Stripe's event list, and the part of the time that is done with it."""

    events: list[ListedEvent]
    covered: Window


class EventList:
    """One look at Stripe's event list, newest first, read ahead of whoever goes through it.

    `reached`: up to when the last look has come, None where there was none. `since`: from when on
    it is news that an event did not come. `began`: by event type, from when on there was a webhook
    that applies it, as far as anybody knows. `until`: where the look ends. All in epoch seconds of
    Stripe's time: no other clock knows which events there are.
    """

    def __init__(
        self,
        database: RetryingDatabase,
        stripe: StripeApi,
        until: int,
        done: Sequence[tuple[int, int]],
        new: Collection[str],
    ) -> None:
        """Begin to ask for events up to `until`, without the ranges that are `done`.

        It begins well before what the last run's look was shown, or with the oldest event that
        ever arrived, at most 30 days ago. `new`: the objects that were never compared before.
        Where others were, these are new to this version of the product: the one before answered
        `ignored` to their events, and none was expected. A cursor that lies ahead was never shown
        by any list.
        """
        self._stripe = stripe
        self.until = until
        reached = database.read(ledger.looked_until)
        self.reached = None if reached is None or reached > until else reached
        oldest = until - _DAYS * 86400
        first = database.read(ledger.oldest)
        if self.reached is not None:
            since = max(oldest, self.reached - LOOK_BACK)
        elif reached is not None:
            since = oldest
        else:
            since = until if first is None else max(oldest, first)
        looked = database.read(ledger.first_look)
        began = [seen for seen in (first, looked) if seen is not None and seen <= until]
        self.began: Began = {
            event_type: min(began, default=since)
            for event_type, mirrored in EVENT_TYPES.items()
            if mirrored.name not in new or len(new) == len(MIRRORED)
        }
        self.since = since if self.reached is None else self.reached
        left = without(Window(since, until + 1), done) if since <= until else []
        self._pages = Prefetch(self._listed(left), _PAGES)

    def __iter__(self) -> Iterator[EventPage]:
        """Yield page by page. Raises StripeRefused, StripeUnavailable, StripeUnreadable."""
        return iter(self._pages)

    def is_news(self, sent: Sent) -> bool:
        """Whether an event was made after what the last look was shown."""
        return self.reached is None or sent.created > self.reached

    def close(self) -> None:
        """Read no further ahead."""
        self._pages.close()

    def _listed(self, windows: Sequence[Window]) -> Iterator[EventPage]:
        names = sorted(EVENT_TYPES)
        groups = [names[start : start + _TYPES] for start in range(0, len(names), _TYPES)]
        for window in reversed(windows):
            for types in groups[:-1]:
                for page in self._stripe.events(types, window.gte, window.lt - 1):
                    yield EventPage(page, Window(window.lt, window.lt))
            ceiling = window.lt
            for page in self._stripe.events(groups[-1], window.gte, window.lt - 1):
                # Of the last second seen there may be more.
                floor = min((event.created + 1 for event in page), default=ceiling)
                yield EventPage(page, Window(min(floor, ceiling), ceiling))
                ceiling = min(floor, ceiling)
            yield EventPage([], Window(window.gte, ceiling))
