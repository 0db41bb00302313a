"""`make release`: says what is missing, or names the commands; it changes nothing."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sandbox.release import of_changelog

ROOT = Path(__file__).parents[2]
TODAY = datetime.now(UTC).date().isoformat()
CHANGELOG = f"""# Changelog

## Unreleased

## 1.2.0 - {TODAY}

### Added

- A word.

## 1.1.0 - 2026-01-01

- Before.
"""


def git(home: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "tag.gpgSign=false")
    done = subprocess.run(
        ["git", *identity, "-c", "commit.gpgSign=false", *arguments],
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A repository in which 1.2.0 can be released."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n', encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "before")
    git(tmp_path, "tag", "--annotate", "v1.1.0", "--message", "1.1.0")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "1.2.0")
    return tmp_path


def released(home: Path) -> tuple[int, str]:
    before = git(home, "for-each-ref"), git(home, "status", "--porcelain")
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.release"],
        cwd=home,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert (git(home, "for-each-ref"), git(home, "status", "--porcelain")) == before
    return done.returncode, done.stdout


def test_release_with_everything_right_names_the_commands_and_tags_nothing(home: Path) -> None:
    status, said = released(home)
    assert status == 0
    assert "git tag -a v1.2.0" in said


def test_release_that_is_tagged_here_is_left_to_be_published(home: Path) -> None:
    git(home, "tag", "--annotate", "v1.2.0", "--message", "1.2.0")
    status, said = released(home)
    assert (status, "git tag" in said) == (0, False)
    assert "git push origin v1.2.0" in said


@pytest.mark.parametrize("tag", ["v1.2.0", "v1.10.0", "v2.0.0"])
def test_version_that_is_not_later_than_every_tag_is_refused(home: Path, tag: str) -> None:
    git(home, "tag", "--annotate", tag, "HEAD~1", "--message", tag)
    status, said = released(home)
    assert (status, said.count("missing")) == (1, 1)
    assert f"later than {tag}" in said


def test_tree_with_changes_is_refused(home: Path) -> None:
    (home / "new").touch()
    status, said = released(home)
    assert (status, "git status" in said) == (1, True)


def test_version_that_is_no_number_is_refused(home: Path) -> None:
    (home / "pyproject.toml").write_text('[project]\nversion = "1.2"\n', encoding="utf-8")
    git(home, "commit", "--quiet", "--all", "--message", "1.2")
    status, said = released(home)
    assert status == 1
    assert "1.2.3" in said


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("## Unreleased\n\n", "", "Unreleased"),
        ("## Unreleased\n\n", "## Unreleased\n\n- Forgotten.\n\n", "belongs to 1.2.0"),
        ("## 1.2.0 - ", "## 1.3.0 - ", "it says 1.3.0"),
        (f"## 1.2.0 - {TODAY}", "## 1.2.0", "it says 1.2.0"),
        (f"## 1.2.0 - {TODAY}\n\n### Added\n\n- A word.\n\n", "", "it says 1.1.0"),
        ("### Added\n\n- A word.\n\n", "", "a word on what"),
        (TODAY, "2999-01-01", "a date that has come"),
    ],
)
def test_changelog_that_does_not_tell_of_the_version_is_refused(
    old: str, new: str, says: str
) -> None:
    assert CHANGELOG.count(old) == 1
    (fault,) = of_changelog(CHANGELOG.replace(old, new), "1.2.0", date.fromisoformat(TODAY))
    assert says in fault


def test_changelog_of_this_project_tells_of_its_version_or_of_what_comes() -> None:
    """Between two releases more may stand under "Unreleased", and nothing else is wrong."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = text.split("\n## ")[2].split(" - ")[0]
    faults = of_changelog(text, version, date.max)
    assert [one for one in faults if "Unreleased" not in one or "belongs" not in one] == []
