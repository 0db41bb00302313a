"""Every SQL statement as text, so that a change is seen: `make sql` writes the files anew."""

from __future__ import annotations

from pathlib import Path

from shared.repository.__main__ import shown, statements
from shared.repository.statement import Statement

FOLDER = Path(__file__).parent


def files() -> dict[Path, str]:
    """Return the files by their place: `room.sql`, and `object/room.sql` for an object's tables."""
    rooms: dict[Path, list[Statement]] = {}
    for name, one in statements().items():
        room, _, *mirrored = name.split(".")
        rooms.setdefault(FOLDER.joinpath(*mirrored, f"{room}.sql"), []).append(one)
    return {path: shown(those) for path, those in rooms.items()}


def write() -> None:
    """Write them, and remove what is none of them any more."""
    wanted = files()
    for path in set(FOLDER.rglob("*.sql")) - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
