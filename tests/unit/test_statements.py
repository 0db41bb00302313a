"""Every statement of the repository can be read whole, and a change of one is seen as text."""

import ast
from pathlib import Path

import pytest

from shared.repository.__main__ import main, statements
from tests.sql.__main__ import FOLDER, files
from tests.unit.test_house import RUNS_SQL, STATEMENT

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "shared" / "repository"
MAKERS = {"statement", "object_statement"}

each_room = pytest.mark.parametrize(
    "room", sorted(REPOSITORY.glob("*.py")), ids=lambda path: path.stem
)


def test_text_of_every_statement_is_kept_as_a_file_that_a_change_has_to_change() -> None:
    kept = {path: path.read_text("utf-8") for path in FOLDER.rglob("*.sql")}
    assert kept == files(), "run `make sql` and look at what it changes"


@each_room
def test_nothing_is_executed_but_statements_that_are_known(room: Path) -> None:
    """They are made as a room is imported, and psycopg is asked in one place alone."""
    parsed = ast.parse(room.read_text(encoding="utf-8"))
    at_import = {node for one in parsed.body for node in [getattr(one, "value", None)] if node}
    for node in ast.walk(parsed):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            assert node in at_import, f"line {node.lineno}: not made at import"
        if isinstance(node.func, ast.Attribute) and node.func.attr in RUNS_SQL:
            asked = ast.unparse(node.func.value)
            is_ours = asked.removesuffix(".of(mirrored)").isupper() or asked == "statement"
            assert is_ours or room.stem == "statement", f"line {node.lineno}: {asked}"


@each_room
def test_sql_stands_in_the_texts_of_statements_and_nowhere_else(room: Path) -> None:
    texts = "\n".join(one.text for one in statements().values())
    for node in ast.walk(ast.parse(room.read_text(encoding="utf-8"))):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and STATEMENT.match(text):
            first = text.strip().splitlines()[0]
            assert first in texts, f"{room.name}: {first}"


def test_each_statement_is_told_by_name_with_what_it_is_for_and_named_placeholders() -> None:
    for name, one in statements().items():
        room, function, *_ = name.split(".")
        assert (REPOSITORY / f"{room}.py").exists()
        assert one.purpose.endswith("."), f"{function} has a docstring of one sentence first"
        assert "$1" not in one.text


def test_one_is_printed_by_its_name_and_a_room_by_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["ledger.enter"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("-- ledger.enter\n-- Write the ledger row of an event")
    assert "INSERT INTO stripe.events" in told
    assert told.count(";\n") == 1
    assert main(["account"]) == 0
    assert capsys.readouterr().out == files()[FOLDER / "account.sql"]
    assert main([]) == 0
    whole = capsys.readouterr().out
    assert all(f"-- {name}\n" in whole for name in statements())


def test_name_that_no_statement_has_is_refused_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ledger.forget"])
    assert ended.value.code == 2
    assert "ledger.enter" in capsys.readouterr().err
