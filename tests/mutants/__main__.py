"""Run every mutant; exit status 1 when one survives, 2 when a patch does not fit."""

# ruff: noqa: T201 - a command speaks to a person

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from sandbox.postgres import EmbeddedPostgres
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.rules import MUTANTS

ROOT = Path(__file__).parents[2]
SECONDS = 400

_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", re.MULTILINE)


class PatchDoesNotFit(Exception):
    """The text that a rule stands in has changed: change the patch too."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", metavar="WORD", default="", help="rules that name this word")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.only in mutant.rule]
    survived = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        try:
            copies = [copy(mutant, Path(folder) / str(n)) for n, mutant in enumerate(chosen)]
        except PatchDoesNotFit as error:
            print(error, file=sys.stderr)
            return 2
        with EmbeddedPostgres.start() as server:
            for mutant, home in zip(chosen, copies, strict=True):
                began = time.monotonic()
                caught = catch(mutant, home, server.url())
                seconds = time.monotonic() - began
                print(f"{mutant.rule}\n    {caught or 'SURVIVED'} ({seconds:.0f} s)", flush=True)
                if caught is None:
                    survived.append(mutant.rule)
    print(f"\n{len(chosen) - len(survived)} of {len(chosen)} mutants caught")
    return 1 if survived else 0


def copy(mutant: Mutant, home: Path) -> Path:
    """Copy what is under version control, as it is now, with the mutant's patches applied."""
    for name in tracked():
        target = home / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    for patch in mutant.patches:
        apply(patch, home)
    return home


def tracked() -> Iterable[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def apply(patch: Patch, home: Path) -> None:
    """Change the text. Raises PatchDoesNotFit."""
    path = home / patch.path
    text = path.read_text(encoding="utf-8")
    if text.count(patch.old) != 1:
        raise PatchDoesNotFit(f"{patch.path}: {text.count(patch.old)} times:\n{patch.old}")
    path.write_text(text.replace(patch.old, patch.new), encoding="utf-8")


def catch(mutant: Mutant, home: Path, database_url: str) -> str | None:
    """The first test that fails on a mutant, None when all pass.

    Tests are run from the copy, and it comes first on the path, so that nothing of the original is
    imported. Raises RuntimeError when they cannot be run.
    """
    for name in mutant.tests:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no"),
                *("-p", "no:cacheprovider", "-p", "no:randomly", name),
            ],
            cwd=home,
            env=os.environ | {"PYTHONPATH": str(home), "TEST_DATABASE_URL": database_url},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode == 0:
            continue
        found = _FAILED.search(done.stdout)
        if found is None:
            raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}")
        return found[1]
    return None


if __name__ == "__main__":
    sys.exit(main())
