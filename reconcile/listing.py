"""A window's pages from Stripe.

A `starting_after` cursor inside a `created` range has been seen to return an empty page and so to
skip silently. So a window is walked by narrowing `created[lte]` to the last second seen, and ids
that were seen already are dropped. Only inside a second that holds more than a page the cursor is
used, and then without a range.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from reconcile.windows import Window
from shared.errors import StripeUnreadable
from shared.mirrored import Content, MirroredObject
from shared.stripe_api import ListedPage, StripeApi
from shared.truth import Interval

MOST_PAGES = 20
"""Pages after which a window is split: what is left becomes a window of its own."""


class Listed(NamedTuple):
    """One object of a list and the interval in which it was true."""

    content: Content
    as_of: Interval


class Listing(NamedTuple):
    """What Stripe lists of a window.

    `covered` is the part of the window, its upper end, that was listed wholly; `asked` is when the
    first page was asked for, on Stripe's clock. `unreadable`: (id, reason) of objects that are
    listed but cannot be read. `created` is that column's position.
    """

    objects: dict[str, Listed]
    unreadable: dict[str, str]
    covered: Window
    asked: int
    created: int

    @property
    def end(self) -> int:
        """Where this run's windows end: nothing was asked for that is younger."""
        return self.asked

    def above(self, cut: int) -> Listing:
        """Return the part of the listing whose `created` is `cut` or later."""
        objects = {
            name: one
            for name, one in self.objects.items()
            if int(one.content.row[self.created] or 0) >= cut
        }
        return self._replace(objects=objects, covered=Window(cut, self.covered.lt))


def list_window(stripe: StripeApi, mirrored: MirroredObject, window: Window) -> Listing:
    """List a window, or its upper part where it holds more than MOST_PAGES pages.

    Raises StripeUnavailable, StripeRefused, StripeUnreadable (also for a list that breaks off).
    """
    objects: dict[str, Listed] = {}
    unreadable: dict[str, str] = {}
    created = mirrored.decoded.index["created"]
    asked: int | None = None
    covered = window
    for number, listed in enumerate(_pages(stripe, mirrored, window), 1):
        asked = listed.answered.lower if asked is None else asked
        for content in listed.page.contents:
            if window.gte <= int(content.row[created] or 0) < window.lt:
                objects.setdefault(content.id, Listed(content, listed.as_of))
        unreadable.update((name, str(error)) for name, error in listed.page.unreadable)
        oldest = listed.page.oldest
        full = number >= MOST_PAGES and listed.page.has_more
        if full and oldest is not None and window.gte <= oldest < window.lt - 1:
            covered = Window(oldest + 1, window.lt)
            break
    assert asked is not None
    return Listing(objects, unreadable, covered, asked, created).above(covered.gte)


def _pages(stripe: StripeApi, mirrored: MirroredObject, window: Window) -> Iterator[ListedPage]:
    parameters: dict[str, str | int] = {"created[gte]": window.gte, "created[lt]": window.lt}
    reached: int | None = None
    while True:
        listed = stripe.page(mirrored, parameters)
        yield listed
        page = listed.page
        if not page.has_more:
            return
        if page.oldest is None:
            raise StripeUnreadable(f"GET {mirrored.path}: an empty page that claims to have more")
        if page.oldest < window.gte:
            return
        if reached is not None and page.oldest >= reached:
            # More than a page within one second: only the cursor goes on.
            parameters = {"starting_after": _last_id(page.contents, mirrored)}
        else:
            parameters = {"created[gte]": window.gte, "created[lte]": page.oldest}
        reached = page.oldest


def _last_id(contents: list[Content], mirrored: MirroredObject) -> str:
    if not contents:
        raise StripeUnreadable(f"GET {mirrored.path}: no object of a whole page can be read")
    return contents[-1].id
