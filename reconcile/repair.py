"""After the last window: the second look, the gate, the repairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from reconcile.comparison.compare import compare_one
from reconcile.comparison.findings import tell_unreadable
from reconcile.comparison.object_inspector import ObjectInspector
from reconcile.connections import RetryingDatabase
from reconcile.deadline import Watch
from reconcile.gate import Plan
from reconcile.journal.drift import closed, drift, spooled
from reconcile.journal.journal import Journal
from reconcile.streams import answers
from shared.errors import NotPermitted, RepairRefused, UnreadableObject
from shared.objects.catalogue import BY_NAME
from shared.objects.declaration import Held
from shared.repository.drifts import DriftRow
from shared.repository.rows import read_held

_ROUNDS = 5
_PORTION = 40
"""Questions after which their answers are kept."""


class SecondLook:
    """The second look: what the webhook has brought in the meantime is no drift."""

    def __init__(
        self,
        database: RetryingDatabase,
        objects: ObjectInspector,
        journal: Journal,
        watch: Watch,
        access: frozenset[str],
    ) -> None:
        """`watch` may stop it between two steps."""
        self._database = database
        self._objects = objects
        self._journal = journal
        self._watch = watch
        self._access = access

    def look(self, plan: Plan) -> None:
        """Look at everything that waits once more, and put what stands into the plan.

        A difference that this run has found, and whose row is untouched, stands as it was found.
        Where somebody has written the row since, or where an earlier run has found it and Stripe
        may have taken it back, Stripe is asked again. What was answered is kept, though the run be
        stopped meanwhile.
        """
        with closing(self._journal.pending()) as batches:
            for batch in batches:
                self._watch.step()
                held = self._held(batch)
                told = [self._told(row, held[row.object].get(row.object_id)) for row in batch]
                seen = [(row, now) for row, now in zip(batch, told, strict=True) if now is not None]
                self._say(plan, seen)
                unsure = [row for row, now in zip(batch, told, strict=True) if now is None]
                for start in range(0, len(unsure), _PORTION):
                    self._ask_again(plan, unsure[start : start + _PORTION])

    def _ask_again(self, plan: Plan, rows: list[DriftRow]) -> None:
        """Ask about a few, and keep what was answered though the run be stopped meanwhile."""
        seen: list[tuple[DriftRow, DriftRow]] = []
        try:
            for one in self.asked(rows):
                seen.append(one)  # noqa: PERF402 (what came before it is stopped counts)
        finally:
            self._say(plan, seen)

    def _say(self, plan: Plan, seen: list[tuple[DriftRow, DriftRow]]) -> None:
        self._journal.amend([before for before, _ in seen], [after for _, after in seen])
        for _, after in seen:
            plan.add(after)

    def asked(self, rows: Sequence[DriftRow]) -> Iterator[tuple[DriftRow, DriftRow]]:
        """Ask Stripe for objects again, and yield what was said of each and what is to be said."""
        for row, answer in answers(self.ask, rows, self._watch):
            yield row, answer.result()

    def ask(self, row: DriftRow) -> DriftRow:
        """Ask Stripe for one object again and return what is now to be said of it."""
        mirrored = BY_NAME[row.object]
        found = spooled(row).content()
        if found is not None and mirrored.is_deleted(found.row):
            self._objects.note_deleted(mirrored, row.object_id)
        try:
            difference = self._objects.look(mirrored, row.object_id).difference
        except UnreadableObject as error:
            tell_unreadable(mirrored, row.object_id, str(error))
            return closed(row, "refused")
        except NotPermitted:
            if mirrored.access is not None:
                raise
            return closed(row, "refused")
        if difference is None:
            return closed(row, "in_flight")
        return drift(mirrored, difference, self._access)

    def _held(self, rows: list[DriftRow]) -> dict[str, dict[str, Held]]:
        held: dict[str, dict[str, Held]] = {}
        for name, mirrored in BY_NAME.items():
            ids = [row.object_id for row in rows if row.object == name]
            held[name] = self._database.read(
                lambda connection, mirrored=mirrored, ids=ids: read_held(  # type: ignore[misc]
                    connection, mirrored, ids
                )
            )
        return held

    def _told(self, row: DriftRow, held: Held | None) -> DriftRow | None:
        """Return what is to be said of a difference now, None where Stripe must be asked."""
        found = spooled(row)
        mirrored = BY_NAME[row.object]
        now = compare_one(mirrored, row.object_id, held, found.content(), found.as_of)
        if now is None:
            return closed(row, "in_flight")
        is_mine = found.as_of.upper > (self._journal.progress.began or 0)
        if is_mine and (held.revision if held else None) == found.at_revision:
            return row
        return None


def repair(
    journal: Journal,
    second_look: SecondLook,
    plan: Plan,
    refused: Mapping[str, RepairRefused],
    watch: Watch,
) -> tuple[str, ...]:
    """Write everything that waits, each at the revision that was read before Stripe was asked.

    Objects that the gate has `refused` are left, and so are those whose plan is not whole yet;
    `watch` may stop it between two batches and while Stripe is asked: what waits goes on waiting.

    What loses its revision is asked for again, passes the gate with all that is written, and is
    tried again; a row that somebody keeps writing is in flight, and theirs. Returns why objects
    were refused by the end.
    """
    for batch in journal.pending():
        watch.step()
        whole = [row for row in batch if row.object not in plan.later]
        left = [row for row in whole if row.object not in refused]
        for _ in range(_ROUNDS):
            lost = journal.repair(left) if left else []
            if not lost:
                break
            seen = list(second_look.asked(lost))
            journal.amend([before for before, _ in seen], [after for _, after in seen])
            for before, now in seen:
                plan.replace(before, now)
            refused = plan.check()
            left = [row for _, row in seen if row.action == "pending" and row.object not in refused]
        else:
            journal.amend(left, [closed(row, "in_flight") for row in left])
    if refused:
        journal.refuse(refused)
    return tuple(map(str, refused.values()))
