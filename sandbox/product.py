"""The product's public commands, run as an operator runs them; nothing of it is imported."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import psutil

FOLDER = Path(sys.executable).parent
START_SECONDS = 30.0
STOP_SECONDS = 20.0

# An allow-list, so that no setting of the person's own shell reaches the private world.
# The last is how `make test-cov` counts the lines that a command runs.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "COVERAGE_PROCESS_CONFIG")


def environment(**settings: str) -> dict[str, str]:
    """An environment that holds these settings of the product and no others."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**kept, "ENV_FILE": os.devnull, **settings}


def command(name: str, *arguments: str) -> list[str]:
    """The command line of `migrate`, `webhook` or `reconcile` of this very installation."""
    return [str(FOLDER / name), *arguments]


def run(
    name: str, *arguments: str, environ: Mapping[str, str], timeout: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; the caller looks at its exit status."""
    return subprocess.run(
        command(name, *arguments),
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start(
    name: str, *arguments: str, environ: Mapping[str, str], log: Path, open_files: int | None = None
) -> "subprocess.Popen[bytes]":
    """Start a command whose output goes to the end of a file.

    `open_files`: it may have so many, as `ulimit -n` says.
    """
    limit = f'ulimit -n {open_files} && exec "$0" "$@"'
    limited = [] if open_files is None else ["/bin/sh", "-c", limit]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*limited, *command(name, *arguments)],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def children(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The processes that it has started itself and that are left."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children()
    return []


def end(process: "subprocess.Popen[bytes]") -> None:
    """End it with its children, whatever state they are in. Safe to call twice."""
    family = children(process)
    process.kill()
    for child in family:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()


def get(port: int, path: str) -> tuple[int, bytes]:
    """Ask a server on this machine: status and body. OSError or HTTPException without an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Raises TimeoutError, which says `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        threading.Event().wait(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Webhook:
    """The command `webhook` in a process of its own, on a free port, its output in a file."""

    def __init__(
        self, environ: Mapping[str, str], log: Path, *, open_files: int | None = None
    ) -> None:
        """Returns when it answers. Raises RuntimeError with its last words if it ends instead."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/webhook"
        self._log = log
        own = {**environ, "PORT": str(self.port)}
        self.process = start("webhook", environ=own, log=log, open_files=open_files)
        try:
            wait_until(self._answers, "the webhook's first answer")
        except BaseException:
            self.kill()
            raise

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Ask `/healthz` or `/readyz`: status and body."""
        status, body = get(self.port, path)
        return status, json.loads(body)

    @property
    def root(self) -> psutil.Process:
        """The first process, parent of the workers."""
        return psutil.Process(self.process.pid)

    def workers(self) -> list[psutil.Process]:
        """The worker processes."""
        return children(self.process)

    def log(self) -> list[dict[str, Any]]:
        """Every whole line of the log so far, each an object."""
        text = self._log.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        return [json.loads(line) for line in whole.splitlines()]

    def stop(self) -> int:
        """SIGTERM, as a platform stops a container; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it with its workers, whatever state they are in. Safe to call twice."""
        end(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            words = self._log.read_text(encoding="utf-8")[-2000:]
            raise RuntimeError(f"webhook ended with {self.process.returncode}:\n{words}")
        try:
            return self.get("/healthz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False
