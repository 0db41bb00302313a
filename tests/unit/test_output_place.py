"""Where `--output` may point to, said before the run: what it writes to in the end decides."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconcile.report.output import can_be_written

ASK = """
import json, os, sys
from reconcile.report.output import can_be_written
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(json.dumps([can_be_written(place) for place in json.loads(sys.argv[1])]))
"""


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder with one of each."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link to a file").symlink_to(tmp_path / "file")
    (tmp_path / "link to a folder").symlink_to(tmp_path / "folder")
    (tmp_path / "link to nothing").symlink_to(tmp_path / "not yet")
    (tmp_path / "link to no folder").symlink_to(tmp_path / "none" / "not yet")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(
    "place", ["file", "link to a file", "link to nothing", "new", "pipe", "folder/new", "/dev/null"]
)
def test_what_can_be_written_to_is_taken(places: Path, place: str) -> None:
    assert can_be_written(str(places / place))


@pytest.mark.parametrize(
    "place",
    [
        "folder",
        "link to a folder",
        "link to no folder",
        "none/new",
        "file/new",
        ".",
        "..",
        "a\0b",
    ],
)
def test_what_cannot_be_written_to_is_not(places: Path, place: str) -> None:
    assert not can_be_written(str(places / place))


def test_for_an_ordinary_user_a_device_is_writable_in_a_folder_that_is_not(tmp_path: Path) -> None:
    """And a file there is not, nor one that a link leads to."""
    (tmp_path / "link").symlink_to("/dev/new")
    asked = ["/dev/null", "/dev/new", str(tmp_path / "link")]
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(asked)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [True, False, False]
