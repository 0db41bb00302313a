"""Rows that claim another `created` than Stripe: in one window they are listed, in another absent.

What a run knows of them, so that each is compared where it is listed and nowhere asked for. Threads
share it; each set is only added to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from reconcile.comparison.findings import Findings
from reconcile.windows.window import Window
from shared.objects.declaration import Held, MirroredObject

_MOST = 100_000
"""Rows that are remembered, about 15 MB; whatever is beyond is asked for."""

Name = tuple[str, str]
"""Which object it is, and its id."""


class MovedRows:
    """Remembers where a list has spoken of such a row, and where one should."""

    def __init__(self) -> None:
        self._listed: set[Name] = set()
        self._counted: set[Name] = set()
        self._expected: set[Name] = set()

    def note(self, look: Findings, known: AbstractSet[str]) -> list[str]:
        """Remember the rows of a step that lie elsewhere, and return them.

        `known`: the rows that lie in the window of the step, and are counted there.
        """
        names = [
            difference.id
            for difference in look.waiting
            if difference.held is not None and "created" in difference.fields
        ]
        for name in names:
            self.note_listed(look.mirrored, name)
            if name in known:
                _add(self._counted, (look.mirrored.name, name))
        return names

    def note_listed(self, mirrored: MirroredObject, name: str) -> None:
        """Remember that a list has named an object whose row may lie elsewhere."""
        _add(self._listed, (mirrored.name, name))

    def is_listed(self, mirrored: MirroredObject, name: str) -> bool:
        """Whether a list has spoken of this row already."""
        return (mirrored.name, name) in self._listed

    def done(self, mirrored: MirroredObject, held: Mapping[str, Held]) -> set[str]:
        """Return those of a portion's rows that an earlier portion of their window has listed."""
        return {name for name in held if (mirrored.name, name) in self._counted}

    def expect(
        self, mirrored: MirroredObject, recorded: Mapping[str, int], here: Window, end: int
    ) -> set[str]:
        """Remember absent rows of which another `created` was recorded, before `end`.

        Returns them: nothing needs to be asked about them here.
        """
        return {
            name
            for name, created in recorded.items()
            if 0 <= created < end
            and not here.has(created)
            and _add(self._expected, (mirrored.name, name))
        }

    def missed(self, mirrored: MirroredObject) -> Iterable[str]:
        """Return the rows that were expected in another window and listed in none."""
        names = self._expected - self._listed
        return sorted(name for kind, name in names if kind == mirrored.name)


def _add(names: set[Name], name: Name) -> bool:
    """Add a name where there is room; return whether it is there."""
    if len(names) < _MOST:
        names.add(name)
    return name in names
