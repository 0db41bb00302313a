"""What becomes of an event that is history: its ledger row, by what is known of its object."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from shared.errors import (
    NotAnEvent,
    SubscriptionSyncError,
    UnreadableObject,
    WrongAccount,
)
from shared.mirror import Outcome
from shared.objects.declaration import MirroredObject
from shared.repository.account import Account
from shared.repository.ledger import Entry, Kept
from shared.stripe.account import whose
from shared.stripe.api import ListedEvent
from shared.stripe.event import Event, decode_event
from shared.truth import Interval
from shared.wording import error_text

WAITS = "its row waits: what differs from Stripe is not repaired yet"
"""Why an event is no history yet: a run that is refused or stopped must not keep Stripe's own
repetition of it from the row."""

LATER = "its object decides no access, so it is looked at when the repairs are done"
"""Why an event is put off: each look is a request, and no lockout is to wait for thousands."""

NOWHERE = UnreadableObject("$.data.object", "neither Stripe nor the database has such an object")
"""What a look says of an object that is gone on both sides: no more than its event can be read."""

_LONGEST_WORD = 255

Sent = ListedEvent | Kept
"""An event from Stripe's list, or one from the ledger."""

Subject = tuple[MirroredObject, str]
"""The object that an event tells of."""


Began = Mapping[str, int]
"""From when on (epoch, Stripe's clock) the webhook was to bring events, by their type."""


class Decision(NamedTuple):
    """What becomes of an event: its ledger row, None where it gets none, and what is wrong."""

    sent: Sent
    entry: Entry | None
    error: SubscriptionSyncError | None

    @property
    def is_for_good(self) -> bool:
        """Whether no later try changes it, by this version of the product and with this key."""
        return isinstance(self.error, NotAnEvent | WrongAccount)

    def was_expected(self, began: Began) -> bool:
        """Whether the webhook was to bring it."""
        since = began.get(self.sent.type)
        return not self.is_for_good and since is not None and self.sent.created >= since

    @property
    def is_put_off(self) -> bool:
        """Whether its object is looked at after the repairs."""
        return self.entry is not None and self.entry.error == LATER

    @property
    def may_be_entered_later(self) -> bool:
        """Whether the next run has to try it again."""
        return self.error is not None and self.entry is None and not self.is_for_good


class PastEvent(NamedTuple):
    """An event and what it tells of: `subject` is None, with the reason, where nobody can say.

    `error` beside a subject: why its snapshot cannot be read. `created`: that of the object, None
    where no list names it.
    """

    sent: Sent
    event: Event | None
    subject: Subject | None
    error: SubscriptionSyncError | None
    created: int | None = None

    @classmethod
    def read(cls, sent: Sent, account: Account) -> PastEvent:
        """Read an event: whose it is, and of which object.

        Where it is not told whose it is, the look at the object tells: its snapshot writes no row.
        """
        try:
            event = decode_event(sent.body)
            whose(event, account)
        except (NotAnEvent, WrongAccount) as error:
            return cls(sent, None, None, error)
        if event.mirrored is None:
            return cls(sent, event, None, UnreadableObject("$.type", "not mirrored"))
        mirrored, created = event.mirrored, None
        try:
            content = event.content(mirrored)
        except UnreadableObject as error:
            return cls(sent, event, _named(event, mirrored), error)
        if content.row and mirrored.is_listed(content.row):
            created = mirrored.created(content.row)
        return cls(sent, event, (mirrored, content.id), None, created)

    @property
    def interval(self) -> Interval:
        """When its snapshot was true."""
        assert self.event is not None
        return self.event.interval

    @property
    def is_of_deletion(self) -> bool:
        """Whether it tells that its object was deleted."""
        return self.subject is not None and self.sent.type == self.subject[0].deleted_by

    def decided(
        self,
        looked: Mapping[Subject | None, Outcome | SubscriptionSyncError],
        waiting: AbstractSet[tuple[str, str]],
        later: AbstractSet[Subject],
    ) -> Decision:
        """Return what becomes of it, now that its object was looked at if it had to be.

        `waiting`: the objects whose difference waits for its repair; `later`: those whose look is
        put off.
        """
        if self.subject in later:
            return Decision(self.sent, self._entry(Outcome.FAILED, LATER), None)
        if self.subject is not None and (self.subject[0].name, self.subject[1]) in waiting:
            return Decision(self.sent, self._entry(Outcome.FAILED, WAITS), None)
        found = looked.get(self.subject, Outcome.STALE)
        if found is NOWHERE and self.error is None:
            # Both sides agree, so an event that can be read is done.
            found = Outcome.UNCHANGED
        error = self.error if self.error and (self.subject is None or found is NOWHERE) else found
        if isinstance(error, Outcome):
            return Decision(self.sent, self._entry(error, None), None)
        if self._is_kept_as_failed(error):
            return Decision(self.sent, self._entry(Outcome.FAILED, error_text(error)), error)
        return Decision(self.sent, None, error)

    def _is_kept_as_failed(self, error: SubscriptionSyncError) -> bool:
        """Say whether it is kept with its payload: a later version may read it. Of others, not."""
        if isinstance(error, WrongAccount):
            return isinstance(self.sent, Kept)
        if isinstance(error, NotAnEvent):
            return _is_word(self.sent.id) and _is_word(self.sent.type)
        return isinstance(error, UnreadableObject)

    def _entry(self, outcome: Outcome, error: str | None) -> Entry:
        return Entry(
            event_id=self.sent.id,
            type=self.sent.type,
            object_id=self.subject[1] if self.subject else None,
            created=self.sent.created,
            api_version=self.event.api_version if self.event else None,
            source="reconcile",
            outcome=outcome,
            error=error,
            payload=self.sent.body,
        )


def _named(event: Event, mirrored: MirroredObject) -> Subject | None:
    """Return the object of an event whose snapshot cannot be read, if that much can."""
    try:
        return mirrored, event.subject().id
    except UnreadableObject:
        return None


def _is_word(text: str) -> bool:
    """Whether the ledger can hold it as an id or a type."""
    return 0 < len(text) <= _LONGEST_WORD and text.isascii() and text.isprintable()
