"""What a command costs: processor time, peak memory, wall time."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from sandbox import product

# The kernel counts the memory of the process that starts another one towards the other's peak, so
# a small one stands between.
_LAUNCHER = """
import json, os, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], "w") as file:
    cpu = usage.ru_utime + usage.ru_stime
    json.dump([os.waitstatus_to_exitcode(status), cpu, usage.ru_maxrss], file)
"""
# ru_maxrss is in KiB on Linux, in bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Usage(Struct, frozen=True, kw_only=True):
    """A command that has ended: CPU and wall time in seconds, peak memory in MiB."""

    status: int
    cpu: float
    wall: float
    peak: float
    stdout: str
    stderr: str


def measured(name: str, *arguments: str, environ: Mapping[str, str]) -> Usage:
    """Run a command of the product to its end."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "usage"
        began = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(result)),
                *product.command(name, *arguments),
            ],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        wall = time.monotonic() - began
        status, cpu, peak = json.loads(result.read_text(encoding="utf-8"))
    return Usage(
        status=status,
        cpu=cpu,
        wall=wall,
        peak=peak * _RSS_UNIT / 2**20,
        stdout=done.stdout,
        stderr=done.stderr,
    )


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
