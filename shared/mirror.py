"""The heart: read, decide, ask, write.

Of each event its ledger row and the held row are read, then comes a decision without I/O, and one
write that holds only while the row is the one that was read. Whoever loses that race reads and
decides again; no lock is held while Stripe is asked.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec
import psycopg

from shared import log, truth
from shared.database.fault import describe
from shared.database.pool import Database
from shared.errors import (
    DatabaseUnavailable,
    ObjectMissing,
    UnreadableObject,
    WrongAccount,
    WrongKey,
)
from shared.objects.column import LAST_SECOND
from shared.objects.declaration import Content, Held, MirroredObject
from shared.objects.left_out import left_out, would_empty
from shared.repository import ledger
from shared.repository.account import Account, claim_account, read_account
from shared.repository.apply_event import Found, look, write_for_event
from shared.repository.ledger import Entry
from shared.repository.write import Write
from shared.stripe.account import Whose, whose
from shared.stripe.api import Retrieved, StripeApi
from shared.stripe.event import Event
from shared.truth import Verdict

_log = logging.getLogger(__name__)

T = TypeVar("T")

_ACCOUNT_SECONDS = 1.5
"""What the question for our account's id may take of the time for an event's answer."""


class Outcome(enum.StrEnum):
    """What became of an event."""

    APPLIED = "applied"
    STALE = "stale"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    FAILED = "failed"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event, for the answer and the log.

    `asked`: questions to Stripe. `retries`: races lost against other writers of the same row.
    """

    outcome: Outcome
    event_id: str
    event_type: str
    object_id: str | None = None
    asked: int = 0
    retries: int = 0
    error: str | None = None


class Mirror:
    """Applies events to the database; threads share it."""

    def __init__(self, database: Database, stripe: StripeApi, *, source: str = "webhook") -> None:
        """`source`: `webhook`, or `reconcile` for events that are tried again.

        Those are history: what they tell of is asked for, and none replaces a row by its snapshot.
        """
        self._database = database
        self._stripe = stripe
        self._source = source
        self._account: Account | None = None
        self._id_of_key: str | None = None
        self._is_key_asked = False

    def apply_event(self, event: Event, payload: bytes, deadline: float) -> Receipt:
        """Apply an event once and return what became of it, committed.

        An object that neither its event nor Stripe's answer lets us read and write ends as FAILED
        in the ledger, with its payload, and so does one that Stripe has no more. Raises
        WrongAccount; DatabaseUnavailable and StripeUnavailable (also past `deadline`, on
        time.monotonic()), WrongKey among these, after which nothing was written.
        """
        is_told = self._whose(event, deadline) is Whose.OURS
        mirrored = event.mirrored
        if mirrored is None:
            return Receipt(outcome=Outcome.IGNORED, event_id=event.id, event_type=event.type)
        work = _Work(self._database, self._stripe, event, mirrored, payload, deadline, self._source)
        require_gone = partial(self._require_gone, event, deadline, is_told=is_told)
        return work.apply(require_gone, is_told=is_told)

    def _whose(self, event: Event, deadline: float) -> Whose:
        """Say whose it is, by what the database says by now, and claim one that is nobody's yet."""
        ours = self._account
        if ours is not None and (told := whose(event, ours)) is Whose.OURS:
            return told
        # A nightly run may have entered the account's id in the meantime.
        nobodys = Account(None, self._stripe.livemode)
        held = self._account = self._database.read(read_account, deadline)
        told = whose(event, held or nobodys)
        if told is Whose.OURS and held is None:
            self._account = self._database.read(lambda c: claim_account(c, nobodys), deadline)
        if told is Whose.NOT_TOLD and (held is None or held.id is None):
            told = whose(event, (held or nobodys)._replace(id=self._account_of_key()))
        return told

    def _account_of_key(self) -> str | None:
        """Return it, as far as Stripe tells; asked once, and not entered: it may be another's."""
        if not self._is_key_asked:
            self._id_of_key = self._stripe.account_id(_ACCOUNT_SECONDS)
            self._is_key_asked = True
        return self._id_of_key

    def _require_gone(
        self, event: Event, deadline: float, *, is_told: bool, is_readable: bool
    ) -> None:
        """Raise unless an object that Stripe does not find for our key is gone indeed.

        It is where the key is of the database's account, or knows the event. Of an event that is
        told to be ours it also counts as gone where nobody can know: the event is older than Stripe
        keeps one, or cannot be read and it is not known yet whose the database is.
        """
        ours = self._account
        if ours is not None and ours.livemode != self._stripe.livemode:
            raise WrongKey(event.id)
        if is_told and ours is not None and ours.id is not None:
            of_key = self._account_of_key()
            if of_key == ours.id:
                return
            if of_key is not None:
                raise WrongKey(event.id)
        elif is_told and not is_readable:
            return
        known = self._stripe.knows(event, deadline)
        if known or (known is None and is_told):
            return
        if is_told:
            raise WrongKey(event.id)
        raise WrongAccount(
            "the event names an account, and the key of ours knows neither the event nor its object"
        )


@dataclass
class _Work:
    """One event on its way."""

    database: Database
    stripe: StripeApi
    event: Event
    mirrored: MirroredObject
    payload: bytes
    deadline: float
    source: str
    object_id: str | None = None
    unsaid: frozenset[str] = frozenset()
    require_gone: Callable[[], None] = lambda: None
    asked: int = 0
    retries: int = 0

    def apply(self, require_gone: Callable[..., None], *, is_told: bool) -> Receipt:
        """Bring the row to what Stripe has, by the first of these that does.

        1. Of an event that is told to be ours: by its snapshot.
        2. Where that cannot be read or written, and where it is not told whose it is: by Stripe's
           answer about its object.
        3. Where there is none, or nothing can be made of it either, it fails: if the key is of our
           account, or Stripe has the event. If not, the event is another account's, or the key is.
        """
        self.require_gone = partial(require_gone, is_readable=True)
        reasons: list[str] = []
        steps = [self.event.subject]
        if is_told:
            steps.insert(0, self._snapshot)
        for content in steps:
            try:
                receipt = self._settle(content())
            except _UNFIT as error:
                reasons.append(_words(error))
                if self.asked:
                    break
            except ObjectMissing as error:
                require_gone(is_readable=not reasons)
                reasons.append(str(error))
                break
            else:
                if reasons:
                    log.event(_log, "snapshot.unfit", event_id=self.event.id, reason=reasons[0])
                return receipt
        if not (is_told or self.asked):
            require_gone(is_readable=False)
        return self._fail(", and ".join(dict.fromkeys(reasons)))

    def _snapshot(self) -> Content:
        content = self.event.content(self.mirrored)
        if self.event.carried is not None:
            self.unsaid = left_out(self.mirrored, self.event.carried, content)
        return content

    def _settle(self, content: Content) -> Receipt:
        """Read, decide and write until one write holds."""
        self.object_id = content.id
        while True:
            found = self.database.read(self._read, self.deadline)
            if found.done not in {None, Outcome.FAILED}:
                return self._receipt(Outcome.DUPLICATE)
            outcome = self._try(content, found)
            if outcome is not None:
                return self._receipt(outcome)
            self.retries += 1
            if time.monotonic() >= self.deadline:
                raise DatabaseUnavailable(f"lost {self.retries} races for one row")

    def _fail(self, error: str) -> Receipt:
        """Keep the event in the ledger with its payload and why it could not be applied."""
        if not self._enter(Outcome.FAILED, error):
            return self._receipt(Outcome.DUPLICATE)
        return self._receipt(Outcome.FAILED, error)

    def _read(self, connection: psycopg.Connection[object]) -> Found:
        assert self.object_id is not None
        return look(connection, self.mirrored, self.object_id, self.event.id)

    def _try(self, content: Content, found: Found) -> Outcome | None:
        """Decide once and write once; None where another writer was first."""
        held, incoming = found.held, self.event.interval
        if content.items is not None:
            content = self.mirrored.completed(content, held)
        verdict = self._decide(content, found, incoming)
        if verdict is Verdict.STALE:
            return Outcome.STALE if self._enter(Outcome.STALE) else None
        if verdict is Verdict.ASK:
            self.asked += 1
            retrieved = self._retrieve(content)
            content = self.mirrored.completed(
                retrieved.content, held or _as_held(content, incoming)
            )
            as_of = truth.after_answer(held.as_of if held else None, retrieved.as_of)
        else:
            as_of = truth.after_event(held.as_of if held else None, incoming)
        ended = incoming.upper if verdict is Verdict.REPLACE else None
        return self._write(content, held, as_of, ended)

    def _retrieve(self, content: Content) -> Retrieved:
        """Ask Stripe, which of some objects knows no more once they are deleted.

        That there was one is told by a snapshot that can be read, or by a thin event.
        """
        try:
            return self.stripe.retrieve(self.mirrored, content.id, self.deadline)
        except ObjectMissing as missing:
            is_told = bool(content.row) or self.event.related is not None
            if self.mirrored.known_when_deleted or not is_told:
                raise
            self.require_gone()
            return Retrieved(self.mirrored.deleted(content.id), missing.as_of)

    def _decide(self, content: Content, found: Found, incoming: truth.Interval) -> Verdict:
        """Apply the rule; a snapshot that is not whole may be old, but is never the answer.

        Nor is one that would empty what it does not speak of.
        """
        held = found.held
        if content.items is None:
            is_old = held is not None and incoming.upper <= held.as_of.lower
            return Verdict.STALE if is_old else Verdict.ASK
        fields = {} if held is None else self.mirrored.differences(held, content)
        verdict = truth.decide(
            held.as_of if held else None,
            incoming,
            equal=held is not None and not fields,
            held_is_terminal=held is not None and self.mirrored.is_terminal(held.row),
            incoming_is_terminal=self.mirrored.is_terminal(content.row),
            compared=LAST_SECOND if self.source == "reconcile" else found.compared,
        )
        is_doubtful = verdict is Verdict.REPLACE and would_empty(fields, self.unsaid)
        return Verdict.ASK if is_doubtful else verdict

    def _write(
        self, content: Content, held: Held | None, as_of: truth.Interval, ended: int | None
    ) -> Outcome | None:
        fields = {} if held is None else self.mirrored.differences(held, content)
        outcome = Outcome.APPLIED if fields or held is None else Outcome.UNCHANGED
        write = Write(content, as_of, held.revision if held else None, fields)
        entry = self._entry(outcome)
        try:
            # Where its connection breaks it runs again: at another revision it writes nothing.
            written = self.database.read(
                lambda connection: write_for_event(
                    connection, self.mirrored, write, entry, ended=ended
                ),
                self.deadline,
            )
        except psycopg.errors.UniqueViolation as error:
            return _unless_done(error, None)
        return outcome if written else None

    def _enter(self, outcome: Outcome, error: str | None = None) -> bool:
        """Write the ledger row alone; False where another process has done the event."""
        entry = self._entry(outcome, error)
        try:
            self.database.read(lambda connection: ledger.enter(connection, entry), self.deadline)
        except psycopg.errors.UniqueViolation as violation:
            return _unless_done(violation, False)
        return True

    def _entry(self, outcome: Outcome, error: str | None = None) -> Entry:
        return Entry(
            event_id=self.event.id,
            type=self.event.type,
            object_id=self.object_id,
            created=self.event.created,
            api_version=self.event.api_version,
            source=self.source,
            outcome=outcome,
            error=error,
            payload=self.payload,
        )

    def _receipt(self, outcome: Outcome, error: str | None = None) -> Receipt:
        return Receipt(
            outcome=outcome,
            event_id=self.event.id,
            event_type=self.event.type,
            object_id=self.object_id,
            asked=self.asked,
            retries=self.retries,
            error=error,
        )


def _as_held(content: Content, as_of: truth.Interval) -> Held | None:
    """Return a snapshot as if it were held: an answer may leave out what only the event tells."""
    return Held(content.row, content.items or (), as_of, 0, None) if content.row else None


def _unless_done(error: psycopg.errors.UniqueViolation, lost: T) -> T:
    """Return `lost` if the event is done already; a rule of somebody's own is not a lost race."""
    if error.diag.constraint_name != "events_done_once":
        raise error
    return lost


_UNFIT = (UnreadableObject, psycopg.DataError, psycopg.IntegrityError)
"""What says that a content can be read by nobody, or that the database cannot hold it."""


def _words(error: Exception) -> str:
    return describe(error) if isinstance(error, psycopg.Error) else str(error)
