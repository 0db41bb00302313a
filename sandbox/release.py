"""Whether a release can be tagged: version, changelog, tags and tree agree. Changes nothing.

    python -m sandbox.release

Exit status 0 with the commands that tag and publish, 1 with everything that is missing.
"""

import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
DATED = re.compile(r"(\S+) - (\d{4}-\d{2}-\d{2})")

Number = tuple[int, ...]


def main() -> int:
    root = Path.cwd()
    version = declared(root)
    faults = [
        *of_changelog(
            (root / "CHANGELOG.md").read_text(encoding="utf-8"), version, datetime.now(UTC).date()
        ),
        *of_repository(root, version),
    ]
    for fault in faults:
        print(f"missing: {fault}")
    if faults:
        return 1
    if _git(root, "tag", "--points-at", "HEAD", "--list", f"v{version}"):
        print(f"v{version} is tagged here. To publish it:\n  git push origin v{version}")
    else:
        print(f"{version} can be released. To tag and publish it:")
        print(f"  git tag -a v{version} -m 'subscription-sync {version}'")
        print(f"  git push origin v{version}")
    return 0


def declared(root: Path) -> str:
    """Return the version that the package has."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def of_changelog(text: str, version: str, today: date) -> list[str]:
    """Return what the changelog lacks: "Unreleased" is empty, and `version` is next and dated."""
    headings = HEADING.findall(text)
    if not headings or headings[0] != "Unreleased":
        return ['CHANGELOG.md begins with the section "Unreleased", which may be empty']
    sections = HEADING.split(text)
    faults = []
    if sections[2].strip():
        faults.append(f'CHANGELOG.md: what stands under "Unreleased" belongs to {version}')
    found = DATED.fullmatch(headings[1]) if len(headings) > 1 else None
    if found is None or found[1] != version:
        says = headings[1] if len(headings) > 1 else "nothing"
        return [*faults, f'CHANGELOG.md: a section "{version} - {today}" next, it says {says}']
    if not sections[4].strip():
        faults.append(f"CHANGELOG.md: a word on what {version} brings")
    if date.fromisoformat(found[2]) > today:
        faults.append(f"CHANGELOG.md: {version} has a date that has come, {found[2]} has not")
    return faults


def of_repository(root: Path, version: str) -> list[str]:
    """Return what the tree and the tags lack: all is committed, and no tag is as late."""
    faults = []
    if _git(root, "status", "--porcelain"):
        faults.append("everything committed (git status)")
    number = _number(version)
    if number is None:
        return [*faults, f"a version like 1.2.3 in pyproject.toml, it is {version}"]
    here = set(_git(root, "tag", "--points-at", "HEAD").split())
    for tag in _git(root, "tag", "--list", "v*").split():
        other = _number(tag.removeprefix("v"))
        if other is None or (other == number and tag in here):
            continue
        if other >= number:
            faults.append(f"a version later than {tag}, which is tagged; pyproject.toml: {version}")
    return faults


def _number(version: str) -> Number | None:
    found = VERSION.fullmatch(version)
    return tuple(int(part) for part in found.groups()) if found else None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
