"""`make demo`: the story ends well, shows what it claims, and leaves nothing behind."""

import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sandbox import product
from sandbox.product import wait_until
from sandbox.stripe_double import StripeDouble

README = Path(__file__).parents[2] / "README.md"
DEMO = (sys.executable, "-m", "sandbox.demo")


def private(folder: Path) -> dict[str, str]:
    """Temporary files of the demo's own; a socket's path may not be long."""
    return {**product.environment(), "TMPDIR": str(folder)}


@pytest.fixture
def folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="d-", dir="/tmp")


def report_in_the_readme() -> list[str]:
    """What the README says that the demo prints, each line that is not left out."""
    (block,) = re.findall(r"```text\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    return [line for line in shortened(block) if line != "..."]


def shortened(text: str) -> list[str]:
    """Its lines without indent and moment: the demo's four hours ago are another time each day."""
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    return [re.sub(moment, "then", line.strip()) for line in text.splitlines()]


def test_demo_finds_drift_repairs_it_and_ends_with_none(
    folder: "tempfile.TemporaryDirectory[str]",
) -> None:
    with folder as name:
        Path(name).chmod(0o755)
        done = subprocess.run(
            DEMO,
            env=private(Path(name)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert list(Path(name).iterdir()) == []
    first, rest = done.stdout.split("8. What drifted?")[1].split("9. The nightly run")
    middle, last = rest.split("10. And again")
    for word in ("LEAK  subscription", "LOCKOUT  subscription", "MONEY  subscription", "DRIFT: 9"):
        assert word in first
    assert "status: active -> canceled" in first
    assert "unit_amount: 490 in minor units -> 4900" in first
    assert "name: Prowl -> Pro" in first
    assert "REPAIRED: 9 of 9" in middle
    assert "IN SYNC: no drift" in last
    assert not [line for line in report_in_the_readme() if line not in shortened(first)]


def test_demo_that_is_interrupted_cleans_up(folder: "tempfile.TemporaryDirectory[str]") -> None:
    with folder as name:
        Path(name).chmod(0o755)
        with subprocess.Popen(
            DEMO,
            env={**private(Path(name)), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as demo:
            assert demo.stdout is not None
            for line in demo.stdout:
                if line.startswith("3. The webhook starts"):
                    break
            demo.send_signal(signal.SIGINT)
            _, words = demo.communicate(timeout=60)
        assert demo.returncode == 130
        assert "interrupted" in words
        wait_until(lambda: list(Path(name).iterdir()) == [], "the demo's files to be gone")


def test_real_database_and_key_are_not_touched_without_consent() -> None:
    environ = product.environment(
        DATABASE_URL="postgresql:///nowhere?host=/nowhere", STRIPE_SECRET_KEY="sk_test_x"
    )
    done = subprocess.run(
        DEMO, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "Nothing was done" in done.stderr
    assert "DEMO_REAL=yes" in done.stderr
    assert "$ " not in done.stdout


def test_demo_with_consent_runs_the_same_commands_against_what_is_named(
    environ: dict[str, str], stripe_double: StripeDouble
) -> None:
    stripe_double.control.seed(5)
    done = subprocess.run(
        DEMO,
        env={**environ, "DEMO_REAL": "yes"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "DRIFT: 10 differences, nothing was written" in done.stdout
    assert "FILLED: the database was empty, 10 rows were inserted" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].strip().startswith("IN SYNC")
