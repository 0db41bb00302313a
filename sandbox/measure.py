"""What a command costs: processor time, peak memory, wall time."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
from msgspec import Struct

# The kernel counts the memory of the process that starts another one towards the other's peak, so
# a small one stands between. It puts the command, not itself, into control groups.
_LAUNCHER = """
import json, os, sys
result, groups, command = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
pid = os.fork()
if pid == 0:
    for group in groups:
        with open(group, "w") as file:
            file.write(str(os.getpid()))
    os.execv(command[0], command)
_, status, usage = os.wait4(pid, 0)
with open(result, "w") as file:
    cpu = usage.ru_utime + usage.ru_stime
    json.dump([os.waitstatus_to_exitcode(status), cpu, usage.ru_maxrss], file)
"""
# ru_maxrss is in KiB on Linux, in bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_LOOK_SECONDS = 0.1


class Usage(Struct, frozen=True, kw_only=True):
    """A command that has ended, with all its descendants: CPU and wall in seconds, peak in MiB.

    The peak of a single process is the kernel's own; where there were several at once, their sum
    as it was seen ten times a second.
    """

    status: int
    cpu: float
    wall: float
    peak: float
    stdout: str
    stderr: str


def measured(
    command: Sequence[str], *, environ: Mapping[str, str], groups: Sequence[Path] = ()
) -> Usage:
    """Run a command to its end, inside control groups where their `cgroup.procs` are named."""
    with tempfile.TemporaryDirectory() as folder:
        result, stdout, stderr = (Path(folder) / name for name in ("usage", "stdout", "stderr"))
        began = time.monotonic()
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(result)),
                    json.dumps([str(group) for group in groups]),
                    *command,
                ],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            with TreePeak(process.pid) as tree:
                if process.wait() != 0:
                    raise RuntimeError(stderr.read_text(errors="replace")[-2000:])
        wall = time.monotonic() - began
        status, cpu, peak = json.loads(result.read_text(encoding="utf-8"))
        return Usage(
            status=status,
            cpu=cpu,
            wall=wall,
            peak=max(peak * _RSS_UNIT, tree.peak) / 2**20,
            stdout=stdout.read_text(encoding="utf-8"),
            stderr=stderr.read_text(encoding="utf-8"),
        )


class Repeatedly:
    """Calls `look` every so many seconds, beside its `with` block and until that ends."""

    def __init__(self, look: Callable[[], None], every: float) -> None:
        self._look = look
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        self._look()
        while not self._ended.wait(self._every):
            self._look()


class TreePeak(Repeatedly):
    """Watches the descendants of a process; `peak` in bytes, 0 unless there were several at once.

    Pages that they share count once (proportional set size), where the system tells.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(self._weigh, _LOOK_SECONDS)
        self.peak = 0
        self._root = psutil.Process(pid)

    def _weigh(self) -> None:
        with suppress(psutil.NoSuchProcess):
            family = self._root.children(recursive=True)
            if len(family) > 1:
                self.peak = max(self.peak, sum(memory_of(member) for member in family))


def memory_of(process: psutil.Process) -> int:
    """Resident bytes of a process, shared pages by its share in them; 0 when it is gone."""
    with suppress(psutil.NoSuchProcess):
        try:
            return int(process.memory_full_info().pss)
        except (AttributeError, psutil.AccessDenied):
            return int(process.memory_info().rss)
    return 0


def cpu_of(process: psutil.Process) -> float:
    """Processor seconds of a running process and of its descendants, those that ended too."""
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used = member.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total
