"""What each command says of one fault: its sentence, without the command's own way of saying it."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache

from sandbox.stripe_double import StripeDouble
from shared.errors import SettingsError
from shared.settings import WebhookSettings, load
from tests.builders import Endpoint

OK = "ok"
COMMANDS: dict[str, tuple[str, ...]] = {
    "migrate": ("migrate",),
    "migrate --check": ("migrate", "--check"),
    "webhook --check": ("webhook", "--check"),
    "reconcile": ("reconcile",),
    "reconcile --report": ("reconcile", "--report"),
    "reconcile replay": ("reconcile", "replay"),
}
READYZ = "/readyz"

_ITS_OWN_WAY = re.compile(
    r"^(migrate|webhook|reconcile|reconcile replay): (nothing was changed: )?"
    r"|^[A-Z]\w+: (?=[^:])"
    r"|; the server says: .*$"
    # What came of it, which only a run has to say.
    r"|; (no existing row was changed|nothing was written)\b.*$"
    r"|GET /\S+: \d+ \(request \S+\): "
)


def sentence(text: str) -> str:
    """The sentence alone."""
    while (shorter := _ITS_OWN_WAY.sub("", text, count=1)) != text:
        text = shorter
    return text.strip()


def said_by(
    environ: Mapping[str, str],
    commands: Sequence[str] = tuple(COMMANDS),
    deadline: str | None = None,
) -> dict[str, tuple[str, str]]:
    """The sentence with which each command ends, or `ok`; and all that it wrote.

    `deadline`: how long a run waits for a database that is not there.
    """
    more = () if deadline is None else ("--deadline", deadline)
    lines = [
        (*COMMANDS[name], *(more if COMMANDS[name][0] == "reconcile" else ())) for name in commands
    ]
    ended = _ended(environ, lines)
    return {name: _said(name, *one) for name, one in zip(commands, ended, strict=True)}


@cache
def _forks() -> subprocess.Popen[str]:
    """The interpreter that forks, one for all tests of this process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.forked"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _ended(
    environ: Mapping[str, str], lines: Sequence[Sequence[str]]
) -> list[tuple[int, str, str]]:
    """Exit status, standard output and standard error of command lines run side by side."""
    forks = _forks()
    assert forks.stdin is not None
    assert forks.stdout is not None
    forks.stdin.write(json.dumps([dict(environ), lines]) + "\n")
    forks.stdin.flush()
    ended: list[tuple[int, str, str]] = json.loads(forks.stdout.readline())
    return ended


def _said(command: str, status: int, stdout: str, stderr: str) -> tuple[str, str]:
    output = stdout + stderr
    if status == 0:
        return OK, output
    assert status in {1, 2}, output
    if not command.startswith("reconcile") or status == 2:
        words = [line for line in stderr.splitlines() if not line.startswith('{"time":')]
        return sentence("\n".join(words)), output
    last = json.loads(stderr.splitlines()[-1])
    return sentence(last.get("error") or last.get("reason")), output


def said_by_readyz(environ: Mapping[str, str], double: StripeDouble) -> tuple[str, str]:
    """The sentence in the line of the log, the body and the line."""
    try:
        load(WebhookSettings, environ)
    except SettingsError as error:
        return sentence(str(error)), ""
    with Endpoint(environ["DATABASE_URL"], double, key=environ["STRIPE_SECRET_KEY"]) as endpoint:
        answer = endpoint.get("/readyz")
        (line,) = [line for line in endpoint.logged() if line.get("path") == "/readyz"]
    output = answer.get_data(as_text=True) + json.dumps(line)
    if answer.status_code == 200:
        return OK, output
    assert set(answer.get_json()) == {"ready", "reason"}
    return sentence(line["error"]), output


def said_by_all(
    environ: Mapping[str, str], double: StripeDouble, deadline: str | None = None
) -> tuple[dict[str, str], str]:
    """What each command says of the same environment, and all that they wrote."""
    said = {**said_by(environ, deadline=deadline), READYZ: said_by_readyz(environ, double)}
    lines = [line for _, words in said.values() for line in words.splitlines(keepends=True)]
    written = "".join(line for line in lines if '"database.waiting"' not in line)
    return {name: one for name, (one, _) in said.items()}, written
