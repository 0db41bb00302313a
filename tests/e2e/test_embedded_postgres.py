"""The sandbox's private server: what the demo, the tests and the chaos work lean on."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from sandbox.postgres import LONGEST_SOCKET_PATH, EmbeddedPostgres

LIMIT_SECONDS = 30.0
RUN = (sys.executable, "-m", "sandbox.postgres", "run", "--")
# Prints what to look for afterwards and waits to be ended.
OWNER = """
from sandbox.postgres import EmbeddedPostgres
server = EmbeddedPostgres.start()
print(server.pid, server.folder, flush=True)
input()
"""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_owner_that_is_killed_leaves_neither_server_nor_folder(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        pid, folder = owner.stdout.readline().split()
        assert is_running(int(pid))
        owner.send_signal(how)
    wait_until(lambda: not is_running(int(pid)) and not Path(folder).exists())


def test_crash_keeps_what_was_committed_and_the_url() -> None:
    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.url(), autocommit=True) as before:
            before.execute("CREATE TABLE kept AS SELECT 7 AS seven")
            first = server.pid
            server.stop_hard()
            assert not is_running(first)
            with pytest.raises(psycopg.OperationalError):
                before.execute("SELECT 1")
        server.restart()
        with psycopg.connect(server.url()) as after:
            assert after.execute("SELECT seven FROM kept").fetchone() == (7,)
    assert not server.folder.exists()


def test_frozen_server_answers_once_it_is_thawed() -> None:
    with EmbeddedPostgres.start() as server, psycopg.connect(server.url()) as connection:
        server.freeze()
        answers: list[object] = []
        asking = threading.Thread(
            target=lambda: answers.append(connection.execute("SELECT 1").fetchone())
        )
        asking.start()
        asking.join(0.2)
        assert answers == []
        server.thaw()
        asking.join(LIMIT_SECONDS)
        assert answers == [(1,)]


def test_nobody_else_can_enter_its_folder() -> None:
    with EmbeddedPostgres.start() as server:
        about = server.folder.stat()
        assert about.st_mode & 0o777 == 0o700
        assert psutil.Process(server.pid).uids().effective == about.st_uid != 0
        assert psutil.Process(server.pid).net_connections("inet") == []


@pytest.mark.parametrize("programs", ["", "wheel"])
def test_run_hands_on_the_url_and_the_exit_status(programs: str) -> None:
    script = "import os, psycopg, sys; psycopg.connect(os.environ['DATABASE_URL']); sys.exit(7)"
    done = subprocess.run(
        [*RUN, sys.executable, "-W", "ignore", "-c", script],
        env=os.environ | {"EMBEDDED_POSTGRES": programs},
        check=False,
        timeout=LIMIT_SECONDS * 2,
    )
    assert done.returncode == 7


def test_command_ended_by_a_signal_gives_the_status_a_shell_would() -> None:
    done = subprocess.run([*RUN, "sh", "-c", "kill -9 $$"], check=False, timeout=LIMIT_SECONDS * 2)
    assert done.returncode == 128 + 9


def test_too_long_a_folder_name_is_refused_with_the_cure(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * LONGEST_SOCKET_PATH)
    deep.mkdir()
    done = subprocess.run(
        [*RUN, "true"],
        env=os.environ | {"TMPDIR": str(deep)},
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 127
    assert "Set TMPDIR" in done.stderr
    assert list(deep.iterdir()) == []
