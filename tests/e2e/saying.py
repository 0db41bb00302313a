"""What each command says of one fault: its sentence, without the command's own way of saying it."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

from sandbox.stripe_double import StripeDouble
from shared.errors import SettingsError
from shared.settings import load_webhook
from tests.builders import Endpoint

OK = "ok"
COMMANDS: dict[str, tuple[str, ...]] = {
    "migrate": ("migrate",),
    "migrate --check": ("migrate", "--check"),
    "webhook --check": ("webhook", "--check"),
    "reconcile": ("reconcile",),
    "reconcile --report": ("reconcile", "--report"),
    "reconcile --replay": ("reconcile", "--replay"),
}
READYZ = "/readyz"

_ITS_OWN_WAY = re.compile(
    r"^(migrate|webhook|reconcile): (nothing was changed: )?"
    r"|^[A-Z]\w+: (?=[^:])"
    r"|; the server says: .*$"
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
    lines = json.dumps(
        [
            (*COMMANDS[name], *(more if COMMANDS[name][0] == "reconcile" else ()))
            for name in commands
        ]
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.forked", lines],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=True,
    )
    ended = json.loads(done.stdout)
    return {name: _said(name, *one) for name, one in zip(commands, ended, strict=True)}


def _said(command: str, status: int, stdout: str, stderr: str) -> tuple[str, str]:
    output = stdout + stderr
    if status == 0:
        return OK, output
    assert status in {1, 2}, output
    if not command.startswith("reconcile") or status == 2:
        return sentence(stderr), output
    last = json.loads(stderr.splitlines()[-1])
    return sentence(last.get("error") or last.get("reason")), output


def said_by_readyz(environ: Mapping[str, str], double: StripeDouble) -> tuple[str, str]:
    """The sentence in the line of the log, the body and the line."""
    try:
        load_webhook(environ)
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
