"""Half a minute of the chaos run: everything at once, with real processes."""

from pathlib import Path

import psutil
import pytest

from sandbox.chaos import storm, tables
from sandbox.chaos.plan import small


@pytest.mark.waits
def test_small_storm_breaks_no_promise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No event lost or applied twice, no row back or different, and no process left over."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}

    result = storm.run(small(seed=7), tmp_path, print)

    tables.show(result)
    told = capsys.readouterr().out
    assert tables.broken(result) == dict.fromkeys(tables.broken(result), 0), told
    assert result.events > 100, told
    assert sum(result.faults.values()) > 6, told
    assert result.findings.versions > 100, told
    left = {process.pid for process in psutil.Process().children(recursive=True)} - before
    assert not left
