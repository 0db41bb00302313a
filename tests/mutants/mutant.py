"""What a mutant is: a rule, and the change of text that switches it off."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patch:
    """`old` must stand in the file exactly once."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A rule switched off. `tests`: what is run, in this order, until one fails."""

    rule: str
    patches: tuple[Patch, ...]
    tests: tuple[str, ...]
