"""What every command does alike: --version, --help, words, signals, readers that go away."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from sandbox import product
from shared.version import version
from tests.e2e.reconciling import reconcile
from tests.integration.witness import blocked

COMMANDS = {
    "webhook": ["webhook"],
    "reconcile": ["reconcile"],
    "reconcile replay": ["reconcile", "replay"],
    "migrate": ["migrate"],
    "python -m webhook.server": [sys.executable, "-m", "webhook.server"],
    "python -m reconcile.cli": [sys.executable, "-m", "reconcile.cli"],
    "python -m shared.migrate": [sys.executable, "-m", "shared.migrate"],
}
HEAVY = {"psycopg", "stripe", "flask", "gunicorn", "urllib3", "dotenv", "xxhash", "ctypes", "ssl"}
SETTINGS = {
    "DATABASE_URL": "postgresql:///x",
    "STRIPE_SECRET_KEY": "sk_test_double",
    "STRIPE_WEBHOOK_SECRET": "whsec_double",
}


def run(name: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    line = COMMANDS[name]
    if line[0] != sys.executable:
        line = product.command(*line)
    return subprocess.run(
        [*line, *arguments],
        env=product.environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_version_is_one_line_and_needs_no_settings(name: str) -> None:
    done = run(name, "--version", PORT="nonsense")
    assert (done.returncode, done.stderr) == (0, "")
    python = ".".join(map(str, sys.version_info[:3]))
    assert version() != "unknown"
    program = {"server": "webhook", "cli": "reconcile"}.get(name.rpartition(".")[2], "")
    program = program or re.split(r"[ .]", name)[-1 if "migrate" in name else 0]
    assert done.stdout == f"{program} {version()} (Python {python})\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_version_settings_and_exit_statuses(name: str) -> None:
    done = run(name, "--help", PORT="nonsense")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("usage: ", "--version", "settings", "exit status: 0 "):
        assert word in done.stdout


@pytest.mark.parametrize(
    "module", ["webhook.server", "reconcile.cli", "reconcile.commands.replay", "shared.migrate"]
)
def test_help_imports_nothing_that_only_the_work_needs(module: str) -> None:
    """It is what keeps --help, and every refusal, within a tenth of a CPU-second."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert HEAVY & set(done.stdout.split()) == set()


def test_help_lists_every_word_with_its_sentence() -> None:
    done = run("reconcile", "--help")
    assert re.search(r"^  replay +Try failed events again", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "typed, said",
    [
        (("relpay",), "did you mean `reconcile replay`?"),
        (("report",), "did you mean `reconcile --report`?"),
        (("xyzzy",), "words: replay"),
        (("--report", "replay"), "a word comes first: `reconcile replay`"),
        (("replay", "--report"), "`reconcile replay --help` says what it takes"),
        (("replay", "evt_1", "evt_2"), "`reconcile replay --help` says what it takes"),
        (("--replay", "--exit-code"), "`reconcile replay --help` says what it takes"),
        (("--replay=evt_1", "--report"), "`reconcile replay --help` says what it takes"),
        (("--every-field", "--subscription", "sub_1"), "--every-field does not go with"),
        (("sk_live_c4n4ry",), "there is no `reconcile ***`"),
        (("--sk_live_c4n4ry",), "unrecognized arguments: --***"),
    ],
    ids=str,
)
def test_usage_that_makes_no_sense_is_told_with_the_next_step(
    typed: tuple[str, ...], said: str
) -> None:
    done = run("reconcile", *typed, **SETTINGS)
    assert (done.returncode, done.stdout) == (2, "")
    *before, last = done.stderr.splitlines()
    assert before[-1].startswith(("usage: reconcile", " "))
    assert re.match(r"reconcile( replay)?: error: ", last)
    assert said in last
    assert "c4n4ry" not in done.stderr


def test_option_that_a_word_replaced_does_the_same_and_says_so(
    environ: dict[str, str],
) -> None:
    assert reconcile(environ).status == 0
    new = reconcile(environ, "replay", "evt_1Never", "--deadline", "30")
    assert new.status == 1
    assert new.stdout == "evt_1Never is not in the ledger: it never arrived\n"
    assert new.stderr == ""
    for typed in (
        ("--replay", "evt_1Never", "--deadline", "30"),
        ("--deadline", "30", "--repl=evt_1Never"),
    ):
        old = reconcile(environ, *typed)
        assert (old.status, old.stdout) == (new.status, new.stdout)
        (line,) = old.log
        assert (line["event"], line["use"]) == ("option.deprecated", "reconcile replay")
    assert reconcile(environ, "--replay").stdout == "0 replayed, 0 still failed\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_migrate_that_waits_for_another_stops_at_a_signal_with_nothing_changed(
    empty_database_url: str, number: signal.Signals
) -> None:
    environ = product.environment(DATABASE_URL=empty_database_url)
    with psycopg.connect(empty_database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(7306095128417266)")
        with subprocess.Popen(
            product.command("migrate"), env=environ, stderr=subprocess.PIPE, text=True
        ) as process:
            with psycopg.connect(empty_database_url, autocommit=True) as looking:
                product.wait_until(lambda: blocked(looking) > 0, "it waits for the lock")
            process.send_signal(number)
            began = time.monotonic()
            _, said = process.communicate(timeout=30)
            assert time.monotonic() - began < 10
        last = said.splitlines()[-1]
        assert (process.returncode, last) == (1, "migrate: stopped by a signal")
    with psycopg.connect(empty_database_url) as looking:
        assert looking.execute("SELECT to_regnamespace('stripe')").fetchone() == (None,)


@pytest.mark.parametrize("typed", ["migrate --roles", "reconcile --help", "webhook --version"])
@pytest.mark.parametrize("reader", ["| true", "> /dev/full"])
def test_reader_that_takes_nothing_is_exit_1_and_no_raw_traceback(typed: str, reader: str) -> None:
    command = shlex.join(product.command(*typed.split()))
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", f"{command} {reader}"],
        env=product.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # What is written before the reader goes may have found room in the pipe.
    assert done.returncode in ({1} if "full" in reader else {0, 1})
    assert not re.search("^Traceback|Exception ignored", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_stream_that_is_closed_changes_no_exit_status(closed: str) -> None:
    for typed, status in (("migrate --roles", 0), ("migrate", 2), ("webhook --version", 0)):
        command = shlex.join(product.command(*typed.split()))
        done = subprocess.run(
            ["/bin/sh", "-c", f"{command} {closed}"],
            env=product.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        if "2>" in closed and status:
            assert done.stdout == "", "what is for standard error is not for the other"


def test_fault_of_the_program_is_one_line_of_log_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import sys\n"
        "from shared.command import Command\n"
        "from shared.settings import SchemaSettings\n"
        "def work(call):\n"
        "    raise KeyError('sk_live_c4n4ry')\n"
        "main = Command(name='broken', summary='', settings=SchemaSettings, execute=work)\n"
        "sys.exit(main())\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "broken.py"],
        env=product.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, line["event"], line["exit_status"]) == (1, "command.failed", 1)
    assert line["error"]["type"] == "KeyError"
    assert "broken.py:5:work" in line["error"]["traceback"][-1]
    assert "c4n4ry" not in done.stderr
