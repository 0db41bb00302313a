"""The report's way out: whatever a terminal, locale or pipe cannot show, the run has its end."""

import json
import os
import pty
import shlex
import subprocess
from pathlib import Path

import psycopg
import pytest

from sandbox import product
from sandbox.stripe_double import StripeDouble
from tests.e2e.reconciling import reconcile

NAME = "Zoë 🐟 \x1b[2J\x1b]0;owned\x07 \u202eevil\u2028\r\nLEAK  subscription sub_forged"
LOCALES = {
    "C": {"LC_ALL": "C"},
    "C without coercion": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}


@pytest.fixture
def drifted(
    environ: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection
) -> str:
    """A customer with an odd name, whose subscription differs in an item's metadata and more."""
    control = stripe_double.control
    customer = control.create_customer(name=NAME, email="zoë@example.com", metadata={NAME: NAME})
    name = control.create_subscription(customer=customer, price="basic", quantity=5)
    control.advance(3_600)
    assert reconcile(environ).status == 0
    drift(connection)
    return name


def drift(connection: psycopg.Connection) -> None:
    connection.execute(
        "UPDATE stripe.subscription_items SET quantity = 12, metadata = %s",
        [json.dumps({NAME: NAME})],
    )
    connection.execute("UPDATE stripe.customers SET name = 'x', metadata = '{}'")


def quantity(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT quantity FROM stripe.subscription_items").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("locale", LOCALES)
def test_repair_is_told_whatever_the_locale_can_show(
    environ: dict[str, str], drifted: str, connection: psycopg.Connection, locale: str, form: str
) -> None:
    done = subprocess.run(
        product.command("reconcile", "--format", form),
        env={**environ, **LOCALES[locale]},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, quantity(connection)) == (0, 5), done.stderr
    text = done.stdout.decode("latin-1" if locale == "latin-1" else "utf-8")
    assert drifted in text
    assert not {one for one in text if not one.isprintable()} - {"\n"}
    assert all(json.loads(line) for line in done.stderr.decode().splitlines())
    assert "example.com" not in done.stderr.decode()
    assert "zo" in text
    assert "example.com" in text


@pytest.mark.parametrize("arguments", [(), ("--report",), ("--report", "--format", "json")])
def test_nothing_reaches_a_terminal_that_could_steer_it(
    environ: dict[str, str], drifted: str, arguments: tuple[str, ...]
) -> None:
    outer, inner = pty.openpty()
    with subprocess.Popen(
        product.command("reconcile", *arguments),
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=inner,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(inner)
        shown = b""
        try:
            while more := os.read(outer, 65_536):
                shown += more
        except OSError:  # its end, on Linux
            pass
        assert process.wait(timeout=60) == 0
    os.close(outer)
    text = shown.decode().replace("\r\n", "\n")
    assert drifted in text
    assert not {one for one in text if not one.isprintable()} - {"\n"}
    assert "\nLEAK" not in text


@pytest.mark.usefixtures("drifted")
@pytest.mark.parametrize("redirection", [">&-", "| head -c 1 >/dev/null", "| true", "2>&-"])
def test_reader_that_is_none_costs_no_repair(
    environ: dict[str, str], connection: psycopg.Connection, redirection: str
) -> None:
    command = shlex.join(product.command("reconcile"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} {redirection}"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert quantity(connection) == 5
    assert "Traceback" not in done.stderr + done.stdout
    if redirection.endswith(">&-"):
        assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("drifted")
def test_file_holds_the_whole_report_and_what_is_no_file_is_written_to(
    environ: dict[str, str], tmp_path: Path
) -> None:
    target = tmp_path / "report"
    ascii_only = {**environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    assert reconcile(ascii_only, "--report", "--output", str(target)).status == 0
    assert "Zoë 🐟" in target.read_text(encoding="utf-8")
    assert reconcile(ascii_only, "--report", "--output", "/dev/null").status == 0
