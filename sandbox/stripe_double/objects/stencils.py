"""Lists of seeded objects as fast as text can be filled in.

A stencil is the ordinary rendering of an object whose facts are marks; filling it gives, byte for
byte, what the ordinary rendering of the object itself gives.
"""

from sandbox.stripe_double.objects.catalogue import render
from sandbox.stripe_double.objects.kind import Style
from sandbox.stripe_double.objects.shelf import S, Sketch
from sandbox.stripe_double.protocol.encoding import to_json

_FIRST_MARK = 8_000_000_000_000_000


class Stencils:
    def __init__(self) -> None:
        self._cut: dict[tuple[object, ...], str] = {}

    def forget(self) -> None:
        """Call when something has changed that seeded objects show, and that is not their own."""
        self._cut.clear()

    def fill(self, sketch: Sketch[S], style: Style, *, compact: bool) -> str:
        """The JSON of a sketched object, indented to stand in a list."""
        key = (sketch.batch, sketch.variant, style.version, style.embedded, compact)
        stencil = self._cut.get(key)
        if stencil is None:
            stencil = self._cut[key] = _cut(sketch, style, compact=compact)
        return stencil % sketch.facts


def _cut(sketch: Sketch[S], style: Style, *, compact: bool) -> str:
    marks: dict[str, str | int] = {
        name: f"@{name}@" if isinstance(fact, str) else _FIRST_MARK + place
        for place, (name, fact) in enumerate(sketch.facts.items())
    }
    marked = Sketch(batch=sketch.batch, variant=sketch.variant, facts=marks)
    text = in_list(to_json(render(marked.state(), style), compact=compact), compact=compact)
    text = text.replace("%", "%%")
    for name, mark in marks.items():
        text = text.replace(str(mark), f"%({name})s")
    return text


def in_list(body: bytes, *, compact: bool) -> str:
    """One object's JSON, indented as far as an element of a page is."""
    text = body.decode()
    return text if compact else text.replace("\n", "\n    ")
