"""The command `reconcile`. Everything heavy is imported after the arguments are read."""

# ruff: noqa: T201 - a command speaks to a person

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from shared import log
from shared.errors import SettingsError, SubscriptionSyncError
from shared.settings import ReconcileSettings, describe, load_reconcile

if TYPE_CHECKING:
    from reconcile.report.model import Report, Totals

OK, FAILED, USAGE, DRIFT = 0, 1, 2, 3

_log = logging.getLogger("reconcile")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.exit_code and not arguments.report:
        parser.error("--exit-code goes with --report")
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

    from reconcile.heartbeat import Heartbeat

    nightly = not arguments.report and arguments.subscription is None
    url = settings.heartbeat_url.reveal() if settings.heartbeat_url and nightly else None
    heartbeat = Heartbeat(url)
    heartbeat.start()
    status = FAILED
    try:
        status = _run(arguments, settings, stop)
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


def _run(arguments: argparse.Namespace, settings: ReconcileSettings, stop: threading.Event) -> int:
    from reconcile.gate import parse
    from reconcile.report.model import Outcome, totals
    from reconcile.run import Order, Run, interruptible
    from shared.database import Database
    from shared.rate_limit import RateLimit
    from shared.stripe_api import StripeApi
    from shared.stripe_http import RUN_PATIENCE, StripeHttp

    began = time.monotonic()
    deadline = began + settings.deadline_seconds if settings.deadline_seconds else None
    database = Database(
        settings.database_url.reveal(), application_name="reconcile", read_only=arguments.report
    )
    http = StripeHttp(
        settings.stripe_api_base,
        settings.stripe_secret_key.reveal(),
        patience=RUN_PATIENCE,
        limit=RateLimit.for_mode(livemode=settings.livemode),
        deadline=deadline,
        pause=interruptible(stop),
    )
    order = Order(
        writes=not arguments.report,
        subscription=arguments.subscription,
        limit=parse(settings.max_repairs),
        grace=settings.grace_seconds,
        deadline=deadline,
        lease_seconds=settings.lease_seconds,
        access=settings.access_statuses,
    )
    try:
        stripe = StripeApi(http, livemode=settings.livemode)
        with closing(Run(database, stripe, order, stop).execute()) as report:
            counted = totals(report)
            _write(report, counted, arguments)
    finally:
        database.close()
        http.close()
    status = OK if report.run.outcome is Outcome.SUCCESS else FAILED
    if status == OK and arguments.exit_code and counted.drift:
        status = DRIFT
    log.event(
        _log,
        "run.finished",
        level=logging.ERROR if status == FAILED else logging.INFO,
        run_id=report.run.id,
        mode=report.run.mode,
        outcome=report.run.outcome,
        reason=report.run.reason,
        stripe=counted.stripe,
        database=counted.database,
        in_sync=counted.in_sync,
        in_flight=counted.in_flight,
        drift=counted.drift,
        repaired=counted.repaired,
        stripe_requests=counted.stripe_requests,
        seconds=round(time.monotonic() - began, 1),
        exit_status=status,
    )
    return status


def _write(report: Report, counted: Totals, arguments: argparse.Namespace) -> None:
    """Render the report to standard output, or whole to a file or not at all."""
    from reconcile.report import as_json, as_text

    render = {"json": as_json.write, "text": as_text.write}[arguments.format]
    if arguments.output is None:
        try:
            render(report, counted, sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            # Else the interpreter tries once more at exit, and makes the exit status 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise
        return
    target = Path(arguments.output)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
    ) as stream:
        try:
            render(report, counted, stream)
            Path(stream.name).chmod(0o644)
            Path(stream.name).replace(target)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise


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
    add("--exit-code", action="store_true", help="with --report: exit 3 when there is drift")
    add(
        "--max-repairs",
        metavar="SHARE",
        help="refuse to change more rows than this, 10%% or 50 (MAX_REPAIRS)",
    )
    add(
        "--deadline",
        metavar="SECONDS",
        help="stop between two windows after so long, 0 for never (DEADLINE_SECONDS)",
    )
    add(
        "--grace",
        metavar="SECONDS",
        help="how long an event may take before its absence counts (GRACE_SECONDS)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
