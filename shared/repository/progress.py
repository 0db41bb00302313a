"""How far a run has come, as it is kept with the run: its cursor and its counts."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.errors import NotPermitted

EVENTS = "events"
"""The name under which Stripe's event list stands among the objects: of its cursor, its counts."""

Ranges = list[tuple[int, int]]
"""Ranges `[from, to)` of `created`, in epoch seconds."""


class Counts(msgspec.Struct, kw_only=True):
    """What was counted of one object.

    `stripe`, `database`: how many each side has. `in_sync`: how many of them agree; `recognised`:
    those of them by their fingerprint. `granting`: rows that let a customer in. `left_out`: what a
    list should have named. `unreadable`, `unwritable`: what could not be read, or not be written.
    """

    stripe: int = 0
    database: int = 0
    in_sync: int = 0
    recognised: int = 0
    granting: int = 0
    left_out: int = 0
    unreadable: int = 0
    unwritable: int = 0

    def add(self, other: Counts) -> None:
        """Count what was counted elsewhere, too."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class WebhookCounts(msgspec.Struct, kw_only=True, rename="webhook_{}".format):
    """How many of the `expected` events the webhook `missed`, of those made after `since` (epoch).

    Of what the cursor through the event list has covered: whoever goes on from it counts on.
    """

    missed: int = 0
    expected: int = 0
    since: int = 0


class Progress(msgspec.Struct, kw_only=True):
    """How far a run has come: the ranges compared and the counts, by object name.

    `webhook`: what it missed, None before the event list was looked at. `planned`: how many rows
    there are to compare, None where nobody knows. `drift`: differences found so far.
    `stripe_requests` are this run's own, the rest counts on from the run it resumes. `began`: when
    this run began to compare (epoch, Stripe's clock). `before`: what of `done` was taken over, from
    runs of which the first began at `since`; None where nobody knows. `new`: the objects that none
    had compared before those. `forbidden`: objects that the key may not read, by name, and that
    this run has not compared; known only while it runs.
    """

    done: dict[str, Ranges] = {}
    counts: dict[str, Counts] = {}
    webhook: WebhookCounts | None = None
    planned: dict[str, int | None] = {}
    drift: int = 0
    stripe_requests: int = 0
    phase: str | None = None
    began: int | None = None
    before: dict[str, Ranges] = {}
    since: int | None = None
    new: list[str] = []
    forbidden: dict[str, NotPermitted] = {}

    def of(self, name: str) -> Counts:
        """Return an object's counts, to be counted on."""
        return self.counts.setdefault(name, Counts())

    def compared(self, name: str) -> int:
        """Return how many of an object are compared: rows, or what Stripe has where none were."""
        counts = self.counts.get(name, Counts())
        return counts.stripe if self.planned.get(name) is None else counts.database

    def compared_at(self, name: str, created: int | None) -> int | None:
        """Return when the comparison of this second began, None if it was not compared."""
        if created is None:
            return None
        for ranges, began in ((self.before, self.since), (self.done, self.began)):
            if any(start <= created < stop for start, stop in ranges.get(name, [])):
                return began
        return None

    def draft(self) -> Progress:
        """Return the same, to be moved on within a transaction: it counts once it is committed."""
        done = {name: list(ranges) for name, ranges in self.done.items()}
        counts = {name: msgspec.structs.replace(of) for name, of in self.counts.items()}
        return msgspec.structs.replace(self, done=done, counts=counts)

    def adopt(self, draft: Progress) -> None:
        """Let the cursor and the counts of a draft be this one's."""
        self.done, self.counts = draft.done, draft.counts

    def kept(self) -> dict[str, Any]:
        """Return what is kept of it, by column."""
        webhook = {} if self.webhook is None else {EVENTS: self.webhook}
        return {
            "done": msgspec.json.encode(self.done).decode(),
            "counts": msgspec.json.encode({**self.counts, **webhook}).decode(),
            "planned": msgspec.json.encode(self.planned).decode(),
            "drift": self.drift,
            "new": self.new,
            "stripe_requests": self.stripe_requests,
            "phase": self.phase,
        }
