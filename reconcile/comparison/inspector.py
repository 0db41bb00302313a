"""Look at one window on both sides. Reads only; threads share the inspector."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from reconcile.comparison.compare import (
    Difference,
    Listed,
    compare_one,
    compare_window,
    may_be_absent,
)
from reconcile.comparison.consequence import grants
from reconcile.comparison.findings import Findings, is_at, is_listed_in
from reconcile.comparison.known_rows import KnownRows, fingerprints
from reconcile.comparison.object_inspector import ObjectInspector
from reconcile.comparison.sides import never_listed, take_step
from reconcile.connections import RetryingDatabase
from reconcile.deadline import Watch
from reconcile.windows.frontier import Span
from reconcile.windows.listing import Step, walk
from reconcile.windows.window import Window
from shared import truth
from shared.errors import (
    DeadlineReached,
    Interrupted,
    StripeError,
    UnreadableObject,
)
from shared.objects.declaration import Held, MirroredObject
from shared.repository.rows import recorded_created
from shared.repository.window import WindowRow, WindowRows
from shared.stripe.api import StripeApi

MOST_PAGES = 20
"""Pages after which a window is kept and its rest becomes a window of its own."""

_MOST_FOUND = 400
"""Differences after which a window is kept in the same way: they are what a run holds in memory."""

_MOST_ASKED = 50
"""Questions after which a window's rest becomes a window of its own: each costs a request."""


Questions = dict[str, tuple[bool, int]]
"""What must be asked for: whether a list names it, and its `created`."""


class Inspector:
    """Compares Stripe with the database; `grace` in seconds."""

    def __init__(
        self,
        database: RetryingDatabase,
        stripe: StripeApi,
        *,
        objects: ObjectInspector,
        grace: int,
        access: frozenset[str],
        known_rows: KnownRows,
        watch: Watch,
    ) -> None:
        """`objects` looks at those of which a list may not speak; `watch` may stop it meanwhile."""
        self._database = database
        self._stripe = stripe
        self._grace = grace
        self._access = access
        self._known_rows = known_rows
        self._watch = watch
        self.objects = objects
        self._moved_rows = objects.moved_rows

    def window(self, mirrored: MirroredObject, span: Span) -> Findings:
        """Compare a span, or as much of its upper part as is enough for one time.

        The rows are read before Stripe is asked, so each difference may be written at the revision
        that was read. What one of several lists has shown ahead is older than they are: it replaces
        none that is younger than a list may lag, and so nothing that was written since.

        Raises StripeUnavailable, StripeRefused, StripeUnreadable, ListingBroken,
        DatabaseUnavailable.
        """
        rows = self._known_rows.rows(mirrored, Window(span.gte, span.lt))
        known = rows.known.keys() | rows.rows.keys() | rows.irregular.keys()
        unlisted = never_listed(mirrored, rows)
        memory = self._known_rows.memory(mirrored, rows)
        found = Findings(mirrored=mirrored, window=Window(span.lt, span.lt))
        asked: Questions = {}
        begun: int | None = None
        try:
            for number, step in enumerate(walk(self._stripe, mirrored, span, memory), 1):
                begun = step.asked if begun is None else begun
                if self._take_in(found, rows, step, asked, known) or span.is_stopped:
                    break
                is_full = number >= MOST_PAGES or found.differences >= _MOST_FOUND
                left = len(rows.known) + len(rows.rows.keys() - unlisted)
                if step.floor < step.ceiling and (is_full or span.may_leave(left)):
                    break
        except (StripeError, Interrupted, DeadlineReached) as error:
            # Near the deadline there is no answer any more; what came before it stands.
            is_over = span.is_stopped or not isinstance(error, StripeError)
            if not is_over or asked or found.window.gte >= found.window.lt:
                raise
        assert begun is not None
        found.tell_unreadable()
        for object_id, (is_listed, _) in asked.items():
            self._watch.require()
            is_new = is_listed and object_id not in known
            if is_listed:
                self._moved_rows.note_listed(mirrored, object_id)
            self._ask(found, object_id, is_listed=is_listed, is_new=is_new, begun=begun)
        return found

    def _take_in(
        self,
        found: Findings,
        rows: WindowRows,
        step: Step,
        asked: Questions,
        known: AbstractSet[str],
    ) -> bool:
        """Compare a step, and return whether the window ends with it.

        Each question costs a request, and a window is kept whole or not at all. So it ends where
        the questions are enough, within a step if need be: one that is full of them would never
        be done before the deadline.
        """
        before = rows.copy()
        look, questions = self._compared(found.mirrored, rows, step, known)
        room = _MOST_ASKED - len(asked)
        is_full = len(questions) >= room
        if len(questions) > room:
            newest = sorted((created for _, created in questions.values()), reverse=True)
            floor = newest[max(room, 1) - 1] + 1
            if floor >= step.ceiling and asked:
                return True
            if (floor := min(floor, step.ceiling - 1)) > step.floor:
                step = step.above(floor)
                look, questions = self._compared(found.mirrored, before, step, known)
        found.add(look)
        found.window = Window(step.floor, found.window.lt)
        for name, question in questions.items():
            # What a list names after all, at another `created` than its row's, is not left out.
            if question[0] or name not in asked:
                asked[name] = question
        for name in self._moved_rows.note(look, known):
            if name in asked and not asked[name][0]:
                del asked[name]
        return is_full

    def _compared(
        self, mirrored: MirroredObject, rows: WindowRows, step: Step, known: AbstractSet[str]
    ) -> tuple[Findings, Questions]:
        """Compare one step without asking; returns too what must be asked for."""
        created = mirrored.decoded.index["created"]
        access = self._access if mirrored.access else frozenset[str]()
        if mirrored.unlisted is not None:
            for part in step.parts:
                for one in (*part.objects, *part.same):
                    self._moved_rows.note_listed(mirrored, one.id)
        counts, overtaken = self._known_rows.take(mirrored, rows, step, access)
        found, held, listed = take_step(mirrored, rows, step, access)
        for name in self._moved_rows.done(mirrored, held) - listed.keys():
            del held[name]
            found.counts.database -= 1
        found.counts.add(counts)
        found.counts.granting += sum(grants(mirrored, row, self._access) for row in held.values())
        questions: Questions = {}
        doubtful = [name for name in overtaken if name in listed]
        unheld = listed.keys() - held.keys() - set(doubtful)
        doubtful += self._strangers(found, unheld, listed, step, known)
        for name in doubtful:
            questions[name] = True, int(listed.pop(name).content.row[created] or 0)
        comparison = compare_window(mirrored, held, listed)
        found.counts.in_sync += comparison.in_sync
        for difference in comparison.differences:
            found.sort(difference, step.asked, self._grace)
        for name in comparison.doubtful:
            questions[name] = True, int(listed[name].content.row[created] or 0)
        moved = self._moved(mirrored, comparison.absent, step)
        for name in comparison.absent:
            if name not in moved:
                questions.setdefault(name, (False, mirrored.created(held[name].row) or 0))
        return found, questions

    def _strangers(
        self,
        found: Findings,
        unheld: AbstractSet[str],
        listed: dict[str, Listed],
        step: Step,
        known: AbstractSet[str],
    ) -> list[str]:
        """Compare what is listed here but has its row in another window, or has only just got one.

        Or is named for the first time, where lists need not name it. `unheld`: the ids without a
        row here; what is compared leaves `listed`, and what is equal is recognised from now on.

        A row's `created` may have drifted like any other field. The rows are read after the page,
        and yet it may replace them where it speaks for them: whatever was written in between is
        then of a snapshot that had ended ten minutes before the page was asked for. Returns the
        others, which must be asked for.
        """
        names = [name for name in unheld if listed[name].content.items is not None]
        if not names:
            return []
        mirrored = found.mirrored
        rows = self._known_rows.again(mirrored, names)
        held = {name: row.held(mirrored) for name, row in rows.rows.items()} | rows.irregular
        equal: list[WindowRow] = []
        doubtful: list[str] = []
        for name, row in held.items():
            content, as_of = listed[name]
            difference = compare_one(mirrored, name, row, content, as_of)
            if difference is not None and not truth.speaks_for(as_of, row.as_of):
                doubtful.append(name)
                continue
            del listed[name]
            if name not in known:
                self._count_stranger(found, row, step.window)
            if difference is None:
                found.counts.in_sync += 1
                equal += [rows.rows[name]] if name in rows.rows else []
            else:
                found.sort(difference, step.asked, self._grace)
        for part in step.parts:
            found.equal += fingerprints(equal, part.bodies)
        return doubtful

    def _moved(self, mirrored: MirroredObject, absent: list[str], step: Step) -> set[str]:
        """Return the absent rows that another window should list, by what was recorded of them.

        Where none has, they are `unlisted`.
        """
        if not absent:
            return set()
        recorded = self._database.read(
            lambda connection: recorded_created(connection, mirrored, absent)
        )
        return self._moved_rows.expect(mirrored, recorded, step.window, step.asked)

    def unlisted(self, mirrored: MirroredObject) -> Iterator[Findings]:
        """Ask for the rows that should have been listed in another window, and were in none.

        To be used when every window has been compared. One that is back in its place by now has
        been compared there. A run that goes on from another asks for those, too, that the other
        has seen listed.
        """
        begun = self._stripe.now([mirrored])
        for name in self._moved_rows.missed(mirrored):
            self._watch.require()
            found = Findings(mirrored=mirrored, window=Window(0, 0))
            difference: Difference | None = None
            try:
                difference = self.objects.look(mirrored, name).difference
            except UnreadableObject as error:
                found.unreadable[name] = str(error)
                found.tell_unreadable()
            if difference and (difference.kind != "differs" or "created" in difference.fields):
                found.sort(difference, begun, self._grace)
            yield found

    def _ask(
        self, found: Findings, object_id: str, *, is_listed: bool, is_new: bool, begun: int
    ) -> None:
        """Ask for one object of which the list may not speak, and enter what comes of it.

        `is_new`: a list names it, and the window had no row of it when it was read.
        """
        mirrored, covered = found.mirrored, found.window
        try:
            held, content, _, difference = self.objects.look(mirrored, object_id)
        except UnreadableObject as error:
            found.unreadable[object_id] = str(error)
            found.tell_unreadable()
            return
        if not is_listed and content is not None:
            if is_listed_in(mirrored, content, Window(0, begun)) and not is_listed_in(
                mirrored, content, covered
            ):
                return  # its own window lists it and looks at it
            found.counts.stripe += 1
            found.note_left_out(content, begun)
        elif held is not None and is_new:
            self._count_stranger(found, held, covered)
        if difference is None:
            found.counts.in_sync += 1
        else:
            found.sort(difference, begun, self._grace)

    def _count_stranger(self, found: Findings, row: Held, window: Window) -> None:
        """Count a row that the window did not have when it was read, and that its list names.

        One that lies elsewhere is counted there: in sync where no list need name it.
        """
        if is_at(found.mirrored, row.row, window):
            found.counts.database += 1
        elif may_be_absent(found.mirrored, row):
            found.counts.in_sync -= 1
