"""A box of 0.1 CPU and 128 MiB, really enforced by the kernel, where this system lets us."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CPU = 0.1
MIB = 128
BUDGET_MIB = 100

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000
# Without a limit a spinner has used all of its second; with the limit a tenth of it, and what it
# had before it came under it.
_SPINNER = """
import sys, time
for group in sys.argv[1:]:
    with open(group, "w") as file:
        file.write("0")
began, used = time.monotonic(), time.process_time()
while time.monotonic() - began < 1:
    pass
print(time.process_time() - used)
"""


class NoBox(Exception):
    """A process cannot be limited on this system; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """`groups`: what a process writes its id to in order to be inside. `spun`: CPU got in 1 s."""

    groups: tuple[Path, ...]
    peak_file: Path
    throttle_file: Path
    spun: float

    def peak(self) -> float:
        """The most memory that was ever charged to it, page cache included, in MiB."""
        try:
            return int(self.peak_file.read_text()) / 2**20
        except OSError:
            return 0.0

    def throttled(self) -> int:
        """In how many tenths of a second it had to wait."""
        lines = dict(line.split() for line in self.throttle_file.read_text().splitlines())
        return int(lines["nr_throttled"])


@contextlib.contextmanager
def box() -> Iterator[Box]:
    """Make it, prove that it holds, remove it at the end. Raises NoBox."""
    name = f"bench-{os.getpid()}"
    unified = (_ROOT / "cgroup.controllers").exists()
    folders = [_ROOT / name] if unified else [_ROOT / "cpu" / name, _ROOT / "memory" / name]
    made: list[Path] = []
    try:
        try:
            for folder in folders:
                folder.mkdir()
                made.append(folder)
            if unified:
                _limit(folders[0] / "cpu.max", f"{int(CPU * _PERIOD)} {_PERIOD}")
                _limit(folders[0] / "memory.max", str(MIB << 20))
            else:
                _limit(folders[0] / "cpu.cfs_period_us", str(_PERIOD))
                _limit(folders[0] / "cpu.cfs_quota_us", str(int(CPU * _PERIOD)))
                _limit(folders[1] / "memory.limit_in_bytes", str(MIB << 20))
        except OSError as error:
            raise NoBox(f"no control group can be made here ({error.strerror})") from None
        groups = tuple(folder / "cgroup.procs" for folder in folders)
        spun = _spin(groups)
        if spun > 3 * CPU:
            raise NoBox(f"the limit does not hold: a spinner got {spun:.2f} CPU-seconds in one")
        peak = "memory.peak" if unified else "memory.max_usage_in_bytes"
        yield Box(
            groups=groups,
            peak_file=folders[-1] / peak,
            throttle_file=folders[0] / "cpu.stat",
            spun=spun,
        )
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _limit(file: Path, value: str) -> None:
    file.write_text(value)


def _spin(groups: tuple[Path, ...]) -> float:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _SPINNER, *map(str, groups)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NoBox("no process may enter a control group here")
    return float(done.stdout)
