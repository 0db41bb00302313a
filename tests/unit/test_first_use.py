"""Whoever decodes first may do so while others do: a worker that has just begun, a run's streams.

msgspec keeps what it knows of a Struct before it knows all of it (`StructInfo`), and ends the
process with SIGSEGV where another thread uses it meanwhile. So a decoder is made where its module
is imported.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_house import ROOT, modules, tree

TIMES = 20
"""Of the old code three in ten ended (Python 3.11; one in ten on 3.12)."""

MADE_WITH_ITS_OBJECT = Path("shared/mirrored.py")
"""Its decoders are made when an object is declared, which is at import."""


def test_no_thread_that_decodes_first_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.first_use", str(TIMES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "module", modules("webhook", "reconcile", "shared", "sandbox/stripe_double"), ids=str
)
def test_decoders_are_made_at_import(module: Path) -> None:
    if module == MADE_WITH_ITS_OBJECT:
        return
    late = [f"{module}:{line}" for line in made_late(tree(module))]
    assert not late, f"make it beside the class, not where it is used: {late}"


def made_late(whole: ast.Module) -> Iterator[int]:
    """Lines in functions where msgspec is given a type to decode to."""
    for function in ast.walk(whole):
        if not isinstance(function, ast.FunctionDef) or is_kept(function):
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            is_typed = any(one.arg == "type" for one in node.keywords)
            if node.func.attr == "Decoder" or (node.func.attr == "decode" and is_typed):
                yield node.lineno


def is_kept(function: ast.FunctionDef) -> bool:
    """Whether its Struct is its own: then only the thread that makes it uses it meanwhile."""
    names = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return {"Decoder", "defstruct"} <= names
