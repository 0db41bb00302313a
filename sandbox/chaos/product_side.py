"""The product's processes under fire: two `webhook` services and one `reconcile` after another."""

import http.client
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from sandbox import product

_ORPHAN_SECONDS = 30.0
_END_SECONDS = 300.0

NO_RUN = "not begun"
"""How a run ends that did not get the lease, or could not reach the database or Stripe."""


class WebhookService:
    """`webhook` with two workers on a port that stays the same through every restart."""

    def __init__(self, port: int, environ: Mapping[str, str], log: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{self.port}/webhook"
        self.helped = 0
        self._environ = {**environ, "PORT": str(self.port), "WEB_CONCURRENCY": "2"}
        self._log = log
        self.start()

    def start(self) -> None:
        self._process = product.start("webhook", environ=self._environ, log=self._log)

    def workers(self) -> list[psutil.Process]:
        return product.children(self._process)

    def kill_master(self) -> None:
        """And start another, as a platform does. The workers must notice and end by themselves."""
        orphans = self.workers()
        self._process.kill()
        self._process.wait()
        _, left = psutil.wait_procs(orphans, _ORPHAN_SECONDS)
        self.helped += len(left)
        for orphan in left:
            orphan.kill()
        self.start()

    def is_whole(self) -> bool:
        """True when it is ready and has both its workers."""
        return len(self.workers()) == 2 and self._is_ready()

    def recover(self, seconds: float = 60.0) -> None:
        """Wait until it is whole; one that does not become so by itself is started anew."""
        try:
            product.wait_until(self.is_whole, "the webhook", seconds)
        except TimeoutError:
            self.helped += 1
            product.end(self._process)
            self.start()
            product.wait_until(self.is_whole, "a webhook that was started anew", seconds)

    def stop(self) -> None:
        """As a platform stops a container."""
        self._process.terminate()
        try:
            self._process.wait(product.STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.helped += 1
            product.end(self._process)

    def end(self) -> None:
        """Whatever state it is in. Safe to call twice."""
        product.end(self._process)

    def _is_ready(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return product.get(self.port, "/readyz")[0] == 200
        return False


class Reconciler:
    """Runs `reconcile` again and again, and keeps how each run ended."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder
        self._count = 0
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self.endings: Counter[str] = Counter()
        self.repaired = 0
        self.helped = 0

    def run(self, **settings: str) -> tuple[str, dict[str, Any] | None]:
        """One run to its end: how it ended, and its report where it made one."""
        with self._lock:
            self._count += 1
            report = self._folder / f"report-{self._count}.json"
            process = product.start(
                *("reconcile", "--format", "json", "--output", str(report)),
                environ={**self._environ, **settings},
                log=self._folder / "reconcile.log",
            )
            self._running.append(process)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.helped += 1
            process.kill()
            process.wait()
        with self._lock:
            self._running.remove(process)
        found: dict[str, Any] | None = None
        if report.exists():
            found = json.loads(report.read_text(encoding="utf-8"))
            report.unlink()
        return self._note(process.returncode, found), found

    def stop(self) -> None:
        """SIGTERM to whatever runs, and wait for it."""
        for process in self.processes():
            process.terminate()
        product.wait_until(lambda: not self.processes(), "reconcile to stop", _END_SECONDS)

    def processes(self) -> list[subprocess.Popen[bytes]]:
        with self._lock:
            return list(self._running)

    def _note(self, status: int, report: dict[str, Any] | None) -> str:
        ending: str = NO_RUN
        with self._lock:
            if report is not None:
                ending = report["run"]["outcome"]
                self.repaired += report["counts"]["repaired"]
            elif status < 0:
                ending = "killed"
            self.endings[ending] += 1
        return ending
