"""How the demo speaks: numbered headings, short paragraphs, commands as one would type them."""

import textwrap
from collections.abc import Sequence

WIDTH = 96


def heading(number: int, title: str, text: str = "") -> None:
    """A chapter's title and its first paragraph."""
    line = f"{number}. {title}"
    print(f"\n\n{line}\n{'-' * len(line)}", flush=True)
    if text:
        print(_filled(text), flush=True)


def say(text: str) -> None:
    """A paragraph of plain sentences."""
    print(f"\n{_filled(text)}", flush=True)


def shell(line: str) -> None:
    """A command as a person would type it."""
    print(f"\n  $ {line}", flush=True)


def show(text: str) -> None:
    """What a command printed."""
    for line in text.rstrip("\n").splitlines():
        print(f"  {line}".rstrip(), flush=True)


def table(names: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    """Columns as wide as their widest value."""
    shown = [tuple("-" if value is None else str(value) for value in row) for row in rows]
    cells = [names, *shown]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    print()
    for row in cells:
        show("  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)))


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH)
