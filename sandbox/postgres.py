"""A private PostgreSQL for demos and tests: socket only, in its own folder, gone at exit.

    python -m sandbox.postgres run -- COMMAND...

runs a command beside one, with DATABASE_URL and TEST_DATABASE_URL set.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

from sandbox.postgres_programs import PostgresUnavailable, ServerUser, find_programs

# sockaddr_un.sun_path is 108 bytes on Linux and 104 on macOS, with the final NUL.
LONGEST_SOCKET_PATH = 103
MEMORY = "/dev/shm"  # noqa: S108 - mkdtemp makes a private folder in it
ROOM = 4 << 30
START_SECONDS = 60.0
STOP_SECONDS = 15.0

# fsync is off because the data is thrown away. synchronous_commit stays on: what was committed
# survives a crash of the server (stop_hard), only not one of the machine.
# Shared memory lies in the data folder, so that a killed server leaves none behind.
OPTIONS = {
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "timezone": "UTC",
}

# Its standard input is a pipe that ends when the owner closes it or dies, by kill -9 too.
# PDEATHSIG would be Linux only, fire when a mere thread ends and leave the folder behind.
# Each line names the process to end with the owner; 0 stands for none.
WATCHDOG = """
pid=0
while read -r line; do pid=$line; done
tries=0
if [ "$pid" -gt 0 ]; then
    kill -CONT "$pid"; kill -QUIT "$pid"
    while kill -0 "$pid" && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
until rm -rf "$1" || [ "$tries" -ge 150 ]; do sleep 0.1; tries=$((tries + 1)); done
"""


class EmbeddedPostgres:
    """A running private server: superuser `postgres`, no password, UTF8, locale C.

    Only its owner (and root) can reach the socket, because only they can enter the folder.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = OPTIONS | dict(options)
        self._user = ServerUser.choose()
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = _make_folder(self._user, lasting=self._options["fsync"] != "off")
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", self.folder],
            bufsize=0,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._programs = find_programs(self._user, self.folder)
            self._create()
            self.restart()
        except BaseException:
            self.close()
            raise

    @classmethod
    def start(cls, options: Mapping[str, str] | None = None) -> Self:
        """Create a server and wait until it answers; `options` are settings ({"fsync": "on"}).

        Raises PostgresUnavailable.
        """
        return cls(options or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the server's first process."""
        return self._running().pid

    def url(self, dbname: str = "postgres") -> str:
        """A libpq URL, the same after a restart(). Names all that PGUSER or PGPORT could bend."""
        host = urllib.parse.quote(str(self.folder), safe="/")
        return f"postgresql:///{urllib.parse.quote(dbname)}?host={host}&port=5432&user=postgres"

    def program(self, name: str) -> Path | None:
        """A program that stands beside the server's own (`pgbench`), None where it does not."""
        found = self._programs / name
        return found if found.exists() else None

    def stop_hard(self) -> None:
        """Crash: no checkpoint, every connection cut. restart() recovers what was committed."""
        self._stop(signal.SIGQUIT)

    def restart(self) -> None:
        """Start again, after an orderly stop if it still runs, and wait until it answers."""
        self._stop(signal.SIGINT)
        log = self.folder / "server.log"
        settings = self._options | {"unix_socket_directories": str(self.folder)}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with log.open("ab") as output:
            self._process = self._user.popen(
                [self._programs / "postgres", "-D", self.folder / "data", "-p", "5432", *arguments],
                folder=self.folder,
                output=output.fileno(),
            )
        self._tell_watchdog(self._process.pid)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop(signal.SIGQUIT)
                raise PostgresUnavailable(f"PostgreSQL did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)

    def freeze(self) -> None:
        """Halt every process of the server, as on a hanging machine: sockets stay open."""
        first = psutil.Process(self.pid)
        # The first one first: it could start more while the others are being listed.
        first.suspend()
        for process in first.children(recursive=True):
            process.suspend()

    def thaw(self) -> None:
        """Let a frozen server go on; does nothing to one that runs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.pid)
            for process in (*first.children(recursive=True), first):
                process.resume()

    def close(self) -> None:
        """Stop the server and remove its folder. Safe to call twice."""
        self._stop(signal.SIGINT)
        if self._watchdog.stdin:
            self._watchdog.stdin.close()
        self._watchdog.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise PostgresUnavailable("The server is stopped. Call restart().")
        return self._process

    def _create(self) -> None:
        initdb = self._user.popen(
            [
                *(self._programs / "initdb", "-D", self.folder / "data", "--username=postgres"),
                *("--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"),
            ],
            folder=self.folder,
            output=subprocess.PIPE,
        )
        self._tell_watchdog(initdb.pid)
        words = initdb.communicate()[0]
        self._tell_watchdog(0)
        if initdb.returncode != 0:
            raise PostgresUnavailable(f"initdb failed:\n{words.decode(errors='replace')[-2000:]}")

    def _is_ready(self, pid: int) -> bool:
        """What pg_ctl --wait looks at. A file left by a crash names another process."""
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return lines[0] == str(pid) and lines[7:8] == ["ready   "]

    def _stop(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self.thaw()
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        self._process = None
        self._tell_watchdog(0)

    def _tell_watchdog(self, pid: int) -> None:
        if self._watchdog.stdin:
            self._watchdog.stdin.write(b"%d\n" % pid)


def _memory() -> str | None:
    """A folder in memory, where there is one with room: a database is cloned there in a tenth."""
    try:
        there = os.statvfs(MEMORY)
    except OSError:
        return None
    room = there.f_bavail * there.f_frsize >= ROOM and not there.f_flag & os.ST_NOEXEC
    fit = room and os.access(MEMORY, os.W_OK) and "TMPDIR" not in os.environ
    return MEMORY if fit else None


def _make_folder(user: ServerUser, *, lasting: bool) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=None if lasting else _memory()))
    socket_path = folder / ".s.PGSQL.5432"
    if len(os.fsencode(socket_path)) > LONGEST_SOCKET_PATH:
        folder.rmdir()
        raise PostgresUnavailable(
            f"A socket's path has at most {LONGEST_SOCKET_PATH} bytes, {socket_path} has more. "
            "Set TMPDIR to a folder with a shorter name."
        )
    os.chown(folder, user.uid, user.gid)
    return folder


def run(command: Sequence[str], options: Mapping[str, str]) -> int:
    """Run a command beside a private server; its exit status, 128 + N if signal N ended it."""
    with EmbeddedPostgres.start(options) as server:
        urls = dict.fromkeys(("DATABASE_URL", "TEST_DATABASE_URL"), server.url())
        child = subprocess.Popen(command, env=os.environ | urls)
        # A terminal's Ctrl-C reaches the command by itself, and the server must outlive it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _frame: child.send_signal(received))
        status = child.wait()
    return status if status >= 0 else 128 - status


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.postgres", description=__doc__)
    verb = parser.add_subparsers(required=True, metavar="run").add_parser("run")
    verb.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="options")
    verb.add_argument("command", nargs="+", help="what to run")
    given = parser.parse_args()
    try:
        return run(given.command, dict(option.split("=", 1) for option in given.options))
    except (PostgresUnavailable, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
