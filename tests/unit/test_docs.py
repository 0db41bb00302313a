"""What the pages for people name is there: tests, files, links, targets, settings."""

import re
import tomllib
from pathlib import Path

import pytest

from shared.settings import MigrateSettings, ReconcileSettings, WebhookSettings, declared

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# The changelog tells of what was, so it may name what is no more.
PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    ]
)
FILE = re.compile(r"[\w./-]+\.(?:py|md|sql|svg|toml|ya?ml)")
FOLDERS = ("webhook", "reconcile", "shared", "sandbox", "tests", "docs", ".ci", ".github")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """The page without its blocks of code: a drawing, a console, SQL."""
    return re.sub(r"^```.*?^```$", "", read(path), flags=re.MULTILINE | re.DOTALL)


def quoted(path: Path) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", prose(path)))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(path: Path) -> set[str]:
    """The names under which the headings of a page can be linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_readme_is_read_in_a_few_minutes() -> None:
    assert len(read(ROOT / "README.md").splitlines()) <= 120


def test_every_test_that_a_page_names_exists() -> None:
    written = "\n".join(read(path) for path in (ROOT / "tests").rglob("*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", written))
    named = {
        (name_of(page), name)
        for page in PAGES
        for name in quoted(page)
        if re.fullmatch(r"test_\w+", name)
    }
    assert len(named) > 50
    # A module of tests may be named without its folder and ending, too.
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert {one for one in named if one[1] not in defined | modules} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    known = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")}
    known |= {path.name for path in ROOT.iterdir()}
    missing = set()
    for word in quoted(page):
        path = word.rstrip("/")
        if path.split("/")[0] in FOLDERS and re.fullmatch(r"[\w./-]+", path) and "/" in word:
            missing |= set() if (ROOT / path).exists() else {word}
        elif FILE.fullmatch(word):
            missing |= set() if path.split("/")[-1] in known else {word}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_to_a_page_and_its_heading(page: Path) -> None:
    broken = set()
    for target in LINK.findall(prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.add(target)
    assert broken == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([\w./$()-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    targets |= {".venv/.ready"}
    named = re.findall(r"(?:^|`)make ([a-z][a-z-]*|\.venv/\.ready)", read(page), re.MULTILINE)
    assert {name for name in named if name not in targets} == set()


def test_table_of_settings_names_every_setting_with_its_default() -> None:
    kinds = (MigrateSettings, WebhookSettings, ReconcileSettings)
    settings = {one.name: one for kind in kinds for one in declared(kind).values()}
    table = read(DOCS / "operations.md").partition("## Settings")[2].partition("###")[0]
    rows = {
        name: default.strip()
        for names, defaults in re.findall(r"^\| (`[A-Z_`, ]+) \| ([^|]+) \|", table, re.MULTILINE)
        for name, default in zip(
            re.findall(r"`([A-Z_]+)`", names),
            defaults.split(",") if "`, `" in names else [defaults],
            strict=True,
        )
    }
    assert set(rows) == set(settings)
    for name, setting in settings.items():
        if setting.default:
            assert rows[name] == f"`{setting.default}`", name
        elif setting.default is None:
            assert rows[name] == "required", name


def test_traps_that_tests_name_are_told_and_each_with_a_test() -> None:
    told = {
        int(number): tests
        for number, tests in re.findall(
            r"^\| (\d+) \|.*\| ([^|]+) \|$", read(DOCS / "traps.md"), re.MULTILINE
        )
    }
    assert {number for number, tests in told.items() if "`test_" not in tests} == set()
    used = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for first, rest in re.findall(r"\b[Tt]raps? (\d+)((?:(?:, | and |-)\d+)*)", read(path)):
            used |= {int(first), *(int(more) for more in re.findall(r"\d+", rest))}
    assert len(used) > 20
    assert used <= set(told)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(read(ROOT / "pyproject.toml"))
    groups = [
        project["project"]["dependencies"],
        project["project"]["optional-dependencies"]["dev"],
        *project["dependency-groups"].values(),
    ]
    wanted = {
        match[0] for group in groups for line in group if (match := re.match(r"[\w-]+", line))
    }
    (page,) = (DOCS / "decisions").glob("*-dependencies.md")
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|", read(page), re.MULTILINE)
    told = {name for row in rows for name in re.split(r", ", row)}
    assert wanted <= told
    assert told - wanted <= {"name", "---"}


def test_every_decision_is_in_the_list_of_them() -> None:
    folder = DOCS / "decisions"
    pages = {path.name for path in folder.glob("[0-9]*.md")}
    assert set(LINK.findall(read(folder / "README.md"))) & pages == pages
    assert sorted(int(name[:4]) for name in pages) == list(range(1, len(pages) + 1))
