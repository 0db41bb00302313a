"""`.ci/interpreters`: which of the promised Python versions this machine has."""

import os
import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / ".ci" / "interpreters"
VERSION = "{}.{}".format(*sys.version_info[:2])


def found(path: Path, pyenv: Path, *versions: str) -> list[str]:
    """What it prints where only `path` is searched, and pyenv's root is `pyenv`."""
    environ = {"PATH": f"{path}:/usr/bin:/bin", "HOME": str(path), "PYENV_ROOT": str(pyenv)}
    done = subprocess.run(
        [str(SCRIPT), *versions], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_interpreter_is_found_by_its_name(tmp_path: Path) -> None:
    program(tmp_path / "bin", f"python{VERSION}", f'exec "{sys.executable}" "$@"')
    assert found(tmp_path / "bin", tmp_path / "none", "3.1", VERSION, "9.9") == [
        f"{VERSION} {sys.executable}"
    ]


def test_interpreter_is_found_under_pyenv_where_its_name_leads_to_none(tmp_path: Path) -> None:
    program(tmp_path / "bin", f"python{VERSION}", "echo 'command not found' >&2; exit 127")
    home = tmp_path / "a folder" / "versions" / f"{VERSION}.1" / "bin"
    program(home, f"python{VERSION}", f'exec "{sys.executable}" "$@"')
    assert found(tmp_path / "bin", tmp_path / "a folder", VERSION) == [
        f"{VERSION} {sys.executable}"
    ]


def test_interpreter_of_another_version_or_that_makes_no_environment_is_not_taken(
    tmp_path: Path,
) -> None:
    program(tmp_path / "bin", "python9.9", f'exec "{sys.executable}" "$@"')
    program(tmp_path / "bin", "python9.8", "exit 1")
    assert found(tmp_path / "bin", tmp_path / "none", "9.9", "9.8") == []


def test_promised_versions_are_the_same_everywhere() -> None:
    root = SCRIPT.parents[1]
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    (line,) = (line for line in makefile.splitlines() if line.startswith("interpreters :="))
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    promised = line.partition(":=")[2].split()
    assert [version for version in promised if f"Python :: {version}" in project] == promised
    assert project.count("Programming Language :: Python :: 3.") == len(promised)
    workflow = (root / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(r"^ +(3\.\d+)$", workflow, re.MULTILINE) == promised
    assert "run: .ci/run" in workflow
    for name in ("Dockerfile.webhook", "Dockerfile.job"):
        image = (root / name).read_text(encoding="utf-8").partition("PYTHON_IMAGE=python:")[2]
        assert ".".join(image.split(".")[:2]) in promised
    assert os.access(root / ".ci" / "run", os.X_OK)
