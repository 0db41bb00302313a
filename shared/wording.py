"""How a count, a time and an error are said, wherever people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def share(part: int, whole: int, noun: str) -> str:
    """Return a part of a number with its noun: "1 of 1 row", "1 of 20 rows"."""
    return f"{part:,} of {counted(whole, noun)}"


def moment(seconds: int) -> str:
    """Return a time, in epoch seconds, as "2026-11-27 02:00:00 UTC"; beyond the calendar as it is.

    The calendar ends with the year 9999.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def error_text(error: BaseException) -> str:
    """Return an error with its kind: "LeaseLost: another run has taken the lease over"."""
    return f"{type(error).__name__}: {error}"
