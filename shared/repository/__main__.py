"""Every SQL statement of the repository, as it stands: `python -m shared.repository`."""

from __future__ import annotations

import argparse
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

import shared.repository
from shared.objects.catalogue import MIRRORED
from shared.repository.statement import KNOWN, Statement

_ABOUT = """Print every SQL statement by which the product reads and writes its tables.

Each with its name, which is that of the function that executes it, and what it is for. Of those on
an object's tables there is one for each object. What is sent has $1 for %(name)s, and the schema's
name where that is not `stripe`. Migrations are SQL files of their own.
"""


def statements() -> dict[str, Statement]:
    """Return all of them by name, in order."""
    for room in pkgutil.iter_modules(shared.repository.__path__):
        if room.name != "__main__":
            import_module(f"{shared.repository.__name__}.{room.name}")
    found: list[Statement] = []
    for one in KNOWN:
        found += [one] if isinstance(one, Statement) else [one.of(each) for each in MIRRORED]
    return {one.name: one for one in sorted(found, key=lambda one: one.name)}


def shown(those: Iterable[Statement]) -> str:
    """Return statements as SQL that can be read, and pasted once its placeholders are filled."""
    return "\n".join(f"-- {one.name}\n-- {one.purpose}\n{one.text.rstrip()};\n" for one in those)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print them, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.repository",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", nargs="?", default="", help="only this one, those of this room, or of this function"
    )
    given = parser.parse_args(arguments)
    known = statements()
    found = [one for name, one in known.items() if f"{name}.".startswith(f"{given.name}.")]
    found = found if given.name else list(known.values())
    if not found:
        names = "\n  ".join(known)
        parser.error(f"no statement is called {given.name}; there are\n  {names}")
    sys.stdout.write(shown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
