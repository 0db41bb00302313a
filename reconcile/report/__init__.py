"""The report: what a run found, and its renderings."""

from pathlib import Path


def formats() -> list[str]:
    """Return the formats of a report, by name: `as_json.py` is one, and holds `write`."""
    return sorted(path.stem.removeprefix("as_") for path in Path(__path__[0]).glob("as_*.py"))
