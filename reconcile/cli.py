"""The command `reconcile`. Everything heavy is imported after the arguments are read."""

# ruff: noqa: T201 - a command speaks to a person

from __future__ import annotations

import argparse
import gc
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import NoReturn

from shared import log
from shared.errors import SettingsError, SubscriptionSyncError
from shared.settings import ReconcileSettings, describe, load, monitor

FAILED, USAGE = 1, 2

_log = logging.getLogger("reconcile")


class WrongUsage(Exception):
    """The arguments are wrong; the message says which, after the usage was printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    typed = list(sys.argv[1:] if argv is None else argv)
    # Before anything can go wrong: nothing reaches the terminal past the redaction.
    log.configure()
    try:
        arguments = _parser().parse_args(typed)
        settings = load(ReconcileSettings, os.environ, _flags(arguments))
        _check_output(arguments.output)
    except (SettingsError, WrongUsage) as error:
        print(f"reconcile: {error}", file=sys.stderr)
        _tell_of_wrong_usage(typed, error)
        return USAGE
    log.configure(settings.log_level)

    # What is imported stays for good: searching it for garbage is a tenth of the start.
    gc.disable()
    from reconcile import commands
    from reconcile.heartbeat import Heartbeat

    gc.freeze()
    gc.enable()
    url = settings.heartbeat_url.reveal() if settings.heartbeat_url and _is_nightly(typed) else None
    heartbeat = Heartbeat(url, settings.proxy_to(url) if url else None)
    heartbeat.start()
    status = FAILED
    summary: Mapping[str, object] = {}
    try:
        if arguments.replay is None:
            status, summary = commands.run(arguments, settings, stop, typed)
        else:
            status = commands.replay(arguments, settings, stop)
    except SubscriptionSyncError as error:
        said = f"{type(error).__name__}: {error}"
        summary = {"verdict": f"FAILED: {said}"}
        log.event(_log, "run.failed", level=logging.ERROR, error=said, exit_status=status)
    except Exception as error:  # noqa: BLE001 (the edge: a monitor must hear of it)
        summary = {"verdict": f"FAILED: {type(error).__name__}; the log says more"}
        log.event(_log, "run.failed", level=logging.ERROR, error=error, exit_status=status)
    finally:
        heartbeat.finish(status, summary)
    return status


def _is_nightly(typed: Sequence[str]) -> bool:
    """Whether it is the command that a scheduler runs: what people ask by hand is no night.

    Told from the arguments as typed, for wrong ones are not to be parsed. They may be shortened.
    """
    names = [argument.partition("=")[0] for argument in typed]
    return not any(
        name == "-h" or (len(name) > 2 and option.startswith(name))  # noqa: PLR2004 (the dashes)
        for name in names
        for option in ("--help", "--report", "--replay", "--subscription")
    )


def _tell_of_wrong_usage(typed: Sequence[str], error: SettingsError | WrongUsage) -> None:
    """Let the monitor of the nightly run hear that it could not even begin.

    What was typed is not quoted: nobody knows what it is.
    """
    told = monitor(os.environ) if _is_nightly(typed) else None
    if told is None:
        return
    from reconcile.heartbeat import Heartbeat

    said = str(error) if isinstance(error, SettingsError) else "the arguments are wrong"
    url, proxy = told
    Heartbeat(url.reveal(), proxy).finish(USAGE, {"verdict": f"FAILED: nothing was begun: {said}"})


def _check_output(output: str | None) -> None:
    """Find out before the run that its report could not be written."""
    if output is None:
        return
    from reconcile.report.output import can_be_written

    if not can_be_written(output):
        raise SettingsError(
            ["--output names no file that can be written; name one in a folder that is there"]
        )


def _subscription_id(text: str) -> str:
    """Refuse what is none: nothing would be found, and that would pass for being in sync."""
    if re.fullmatch(r"sub_[\w-]{1,251}", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError("must be a subscription's id: sub_...")
    return text


class _Parser(argparse.ArgumentParser):
    """A parser that leaves it to its caller to exit, and checks what goes with what."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and raise WrongUsage."""
        self.print_usage(sys.stderr)
        raise WrongUsage(f"error: {message}")

    def parse_args(self, typed: Sequence[str]) -> argparse.Namespace:  # type: ignore[override]
        """Return the arguments. Raises WrongUsage."""
        arguments = super().parse_args(typed)
        by_hand = arguments.subscription or arguments.replay is not None
        if arguments.every_field and by_hand:
            self.error("--every-field goes with neither --subscription nor --replay")
        if arguments.replay is not None and (arguments.report or arguments.subscription):
            self.error("--replay goes with neither --report nor --subscription")
        return arguments


def _flags(arguments: argparse.Namespace) -> dict[str, tuple[str, str]]:
    """Return the flags that win over the settings of the same meaning, by the setting's name."""
    flags = {
        "MAX_REPAIRS": ("--max-repairs", arguments.max_repairs),
        "DEADLINE_SECONDS": ("--deadline", arguments.deadline),
        "GRACE_SECONDS": ("--grace", arguments.grace),
    }
    return {name: typed for name, typed in flags.items() if typed[1] is not None}


def _parser() -> _Parser:
    parser = _Parser(
        prog="reconcile",
        description="Compare all of Stripe with all of the database and repair what drifted.",
        epilog=f"{describe(ReconcileSettings)}\n\n"
        "exit status: 0 success; 1 error, refused or incomplete (the last log line says which);\n"
        "2 wrong usage or settings; 3 with --exit-code, when it found drift, repaired or not, or\n"
        "events that the webhook missed",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--report", action="store_true", help="compare only: write nothing, anywhere")
    add("--format", choices=("text", "json"), default="text", help="of the report (text)")
    add("--output", metavar="FILE", help="write the report there instead of standard output")
    add(
        "--subscription",
        metavar="ID",
        type=_subscription_id,
        help="look at this one subscription only",
    )
    add(
        "--replay",
        metavar="EVENT_ID",
        nargs="?",
        const="",
        help="try failed events again, all or this one, and do nothing else",
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
    return parser


if __name__ == "__main__":
    sys.exit(main())
