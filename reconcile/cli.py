"""The command `reconcile`: the run itself, and the words, each a module of `reconcile.commands`.

Everything heavy is imported after the arguments are read.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from reconcile import commands
from reconcile.report import formats
from shared import log
from shared.command import Call, Command, Monitor, imports
from shared.errors import SettingsError, WrongUsage
from shared.settings import ReconcileSettings, monitor

_log = logging.getLogger("reconcile")


def main(typed: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: the word that comes first, else the run."""
    given = _as_word(list(sys.argv[1:] if typed is None else typed))
    if given and given[0] in words():
        return command_of(given[0])(given[1:])
    return run(given)


def words() -> list[str]:
    """Return the words that `reconcile` knows, in order."""
    return sorted(path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py"))


def command_of(word: str) -> Command[Any]:
    """Return the command of a word."""
    command: Command[Any] = import_module(f"{commands.__name__}.{word}").command
    return command


def _as_word(typed: list[str]) -> list[str]:
    """Let `--replay [EVENT_ID]`, as it was until 0.1, be the word `replay`."""
    for place, argument in enumerate(typed):
        name, _, value = argument.partition("=")
        if len(name) >= len("--repl") and "--replay".startswith(name):
            log.configure()
            level = logging.WARNING
            log.event(_log, "option.deprecated", level=level, option=name, use="reconcile replay")
            return ["replay", *typed[:place], *([value] if value else []), *typed[place + 1 :]]
    return typed


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("word", metavar="WORD", nargs="?", type=_no_word, help=argparse.SUPPRESS)
    add("--report", action="store_true", help="compare only: write nothing, anywhere")
    add("--format", choices=formats(), default="text", help="of the report (text)")
    add("--output", metavar="FILE", help="write the report there instead of standard output")
    add(
        "--subscription",
        metavar="ID",
        type=_subscription_id,
        help="look at this one subscription only",
    )
    add(
        "--every-field",
        action="store_true",
        help="compare every field of every object, also where both sides are the same as when they"
        " were last found equal",
    )
    add(
        "--exit-code",
        action="store_true",
        help="exit 3 when drift was found, repaired or not, or the webhook missed events",
    )
    add(
        "--max-repairs",
        metavar="SHARE",
        help="refuse to change more rows than this, 10%% or 50 (MAX_REPAIRS)",
    )
    add(
        "--deadline",
        metavar="SECONDS",
        help="keep what is compared and stop after so long, 0 for never (DEADLINE_SECONDS); a"
        " --report keeps nothing, so it has no deadline but this one",
    )
    add(
        "--grace",
        metavar="SECONDS",
        help="how long an event may take before its absence counts (GRACE_SECONDS)",
    )


def _no_word(text: str) -> str:
    """Refuse a word that is none, or stands behind an option; say what may be meant."""
    if text in words():
        raise argparse.ArgumentTypeError(f"a word comes first: `reconcile {text}`")
    import difflib

    options = ("report", "format", "output", "subscription")
    meant = {**{name: f"--{name}" for name in options}, **{word: word for word in words()}}
    near = difflib.get_close_matches(text.strip("-"), meant, 1)
    hint = f"did you mean `reconcile {meant[near[0]]}`?" if near else f"words: {', '.join(words())}"
    raise argparse.ArgumentTypeError(f"there is no `reconcile {text[:40]}`: {hint}")


def _subscription_id(text: str) -> str:
    """Refuse what is none: nothing would be found, and that would pass for being in sync."""
    if re.fullmatch(r"sub_[\w-]{1,251}", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError("must be a subscription's id: sub_...")
    return text


def _check(call: Call[ReconcileSettings]) -> None:
    """Find out before the run what could not be done, its report written above all."""
    if call.arguments.every_field and call.arguments.subscription:
        raise WrongUsage("--every-field does not go with --subscription, which always does so")
    if call.arguments.output is None:
        return
    from reconcile.report.output import can_be_written

    if not can_be_written(call.arguments.output):
        raise SettingsError(
            ["--output names no file that can be written; name one in a folder that is there"]
        )


def _execute(call: Call[ReconcileSettings]) -> int:
    with imports():
        from reconcile.reported_run import run_and_report

    return run_and_report(call)


def _monitor(typed: Sequence[str]) -> Monitor | None:
    """Return whom to tell of the command that a scheduler runs: what people ask is no night.

    Told from the arguments as typed, for wrong ones are not to be parsed. They may be shortened.
    """
    names = [argument.partition("=")[0] for argument in typed]
    is_by_hand = any(
        name == "-h" or (len(name) > 2 and option.startswith(name))  # noqa: PLR2004 (the dashes)
        for name in names
        for option in ("--help", "--version", "--report", "--subscription")
    )
    if is_by_hand or (typed and not typed[0].startswith("-")):
        return None
    told = monitor(os.environ)
    if told is None:
        return None
    from reconcile.heartbeat import Heartbeat

    url, proxy = told
    return Heartbeat(url.reveal(), proxy)


def _words() -> str:
    lines = [f"  {word:<22} {command_of(word).summary}" for word in words()]
    return "\n".join(["words, each with a --help of its own:", *lines])


run = Command(
    name="reconcile",
    summary="Compare all of Stripe with all of the database and repair what drifted; or, with a\n"
    "word in front of all else, do something else: `reconcile WORD ...`.",
    settings=ReconcileSettings,
    add_arguments=_add_arguments,
    check=_check,
    execute=_execute,
    flags={
        "MAX_REPAIRS": "--max-repairs",
        "DEADLINE_SECONDS": "--deadline",
        "GRACE_SECONDS": "--grace",
    },
    exit_status="0 success; 1 error, refused or incomplete (the last log line says which);\n"
    "2 wrong usage or settings; 3 with --exit-code, when it found drift, repaired or not, or\n"
    "events that the webhook missed",
    more_help=_words,
    job="run",
    heeds_stop=True,
    monitor=_monitor,
)
"""Bare `reconcile`."""


if __name__ == "__main__":
    sys.exit(main())
