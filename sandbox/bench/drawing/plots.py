"""The plots in docs/, drawn from what `make bench` left in bench.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.bench.box import MIB
from sandbox.bench.drawing.svg import Chart, Line, draw
from sandbox.bench.figures import Part
from sandbox.bench.reconcile.bulk import BUDGET_CPU
from sandbox.bench.reconcile.runs import MILLION
from sandbox.bench.webhook.cost import BUDGET_MS, BUDGET_RATE

FOLDER = Path("docs")


class NotMeasured(Exception):
    """There is nothing to plot; the message says what to run."""


def charts(parts: dict[str, Part]) -> dict[str, Chart]:
    """By file name. Raises NotMeasured."""
    return {**_bulk(_points(parts, "bulk")), **_growth(_points(parts, "growth"))}


def write(parts: dict[str, Part], folder: Path = FOLDER) -> list[Path]:
    """Draw all of them, or raise NotMeasured."""
    drawn = {folder / name: draw(chart) for name, chart in charts(parts).items()}
    for path, text in drawn.items():
        path.write_text(text, encoding="utf-8")
    return list(drawn)


def _points(parts: dict[str, Part], name: str) -> list[dict[str, Any]]:
    points = parts[name].points if name in parts else []
    if len(points) < 2:
        raise NotMeasured(f"bench.json has no sizes of {name!r}: run `make bench` first")
    return points


def _bulk(points: Sequence[dict[str, Any]]) -> dict[str, Chart]:
    across = "subscriptions (one item each), logarithmic"
    ends = (points[0]["rows"], points[-1]["rows"])
    return {
        "bench-reconcile-cpu.svg": Chart(
            title="reconcile: CPU of a whole run",
            x=across,
            y="CPU-seconds, logarithmic",
            log=True,
            lines=[
                _line("first run", points, "rows", "first_cpu"),
                _line("in sync, every field", points, "rows", "whole_cpu"),
                _line("in sync", points, "rows", "in_sync_cpu"),
                Line(
                    name=f"{BUDGET_CPU:g} s a million",
                    points=[(rows, BUDGET_CPU * rows / MILLION) for rows in ends],
                    limit=True,
                ),
            ],
        ),
        "bench-reconcile-memory.svg": Chart(
            title="reconcile: peak memory of all its processes",
            x=across,
            y="MiB",
            lines=[
                _line("first run", points, "rows", "first_peak"),
                _line("in sync, every field", points, "rows", "whole_peak"),
                _line("in sync", points, "rows", "in_sync_peak"),
                _limit("the box", ends, MIB),
            ],
        ),
    }


def _growth(points: Sequence[dict[str, Any]]) -> dict[str, Chart]:
    across = "subscriptions in the table (ten ledger rows each), logarithmic"
    ends = (points[0]["subscriptions"], points[-1]["subscriptions"])
    return {
        "bench-webhook-cpu.svg": Chart(
            title="webhook: CPU an event while tables grow",
            x=across,
            y="milliseconds",
            lines=[
                _line("webhook", points, "subscriptions", "own"),
                _line("PostgreSQL", points, "subscriptions", "database"),
                _limit("budget of the webhook", ends, BUDGET_MS),
            ],
        ),
        "bench-webhook-rate.svg": Chart(
            title="webhook: events a second while tables grow, one worker",
            x=across,
            y="events a second",
            lines=[
                _line("events a second", points, "subscriptions", "rate"),
                _limit("budget", ends, BUDGET_RATE),
            ],
        ),
    }


def _line(name: str, points: Sequence[dict[str, Any]], x: str, y: str) -> Line:
    return Line(name=name, points=[(point[x], point[y]) for point in points])


def _limit(name: str, ends: tuple[float, float], value: float) -> Line:
    return Line(name=name, points=[(end, value) for end in ends], limit=True)
