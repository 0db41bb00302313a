"""How a count is said: "1 difference", "1,234 differences"."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def share(part: int, whole: int, noun: str) -> str:
    """Return a part of a number with its noun: "1 of 1 row", "1 of 20 rows"."""
    return f"{part:,} of {counted(whole, noun)}"
