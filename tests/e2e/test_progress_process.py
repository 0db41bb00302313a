"""What a person at a terminal sees of a run while it runs."""

import json
import os
import pty
import re
import subprocess
from collections.abc import Mapping

from sandbox import product
from sandbox.stripe_double import StripeDouble


def at_a_terminal(environ: Mapping[str, str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output, and all that came to the terminal on standard error."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        product.command("reconcile", *arguments),
        env={**environ, "TERM": "xterm", "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    ) as process:
        os.close(slave)
        told = b""
        try:
            while chunk := os.read(master, 65_536):
                told += chunk
        except OSError:  # the process closed its end
            pass
        assert process.stdout is not None
        report = process.stdout.read()
    os.close(master)
    return process.returncode, report, told.decode()


def test_terminal_shows_a_bar_between_whole_log_lines(
    environ: dict[str, str], stripe_double: StripeDouble
) -> None:
    stripe_double.control.seed(30)
    talkative = {**environ, "LOG_LEVEL": "DEBUG"}
    status, report, told = at_a_terminal(talkative, "--format", "json")
    assert status == 0
    assert json.loads(report)["counts"]["repaired"] == 60
    frames = re.split(r"\r\n|\r|\x1b\[K", told)
    lines = [json.loads(frame) for frame in frames if frame.startswith("{")]
    assert lines[-1]["event"] == "run.finished"
    assert "window.compared" in {line["event"] for line in lines}
    rest = {frame for frame in frames if frame and not frame.startswith("{")}
    assert rest
    assert all(
        frame.startswith(("comparing", "second look", "repairs", "events")) for frame in rest
    )
    assert told.endswith("}\r\n"), "and the bar is gone"
