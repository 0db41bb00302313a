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
from collections.abc import Sequence
from pathlib import Path

from shared import log
from shared.errors import SettingsError, SubscriptionSyncError
from shared.settings import ReconcileSettings, describe, load_reconcile

FAILED, USAGE = 1, 2

_log = logging.getLogger("reconcile")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    arguments.typed = tuple(sys.argv[1:] if argv is None else argv)
    _check_combination(parser, arguments)
    try:
        settings = load_reconcile(_environment(arguments))
        _check_output(arguments.output)
    except SettingsError as error:
        print(f"reconcile: {error}", file=sys.stderr)
        return USAGE
    log.configure(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    # What is imported stays for good: searching it for garbage is a tenth of the start.
    gc.disable()
    from reconcile import commands
    from reconcile.heartbeat import Heartbeat

    gc.freeze()
    gc.enable()
    chosen = (arguments.report, arguments.subscription, arguments.replay is not None)
    nightly = not any(chosen)
    url = settings.heartbeat_url.reveal() if settings.heartbeat_url and nightly else None
    heartbeat = Heartbeat(url)
    heartbeat.start()
    status = FAILED
    try:
        if arguments.replay is None:
            status = commands.run(arguments, settings, stop)
        else:
            status = commands.replay(arguments, settings, stop)
    except SubscriptionSyncError as error:
        log.event(
            _log,
            "run.failed",
            level=logging.ERROR,
            error=f"{type(error).__name__}: {error}",
            exit_status=status,
        )
    except Exception as error:  # noqa: BLE001 (the edge: a monitor must hear of it)
        log.event(_log, "run.failed", level=logging.ERROR, error=error, exit_status=status)
    finally:
        heartbeat.finish(status)
    return status


def _check_output(output: str | None) -> None:
    """Find out before the run that its report could not be written."""
    if output is None:
        return
    folder = Path(output).absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK) or Path(output).is_dir():
        raise SettingsError([f"--output {output}: cannot write there; name a file in a folder"])


def _subscription_id(text: str) -> str:
    """Refuse what is none: nothing would be found, and that would pass for being in sync."""
    if re.fullmatch(r"sub_[\w-]{1,251}", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError("must be a subscription's id: sub_...")
    return text


def _check_combination(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.exit_code and not arguments.report:
        parser.error("--exit-code goes with --report")
    if arguments.every_field and (arguments.subscription or arguments.replay is not None):
        parser.error("--every-field goes with neither --subscription nor --replay")
    if arguments.replay is not None and (arguments.report or arguments.subscription):
        parser.error("--replay goes with neither --report nor --subscription")


def _environment(arguments: argparse.Namespace) -> dict[str, str]:
    """Let the flags win over the variables of the same meaning."""
    flags = {
        "MAX_REPAIRS": arguments.max_repairs,
        "DEADLINE_SECONDS": arguments.deadline,
        "GRACE_SECONDS": arguments.grace,
    }
    return {**os.environ, **{name: value for name, value in flags.items() if value is not None}}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reconcile",
        description="Compare all of Stripe with all of the database and repair what drifted.",
        epilog=f"{describe(ReconcileSettings)}\n\n"
        "exit status: 0 success; 1 error, refused or incomplete (the last log line says which);\n"
        "2 wrong usage or settings; 3 with --exit-code, when --report finds drift",
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
    add("--exit-code", action="store_true", help="with --report: exit 3 when there is drift")
    add(
        "--max-repairs",
        metavar="SHARE",
        help="refuse to change more rows than this, 10%% or 50 (MAX_REPAIRS)",
    )
    add(
        "--deadline",
        metavar="SECONDS",
        help="keep what is compared and stop after so long, 0 for never (DEADLINE_SECONDS)",
    )
    add(
        "--grace",
        metavar="SECONDS",
        help="how long an event may take before its absence counts (GRACE_SECONDS)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
