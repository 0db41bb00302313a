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

MADE_WITH_ITS_OBJECT = Path("shared/objects/declaration.py")
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


@pytest.mark.parametrize(
    "late",
    [
        "def f(x):\n    return msgspec.json.Decoder(Thing).decode(x)",
        "def f(x):\n    return msgspec.json.decode(x, type=Thing)",
        "async def f(x):\n    return msgspec.json.decode(x, type=Thing)",
        "def f(x):\n    return msgspec.convert(x, Thing)",
        "class C:\n    def __init__(self):\n        self.decoder = Decoder(Thing)",
        "f = lambda x: msgspec.convert(x, type=Thing)",
    ],
)
def test_what_is_made_late_is_found(late: str) -> None:
    assert list(made_late(ast.parse(late)))


@pytest.mark.parametrize(
    "early",
    [
        "d = msgspec.json.Decoder(Thing)\ndef f(x):\n    return msgspec.convert(x, Thing)",
        "def f(x, d):\n    return msgspec.convert(x, d.type)",
        "def f(x):\n    return msgspec.json.decode(x)",
    ],
)
def test_what_is_made_early_is_not(early: str) -> None:
    assert not list(made_late(ast.parse(early)))


def made_late(whole: ast.Module) -> Iterator[int]:
    """Lines in functions where msgspec is given a type that it may not know yet."""
    at_import = {
        ast.unparse(node.args[0])
        for statement in whole.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and name_of(node) == "Decoder"
    }
    for function in ast.walk(whole):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if is_kept(function):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and (given := type_of(node)) is not None:
                text = ast.unparse(given)
                if name_of(node) == "Decoder" or (
                    text not in at_import and not text.endswith(".type")
                ):
                    yield node.lineno


def name_of(call: ast.Call) -> str | None:
    """The last name of what is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else None


def type_of(call: ast.Call) -> ast.expr | None:
    """The type that msgspec is to decode to, None for any other call."""
    named = [one.value for one in call.keywords if one.arg == "type"]
    match name_of(call):
        case "Decoder":
            return [*call.args, *named, ast.Constant(None)][0]
        case "decode":
            return named[0] if named else None
        case "convert" if ast.unparse(call.func) == "msgspec.convert":
            return [*call.args[1:2], *named, ast.Constant(None)][0]
    return None


def is_kept(function: ast.AST) -> bool:
    """Whether its Struct is its own: then only the thread that makes it uses it meanwhile."""
    names = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return {"Decoder", "defstruct"} <= names
