"""Look at one object on both sides. Reads only; threads share the inspector."""

from __future__ import annotations

from typing import NamedTuple

from reconcile.comparison.compare import Difference, compare_one
from reconcile.comparison.consequence import grants
from reconcile.comparison.findings import Findings, is_listed_in
from reconcile.comparison.moved_rows import MovedRows, Name
from reconcile.connections import RetryingDatabase
from reconcile.windows.window import Window
from shared.errors import ObjectMissing, UnreadableObject
from shared.objects.declaration import Content, Held, MirroredObject
from shared.repository.rows import read_held
from shared.stripe.api import StripeApi
from shared.truth import Interval


class BothSides(NamedTuple):
    """Both sides of one object. `as_of`: when Stripe's was true; `difference`: None if none."""

    held: Held | None
    content: Content | None
    as_of: Interval
    difference: Difference | None


class ObjectInspector:
    """Compares single objects; `access`: the statuses that let a customer in.

    `moved_rows`: what lists have said of rows that lie elsewhere.
    """

    def __init__(
        self, database: RetryingDatabase, stripe: StripeApi, access: frozenset[str]
    ) -> None:
        self.moved_rows = MovedRows()
        self._database = database
        self._stripe = stripe
        self._access = access
        self._deleted: set[Name] = set()

    def note_deleted(self, mirrored: MirroredObject, object_id: str) -> None:
        """Note that an event tells of its deletion.

        Where Stripe knows no more of one then, the answer that there is none says the same.
        """
        if not mirrored.known_when_deleted:
            self._deleted.add((mirrored.name, object_id))

    def is_listed(self, mirrored: MirroredObject, object_id: str) -> bool:
        """Whether a list of this run has named an object that lists need not name."""
        return self.moved_rows.is_listed(mirrored, object_id)

    def look(self, mirrored: MirroredObject, object_id: str) -> BothSides:
        """Read the row, then ask Stripe for the object, and compare.

        Raises UnreadableObject besides StripeUnavailable, StripeRefused, StripeUnreadable and
        DatabaseUnavailable.
        """
        held = self._held(mirrored, object_id)
        content: Content | None = None
        try:
            content, as_of = self._stripe.retrieve(mirrored, object_id)
        except ObjectMissing as missing:
            as_of = missing.as_of
            if held is not None and (mirrored.name, object_id) in self._deleted:
                content = mirrored.deleted(object_id)
        difference = compare_one(mirrored, object_id, held, content, as_of)
        return BothSides(held, content, as_of, difference)

    def single(
        self, mirrored: MirroredObject, object_id: str, looked_at: Window | None = None
    ) -> Findings:
        """Look at one object as if it were a window.

        One that Stripe's lists show in `looked_at` has been compared there and is only counted.
        Without that no comparison is remembered, so a row that is right is confirmed.
        """
        found = Findings(mirrored=mirrored, window=Window(0, 0))
        if looked_at is not None and self.moved_rows.is_listed(mirrored, object_id):
            return self._only_counted(found, object_id)
        try:
            held, content, as_of, difference = self.look(mirrored, object_id)
        except UnreadableObject as error:
            found.counts.database = int(looked_at is not None)  # then it is a row's id
            found.unreadable[object_id] = str(error)
            found.tell_unreadable()
            return found
        found.counts.database = int(held is not None)
        found.counts.granting = int(held is not None and self._grants(mirrored, held))
        if looked_at is not None and content and is_listed_in(mirrored, content, looked_at):
            return found
        found.counts.stripe = int(content is not None)
        if difference is not None:
            found.waiting.append(difference)
        elif held is not None or content is not None:
            found.counts.in_sync = 1
        if looked_at is None and difference is None and held is not None and content is not None:
            content = mirrored.completed(content, held)
            found.confirmed.append(Difference(object_id, "differs", held, content, as_of, {}))
        return found

    def again(self, mirrored: MirroredObject, object_id: str) -> Findings:
        """Look at an object of which an event tells that the comparison may not know.

        What is missing may be inserted at once: its event is older than the grace time. Raises
        what `look` raises.
        """
        found = Findings(mirrored=mirrored, window=Window(0, 0), again=object_id)
        held, content, _, difference = self.look(mirrored, object_id)
        found.is_nowhere = held is None and content is None
        if difference is not None and difference.held is None:
            found.missing.append(difference)
            # What lists name is counted in its window.
            found.counts.stripe = int(content is None or not mirrored.is_listed(content.row))
        elif difference is not None:
            found.waiting.append(difference)
        return found

    def _only_counted(self, found: Findings, object_id: str) -> Findings:
        """Count a row that was compared where Stripe lists its object."""
        held = self._held(found.mirrored, object_id)
        found.counts.database = int(held is not None)
        found.counts.granting = int(held is not None and self._grants(found.mirrored, held))
        return found

    def _held(self, mirrored: MirroredObject, object_id: str) -> Held | None:
        return self._database.read(
            lambda connection: read_held(connection, mirrored, [object_id]).get(object_id)
        )

    def _grants(self, mirrored: MirroredObject, row: Held) -> bool:
        return grants(mirrored, row, self._access)
