"""How far a run is, as numbers and as one line of a terminal. Pure."""

from __future__ import annotations

from typing import NamedTuple

_BAR = 24
_LEAST_BAR = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Facts(NamedTuple):
    """How far a run is.

    `done` and `planned` count objects of all kinds; rates are a second. None: not known, or not
    yet.
    """

    phase: str
    done: int
    planned: int | None
    drift: int
    requests: int
    rate: float | None
    request_rate: float | None
    seconds_left: float | None

    @property
    def share(self) -> float | None:
        """How much of what is planned is done, from 0 to 1."""
        if self.planned is None:
            return None
        return min(self.done / self.planned, 1.0) if self.planned else 1.0


def line(facts: Facts, width: int, *, is_unicode: bool) -> str:
    """Return one line of at most `width` characters, the least important left out first."""
    # Number: what stays longest. The order is that of the line.
    parts = [(0, facts.phase), (5, _count(facts))]
    if facts.share is not None:
        parts.insert(1, (1, f"{int(100 * facts.share):>3} %"))
    if facts.rate is not None:
        parts.append((4, f"{facts.rate:,.0f}/s"))
    if facts.request_rate is not None:
        parts.append((6, f"{facts.request_rate:,.1f} requests/s"))
    if facts.seconds_left is not None:
        parts.append((2, f"{duration(facts.seconds_left)} left"))
    parts.append((3, "no drift" if not facts.drift else f"drift {facts.drift:,}"))
    while len(parts) > 1 and _length(parts) > width:
        parts.remove(max(parts))
    texts = [text for _, text in parts]
    room = min(width - _length(parts) - 4, _BAR)
    if facts.share is not None and len(texts) > 1 and room >= _LEAST_BAR:
        texts.insert(2, bar(facts.share, room, is_unicode=is_unicode))
    return "  ".join(texts)[:width]


def bar(share: float, width: int, *, is_unicode: bool) -> str:
    """Return a bar of `width` characters between brackets, filled by `share` (0 to 1)."""
    if not is_unicode:
        return f"[{'#' * int(share * width):<{width}}]"
    whole, eighths = divmod(int(share * width * 8), 8)
    part = _EIGHTHS[eighths] if whole < width else ""
    return f"▕{'█' * whole + part:<{width}}▏"


def duration(seconds: float) -> str:
    """Return seconds as a clock shows them: 0:07, 2:39, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _count(facts: Facts) -> str:
    return f"{facts.done:,}" if facts.planned is None else f"{facts.done:,} of {facts.planned:,}"


def _length(parts: list[tuple[int, str]]) -> int:
    return sum(len(text) for _, text in parts) + 2 * (len(parts) - 1)
