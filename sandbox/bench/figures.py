"""Figures with their budgets and yardsticks, as a table and as JSON."""

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from sandbox.telling import show, table

RESULTS = Path("bench.json")


class Figure(Struct, frozen=True, kw_only=True):
    """One measured value, None where it could not be measured.

    `budget`: what it may be at most, or at least. `yardstick`: the same work done the plain way on
    this machine, in the same unit. `told` says what the numbers alone do not.
    """

    name: str
    value: float | None
    unit: str = ""
    budget: float | None = None
    at_least: bool = False
    yardstick: float | None = None
    against: str = ""
    told: str = ""

    @property
    def met(self) -> bool | None:
        """None where there is no budget."""
        if self.budget is None or self.value is None:
            return None
        return self.value >= self.budget if self.at_least else self.value <= self.budget

    @property
    def ratio(self) -> float | None:
        """How many times better than the yardstick."""
        if not self.yardstick or not self.value:
            return None
        return self.value / self.yardstick if self.at_least else self.yardstick / self.value


class Part(Struct, kw_only=True):
    """What one part of the benchmark found: its figures, and its points for the plots."""

    figures: list[Figure] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, value: float | None, unit: str = "", **more: Any) -> None:
        self.figures.append(Figure(name=name, value=value, unit=unit, **more))


def read(path: Path) -> dict[str, Part]:
    """The parts of an earlier benchmark, none if there was none."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Part])


def write(path: Path, parts: dict[str, Part]) -> None:
    """Write parts beside those that an earlier benchmark left; a part measured anew replaces it."""
    whole = read(path) | parts
    path.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")


def machine() -> dict[str, Any]:
    """Where and when it was measured."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def show_part(title: str, part: Part) -> None:
    """One table, and below it what the numbers alone do not say."""
    where = part.machine
    busy = where["load_before"] > where["cores"] / 2
    show(f"\n{title}")
    show(
        f"{where['cores']} x {where['processor']}, Python {where['python']}, load before"
        f" {where['load_before']:.1f}"
        + (": BUSY WITH OTHER THINGS, times and rates say little" if busy else "")
    )
    notes = [figure for figure in part.figures if figure.told]
    table(
        ("figure", "value", "budget", "met", "yardstick", "ratio", ""),
        [_row(figure, notes) for figure in part.figures],
    )
    for number, figure in enumerate(notes, 1):
        show(f"  {number}) {figure.told}")


def missed(parts: dict[str, Part]) -> list[Figure]:
    return [figure for part in parts.values() for figure in part.figures if figure.met is False]


def _row(figure: Figure, notes: Sequence[Figure]) -> tuple[object, ...]:
    sign = ">=" if figure.at_least else "<="
    return (
        figure.name,
        "-" if figure.value is None else f"{number(figure.value)} {figure.unit}".rstrip(),
        "" if figure.budget is None else f"{sign} {number(figure.budget)}",
        {None: "", True: "yes", False: "NO"}[figure.met],
        "" if figure.yardstick is None else f"{number(figure.yardstick)} {figure.against}".rstrip(),
        "" if figure.ratio is None else f"{number(figure.ratio)} x",
        f"{notes.index(figure) + 1})" if figure in notes else "",
    )


def number(value: float) -> str:
    """Three significant digits, and whole numbers whole."""
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:.{digits}f}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
