"""`reconcile` as a process: to its end, or held where a test wants it."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox import product


class Ended:
    """A run that is over: its exit status, its report, its log."""

    def __init__(self, status: int, stdout: str, stderr: str) -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    @property
    def log(self) -> list[dict[str, Any]]:
        """Standard error, every line of which is one JSON object."""
        return [json.loads(line) for line in self.stderr.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        """The last line of the log, which says why a run did not succeed."""
        return self.log[-1]

    @property
    def report(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.stdout)


def reconcile(environ: Mapping[str, str], *arguments: str) -> Ended:
    done = product.run("reconcile", *arguments, environ=environ)
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def reconciling(environ: Mapping[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run in progress; it is gone when the block ends."""
    with subprocess.Popen(
        product.command("reconcile", *arguments),
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def end_of(process: subprocess.Popen[str], seconds: float = 60.0) -> Ended:
    """Wait for a run in progress."""
    stdout, stderr = process.communicate(timeout=seconds)
    return Ended(process.returncode, stdout, stderr)
