"""What the command `reconcile` does once its arguments and settings are right."""

# ruff: noqa: T201 - a command speaks to a person

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from reconcile import replay as by_hand
from reconcile.gate import parse
from reconcile.identity import require_same_account
from reconcile.memory import share_arenas
from reconcile.order import Order
from reconcile.patient import CONNECT_SECONDS, PatientDatabase
from reconcile.progress import Display
from reconcile.report import as_json, as_text
from reconcile.report.model import Report, RunOutcome, Totals, totals
from reconcile.run import Run
from reconcile.time_left import TimeLeft, interruptible, unless_stopped
from shared import log
from shared.database import Database
from shared.errors import Interrupted
from shared.migrate import require_current
from shared.mirror import Mirror, Outcome
from shared.rate_limit import RateLimit
from shared.repository import ledger
from shared.settings import ReconcileSettings
from shared.stripe_api import StripeApi
from shared.stripe_http import RUN_PATIENCE, StripeHttp

OK, FAILED, DRIFT = 0, 1, 3

_log = logging.getLogger("reconcile")


def _connect(
    arguments: argparse.Namespace,
    settings: ReconcileSettings,
    stop: threading.Event,
    deadline: float | None,
) -> tuple[Database, StripeHttp, StripeApi]:
    """Prepare both sides; nothing is sent yet."""
    database = Database(
        settings.database_url.reveal(),
        application_name="subscription-sync reconcile",
        read_only=arguments.report,
        connect_seconds=CONNECT_SECONDS,
        schema=settings.stripe_schema,
    )
    http = StripeHttp(
        settings.stripe_api_base,
        settings.stripe_secret_key.reveal(),
        patience=RUN_PATIENCE,
        limit=RateLimit.for_mode(
            livemode=settings.livemode,
            in_all=settings.stripe_rate_limit,
            per_endpoint=settings.stripe_endpoint_rate_limit,
        ),
        deadline=deadline,
        pause=interruptible(stop),
        still=unless_stopped(stop),
    )
    return database, http, StripeApi(http, livemode=settings.livemode)


def run(arguments: argparse.Namespace, settings: ReconcileSettings, stop: threading.Event) -> int:
    """Compare, repair or report, render the report, and return the exit status."""
    share_arenas()
    began = time.monotonic()
    deadline = began + settings.deadline_seconds if settings.deadline_seconds else None
    database, http, stripe = _connect(arguments, settings, stop, deadline)
    order = Order(
        writes=not arguments.report,
        every_field=arguments.every_field,
        subscription=arguments.subscription,
        limit=parse(settings.max_repairs),
        grace=settings.grace_seconds,
        deadline=deadline,
        lease_seconds=settings.lease_seconds,
        payload_days=settings.event_payload_days,
        access=settings.access_statuses,
    )
    display = Display(sys.stderr, is_bar=not settings.no_progress)
    try:
        report = Run(database, stripe, order, stop, display).execute()
        display.close()
        with closing(report):
            counted = totals(report)
            _write(report, counted, arguments)
    finally:
        display.close()
        database.close()
        http.close()
    status = OK if report.run.outcome is RunOutcome.SUCCESS else FAILED
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


def replay(
    arguments: argparse.Namespace, settings: ReconcileSettings, stop: threading.Event
) -> int:
    """Try failed events again, by hand, and say what became of each.

    Raises WrongAccount, as a run does, with nothing tried.
    """
    database, http, stripe = _connect(arguments, settings, stop, None)

    def alive() -> None:
        if stop.is_set():
            raise Interrupted("stopped by a signal; what was replayed is done")

    patient = PatientDatabase(database, TimeLeft(stop, None))
    try:
        patient.read(require_current)
        require_same_account(patient, stripe, claim=False)
        mirror = Mirror(database, stripe, source="reconcile")
        event_id = arguments.replay or None
        receipts = by_hand.replay(patient, mirror, alive, event_id)
        total, left = patient.read(lambda connection: ledger.failed(connection, 1))
        found = patient.read(lambda connection: ledger.find(connection, event_id or ""))
    finally:
        database.close()
        http.close()
    for receipt in receipts:
        reason = f": {receipt.error}" if receipt.error else ""
        print(f"{receipt.event_id}  {receipt.event_type}  {receipt.outcome}{reason}")
    if event_id is not None and not receipts:
        if found is None:
            print(f"{event_id} is not in the ledger: it never arrived")
        elif found[0] == Outcome.FAILED:
            print(f"{event_id} could not be tried now, it is failed as before; the log says why")
        else:
            print(f"{event_id} is {found[0]} already: nothing to replay")
        return OK if found is not None and found[0] != Outcome.FAILED else FAILED
    print(f"{len(receipts)} replayed, {total} still failed")
    still = [receipt for receipt in receipts if receipt.outcome is Outcome.FAILED]
    return FAILED if still or (event_id is None and left) else OK


def _write(report: Report, counted: Totals, arguments: argparse.Namespace) -> None:
    """Render the report to standard output, or whole to a file or not at all."""
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
    target = Path(arguments.output).resolve()
    if target.exists() and not target.is_file():
        # A device or a pipe: replacing it would put a file in its place.
        with target.open("w", encoding="utf-8") as stream:
            render(report, counted, stream)
        return
    # Private, as temporary files are: the report holds what customers are called.
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
    ) as stream:
        try:
            render(report, counted, stream)
            if target.exists():
                Path(stream.name).chmod(target.stat().st_mode & 0o777)
            Path(stream.name).replace(target)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise
