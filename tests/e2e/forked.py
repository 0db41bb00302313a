"""Several command lines at once, in forks of one interpreter: starting one for each takes longer.

    python -m tests.e2e.forked

reads lines of JSON from standard input, each an environment and a list of command lines, such as
`[{"DATABASE_URL": "..."}, [["migrate", "--check"], ...]]`, and answers each with a line: a list of
[exit status, standard output, standard error].
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import IO, Any

import reconcile.cli
import reconcile.deliveries.replay
import reconcile.reported_run
import shared.database.migrations
import shared.database.roles
import shared.migrate
import webhook.server
import webhook.service

MAINS: dict[str, Callable[[Sequence[str]], int]] = {
    "migrate": shared.migrate.main,
    "webhook": webhook.server.main,
    "reconcile": reconcile.cli.main,
}


def begin(environ: dict[str, str], line: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> int:
    """Run a command line in a fork and return its process id."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        os.environ.clear()
        os.environ.update(environ)
        sys.argv = line
        status = MAINS[line[0]](line[1:])
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException as error:  # noqa: BLE001 - as the interpreter does at its end
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run(environ: dict[str, str], lines: list[list[str]]) -> list[tuple[Any, ...]]:
    """Run command lines side by side."""
    with ExitStack() as open_files:
        files = [
            [open_files.enter_context(tempfile.TemporaryFile()) for _ in range(2)] for _ in lines
        ]
        children = [begin(environ, line, *pair) for line, pair in zip(lines, files, strict=True)]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        words = [[_read(file) for file in pair] for pair in files]
    return [(status, *pair) for status, pair in zip(statuses, words, strict=True)]


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


if __name__ == "__main__":
    for asked in sys.stdin:
        print(json.dumps(run(*json.loads(asked))), flush=True)  # noqa: T201
