"""Where a report goes: standard output or a file, in one of the formats.

A report comes after the repairs. So nothing that a terminal, a locale or a pipe cannot show makes
it fail.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO

from reconcile.report import formats
from reconcile.report.model import Report, Totals

RENDERERS: Mapping[str, Callable[[Report, Totals, IO[str]], None]] = {
    name: import_module(f"reconcile.report.as_{name}").write for name in formats()
}
"""By the name of the format."""

_ESCAPED = "backslashreplace"
"""What becomes of characters that an encoding lacks."""


def write(report: Report, totals: Totals, form: str, target: str | None) -> None:
    """Render the report to standard output, or whole to a file or not at all.

    Raises OSError where what it is written to breaks or is full.
    """
    render = RENDERERS[form]
    if target is None:
        _to_standard_output(lambda stream: render(report, totals, stream))
        return
    path = Path(target).resolve()
    if _is_no_file(path):
        # Replacing a device or a pipe would put a file in its place.
        with path.open("w", encoding="utf-8", errors=_ESCAPED) as stream:
            render(report, totals, stream)
        return
    # Private, as temporary files are: the report holds what customers are called.
    with tempfile.NamedTemporaryFile(
        "w",
        encoding="utf-8",
        errors=_ESCAPED,
        dir=path.parent,
        prefix=f".{path.name}.",
        delete=False,
    ) as file:
        try:
            render(report, totals, file)
            if path.exists():
                Path(file.name).chmod(path.stat().st_mode & 0o777)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def can_be_written(target: str) -> bool:
    """Return whether a report could be written there, as far as can be known before it is."""
    try:
        path = Path(target).resolve()
        if _is_no_file(path):
            return not path.is_dir() and os.access(path, os.W_OK)
        return path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)
    except (OSError, ValueError, RuntimeError):  # no way there, a NUL, a circle of links
        return False


def _is_no_file(path: Path) -> bool:
    """Return whether there is something else than a file: a device, a pipe or a folder."""
    return path.exists() and not path.is_file()


def _to_standard_output(render: Callable[[IO[str]], None]) -> None:
    stream = sys.stdout
    if stream is None:  # closed by whoever started us: nobody wants to read
        return
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_ESCAPED)
    render(stream)
    stream.flush()
