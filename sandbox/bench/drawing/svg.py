"""Line charts as SVG: a logarithmic x axis, one scale, readable on a light and a dark page."""

import math
from collections.abc import Sequence
from html import escape

from msgspec import Struct

WIDTH, HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 24, 72, 56
_COLOURS = ("#2f81f7", "#d9730d", "#2da44e", "#a371f7")
# Greys and colours with enough contrast on white and on near-black alike; no background of its own.
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #6e7781; }
  .title { font-size: 16px; font-weight: 600; }
  path { fill: none; stroke-width: 2; }
  .grid { stroke: #6e7781; stroke-opacity: 0.25; stroke-width: 1; }
  .axis { stroke: #6e7781; stroke-width: 1; }
  .limit { stroke: #6e7781; stroke-dasharray: 6 4; }
  @media (prefers-color-scheme: dark) { text { fill: #9da7b3; } }
"""


class Line(Struct, frozen=True, kw_only=True):
    """Points (x, y) from left to right. `limit`: a budget, drawn dashed and without marks."""

    name: str
    points: Sequence[tuple[float, float]]
    limit: bool = False


class Chart(Struct, frozen=True, kw_only=True):
    """Labels say the unit. `log`: the y axis is logarithmic too, else it begins at 0."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    log: bool = False


class _Scale:
    """From values to pixels."""

    def __init__(self, low: float, high: float, start: float, end: float, *, log: bool) -> None:
        self._log = log
        self._low, self._high = (math.log10(low), math.log10(high)) if log else (low, high)
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        place = math.log10(value) if self._log else value
        share = (place - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)


def draw(chart: Chart) -> str:
    """The whole file."""
    xs = [x for line in chart.lines for x, _ in line.points]
    ys = [y for line in chart.lines for _, y in line.points]
    x_ticks = _decades(min(xs), max(xs))
    y_ticks = _decades(min(ys), max(ys)) if chart.log else _steps(max(ys))
    across = _Scale(x_ticks[0], x_ticks[-1], _LEFT, WIDTH - _RIGHT, log=True)
    down = _Scale(y_ticks[0], y_ticks[-1], HEIGHT - _BOTTOM, _TOP, log=chart.log)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{escape(chart.title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<text class="title" x="{_LEFT}" y="24">{escape(chart.title)}</text>',
            *_legend(chart.lines),
            *_grid(chart, x_ticks, y_ticks, across, down),
            *(
                part
                for place, line in enumerate(chart.lines)
                for part in _line(place, line, across, down)
            ),
            "</svg>\n",
        ]
    )


def _legend(lines: Sequence[Line]) -> list[str]:
    parts = []
    x = float(_LEFT)
    for place, line in enumerate(lines):
        parts.append(f'<path {_stroke(place, line)} d="M{x:g} 48h24"/>')
        parts.append(f'<text x="{x + 30:g}" y="52">{escape(line.name)}</text>')
        x += 54 + 7.2 * len(line.name)
    return parts


def _grid(
    chart: Chart, x_ticks: Sequence[float], y_ticks: Sequence[float], across: _Scale, down: _Scale
) -> list[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    middle = (_TOP + bottom) / 2
    parts = []
    for tick in y_ticks:
        y = down.at(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:g}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:g}" text-anchor="end">{_short(tick)}</text>')
    for tick in x_ticks:
        x = across.at(tick)
        parts.append(f'<path class="grid" d="M{x:g} {_TOP}V{bottom}"/>')
        parts.append(_text(f'x="{x:g}" y="{bottom + 20}"', _short(tick)))
    return [
        *parts,
        f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>',
        _text(f'x="{(_LEFT + right) / 2:g}" y="{HEIGHT - 12}"', chart.x),
        _text(f'transform="translate(18 {middle:g}) rotate(-90)"', chart.y),
    ]


def _text(where: str, words: str) -> str:
    return f'<text {where} text-anchor="middle">{escape(words)}</text>'


def _line(place: int, line: Line, across: _Scale, down: _Scale) -> list[str]:
    spots = [(across.at(x), down.at(y), x, y) for x, y in line.points]
    path = "L".join(f"{x:g} {y:g}" for x, y, _, _ in spots)
    parts = [f'<path {_stroke(place, line)} d="M{path}"/>']
    if not line.limit:
        colour = _COLOURS[place % len(_COLOURS)]
        parts += [
            f'<circle cx="{left:g}" cy="{top:g}" r="4" fill="{colour}">'
            f"<title>{escape(line.name)}: {y:.4g} at {x:,.0f}</title></circle>"
            for left, top, x, y in spots
        ]
    return parts


def _stroke(place: int, line: Line) -> str:
    return 'class="limit"' if line.limit else f'stroke="{_COLOURS[place % len(_COLOURS)]}"'


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten around all values, two at least."""
    first = math.floor(math.log10(low) + 1e-9)
    last = max(math.ceil(math.log10(high) - 1e-9), first + 1)
    return [10.0**power for power in range(first, last + 1)]


def _steps(high: float) -> list[float]:
    """From 0 in four to eight round steps."""
    size = 10.0 ** math.floor(math.log10(high))
    step = next(size * part for part in (0.2, 0.25, 0.5, 1, 2) if high / (size * part) <= 6)
    return [step * count for count in range(math.ceil(high / step - 1e-9) + 1)]


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
