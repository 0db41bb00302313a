"""The rules of the house: who may import whom, where SQL stands, what is shipped."""

import ast
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from shared.database.migrations import migrations
from shared.objects.catalogue import BY_NAME, MIRRORED
from shared.settings import (
    MigrateSettings,
    ReconcileSettings,
    Setting,
    WebhookSettings,
    declared,
)

ROOT = Path(__file__).parents[2]
PRODUCT = ("webhook", "reconcile", "shared")
ROOMS = (*PRODUCT, "sandbox", "tests")
OBJECTS = Path("shared/objects")
MAY_IMPORT = {
    "webhook": {"webhook", "shared"},
    "reconcile": {"reconcile", "shared"},
    "shared": {"shared"},
    "sandbox": {"sandbox"},
}
REGEX = {"re", "msgspec"}
# By import name: pyproject's dependencies, and werkzeug, which is flask's own other half.
RUNTIME = {
    "deflate",
    "dotenv",
    "flask",
    "gunicorn",
    "msgspec",
    "psycopg",
    "stripe",
    "xxhash",
} | {"werkzeug"}
# What every statement has to pass through: psycopg's other ways to run one start from a cursor.
RUNS_SQL = {"connect", "cursor", "execute"}
STATEMENT = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|WITH|VALUES|COPY|TRUNCATE|CREATE|ALTER"
    r"|DROP|LOCK|SET|BEGIN|COMMIT|ROLLBACK)\s"
)


def modules(*rooms: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for room in rooms for path in (ROOT / room).rglob("*.py"))


def tree(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imports(module: Path) -> Iterator[str]:
    """The top-level name of every import, wherever in the module it stands."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield module.parts[0] if node.level else (node.module or "").split(".")[0]


def docstrings(module: ast.Module) -> set[int]:
    """The identities of the nodes that are documentation and nothing else."""
    return {
        id(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


@pytest.mark.parametrize("module", modules(*MAY_IMPORT), ids=str)
def test_imports_between_rooms_run_one_way(module: Path) -> None:
    assert set(imports(module)) & set(ROOMS) <= MAY_IMPORT[module.parts[0]]


def test_product_imports_nothing_that_the_images_lack() -> None:
    known = RUNTIME | set(PRODUCT) | sys.stdlib_module_names
    assert {(str(m), name) for m in modules(*PRODUCT) for name in imports(m)} == {
        (str(m), name) for m in modules(*PRODUCT) for name in imports(m) if name in known
    }


@pytest.mark.parametrize("module", modules("webhook", "reconcile"), ids=str)
def test_no_sql_outside_shared(module: Path) -> None:
    """Neither a statement nor a call that could run one."""
    parsed = tree(module)
    prose = docstrings(parsed)
    for node in ast.walk(parsed):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            assert not STATEMENT.match(node.value), f"line {node.lineno}"
        # Without an argument there is nothing to run: a Run may be executed.
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            assert node.func.attr not in RUNS_SQL, f"line {node.lineno}"


@pytest.mark.parametrize("module", modules(*PRODUCT), ids=str)
def test_no_code_but_its_declaration_knows_one_mirrored_object(module: Path) -> None:
    """What is special about an object is data that its declaration says, and all else follows."""
    if module.parent == OBJECTS:
        return
    parsed = tree(module)
    declarations = {f"shared.objects.{one.name}" for one in MIRRORED}
    words = {word for one in MIRRORED for word in (one.name, one.table, *one.events)}
    for node in ast.walk(parsed):
        if isinstance(node, ast.ImportFrom):
            assert node.module not in declarations, f"line {node.lineno}"
        compared: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            compared = [node.value]
        found = {one.value for one in compared if isinstance(one, ast.Constant)}
        assert not found & words, f"line {getattr(node, 'lineno', 0)}"


def test_every_object_is_declared_in_a_module_of_its_name_and_in_the_catalogue() -> None:
    declared = {
        path.stem
        for path in (ROOT / OBJECTS).glob("*.py")
        if re.search(r"= MirroredObject\($", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert declared == {one.name for one in MIRRORED} == set(BY_NAME)
    for names in (
        [one.table for one in MIRRORED],
        [one.prefix for one in MIRRORED],
        [one.path for one in MIRRORED],
        [name for one in MIRRORED for name in one.events],
    ):
        assert len(names) == len(set(names))


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {
        str(m): len((ROOT / m).read_text(encoding="utf-8").splitlines()) for m in modules(*ROOMS)
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {(ROOT / module).parent for module in modules(*ROOMS)}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_wheel_holds_the_product_with_its_migrations_and_nothing_else(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        scripts = archive.read(about).decode()
    shipped = {name for name in names if ".dist-info/" not in name}
    migrations = (ROOT / "shared" / "migrations").glob("*.sql")
    expected = {m.as_posix() for m in modules(*PRODUCT)} | {
        path.relative_to(ROOT).as_posix() for path in migrations
    }
    assert shipped == expected
    commands = dict(line.split(" = ") for line in scripts.splitlines() if " = " in line)
    assert set(commands) >= {"webhook", "reconcile", "migrate"}
    for place in commands.values():
        module, _, name = place.partition(":")
        assert callable(getattr(import_module(module), name)), f"{place} is no command"


def test_migrations_have_a_number_each_and_are_applied_in_its_order() -> None:
    names = [migration.name for migration in migrations()]
    numbers = [re.fullmatch(r"(\d{4})_[a-z0-9_]+\.sql", name) for name in names]
    assert [number and int(number[1]) for number in numbers] == list(range(1, len(names) + 1))


def test_example_environment_names_every_setting_with_its_default() -> None:
    kinds = (MigrateSettings, WebhookSettings, ReconcileSettings)
    settings: dict[str, Setting] = {s.name: s for kind in kinds for s in declared(kind).values()}
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^(#?)([A-Z_]+)='(.*)'$", text, re.MULTILINE)
    assert len(lines) == len(re.findall(r"^#?[A-Z_]+=", text, re.MULTILINE)), "all are quoted"
    assert {name for _, name, _ in lines} == set(settings)
    for commented, name, value in lines:
        default = settings[name].default
        assert bool(commented) == (default is not None), f"{name}: what is required stands open"
        assert default is None or value == default, f"{name}: {default} is the default"


def test_operations_page_has_a_row_for_every_setting() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[A-Z].*?) \|", section, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)]
    kinds = (MigrateSettings, WebhookSettings, ReconcileSettings)
    assert sorted(named) == sorted({s.name for kind in kinds for s in declared(kind).values()})


def test_locks_name_no_place_to_fetch_from() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        for line in lock.read_text(encoding="utf-8").splitlines():
            assert re.fullmatch(
                r"[a-z0-9-]+==[\w.]+( ; [^@/]+)? \\|    --hash=sha256:\w{64}( \\)?", line
            )


def test_images_and_tests_use_the_same_versions() -> None:
    def pins(name: str) -> set[str]:
        return set(
            re.findall(r"^\S+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        )

    assert pins("requirements.lock") < pins("requirements-dev.lock")
    assert pins("requirements-build.lock") < pins("requirements-dev.lock")


def test_runtime_names_match_the_declared_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (re.match(r"[a-z0-9-]+", line) for line in project["dependencies"])
    names = {match[0].replace("-", "_").removeprefix("python_") for match in found if match}
    assert names | {"werkzeug"} == RUNTIME


def test_no_pattern_ends_in_a_dollar_which_a_line_feed_may_follow() -> None:
    """An id with a line feed behind it is another id: fullmatch, or the other sign for the end."""
    patterns = [
        (path.name, node.value)
        for room in PRODUCT
        for path in (ROOT / room).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).partition(".")[0] in REGEX
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    ]
    assert len(patterns) > 10
    loose = re.compile(r"(?<!\\)\$(\)|$)")
    assert [one for one in patterns if loose.search(_text(one[1]))] == []


def _text(pattern: str | bytes) -> str:
    return pattern if isinstance(pattern, str) else pattern.decode()


def test_hooks_before_a_commit_are_the_parts_of_make_lint() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (parts,) = re.findall(r"^lint: ([\w -]+) ##", makefile, re.MULTILINE)
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"entry: make (\S+)", hooks) == parts.split()
    assert "repo: http" not in hooks


def test_both_images_are_built_from_the_same_stages() -> None:
    texts = [
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("Dockerfile.webhook", "Dockerfile.job")
    ]
    stages, lasts = zip(*(text.rsplit("\nFROM base\n", 1) for text in texts), strict=True)
    assert stages[0] == stages[1]
    for last in lasts:
        assert "USER 10001:10001" in last
        assert re.search(r'^ENTRYPOINT \["(webhook|reconcile)"\]$', last, re.MULTILINE)
