"""How values are shown to people, whatever is in them: one line, printable, of bearable length.

Names, addresses and metadata are what a customer has typed. None of it may steer a terminal.
"""

from __future__ import annotations

import json
import re
from decimal import Context, Decimal, DecimalException
from math import floor
from typing import Any

from shared.wording import moment

_MOST_CHARACTERS = 200
_MOST_DIGITS = 60
_EXACT = Context(prec=2 * _MOST_DIGITS)

_WITHOUT_DECIMALS = frozenset(
    [
        *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"),
        *("pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"),
    ]
)
_THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
"""docs.stripe.com/currencies; isk and ugx have none, and in Stripe's API two all the same."""


def harmless(text: str) -> str:
    """Return text as it is where it can be printed, else quoted and escaped as in JSON; cut."""
    cut = text[:_MOST_CHARACTERS]
    left = f"... ({len(text):,} characters)" if len(text) > len(cut) else ""
    if cut.isprintable():
        return cut + left
    return printable(json.dumps(cut, ensure_ascii=False)) + left


def printable(text: str) -> str:
    """Return text in which every character that cannot be printed is escaped as in JSON."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else json.dumps(one).strip('"') if one != "\x7f" else "\\u007f"
        for one in text
    )


def as_text(value: Any) -> str:
    """Show any value: text as it is, the rest as JSON."""
    if isinstance(value, str):
        return harmless(value)
    return harmless(json.dumps(value, ensure_ascii=False))


def money(minor: int | Decimal, currency: str) -> str:
    """Show minor units as people write the amount; a price may have more decimals than that."""
    decimals = 0 if currency in _WITHOUT_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    amount = Decimal(minor).scaleb(-decimals, _EXACT)
    exponent = amount.as_tuple().exponent
    shown = max(decimals, -exponent if isinstance(exponent, int) else 0)
    return f"{amount:,.{shown}f} {harmless(currency.upper())}"


def amounts(of: dict[str, int]) -> str:
    """Show amounts, currency by currency."""
    return ", ".join(money(of[currency], currency) for currency in sorted(of))


def unit_amount(value: Any, currency: str | None) -> str:
    """Show a price's unit amount, which may be no number where somebody else wrote it."""
    if value is None:
        return "none"
    try:
        number = Decimal(str(value))
        if currency is None or not number.is_finite() or len(str(value)) > _MOST_DIGITS:
            return f"{as_text(value)} in minor units"
        return money(number, currency)
    except (DecimalException, ValueError):
        return as_text(value)


def time(value: Any) -> str:
    """Show epoch seconds, whole or with a fraction, as a date; what is none as it is."""
    if value is None:
        return "-"
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}\.[0-9]{1,20}", value):
        return _fraction(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return as_text(value)
    return moment(value)


def _fraction(seconds: str) -> str:
    """Show a time that is not of whole seconds, which only somebody else can have written."""
    whole = floor(Decimal(seconds))
    date, utc, _ = moment(whole).partition(" UTC")
    fraction = f"{Decimal(seconds) - whole:f}".lstrip("0")
    return f"{date}{fraction}{utc}" if utc else seconds


class Printable:
    """A stream to which nothing but printable characters and ends of lines are written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write text, the rest escaped."""
        self._stream.write("\n".join(map(printable, text.split("\n"))))
