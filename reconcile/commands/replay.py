"""`reconcile replay`: try failed events again, by hand."""

from __future__ import annotations

import argparse

from shared.command import Call, Command, imports
from shared.settings import ReconcileSettings


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event_id", metavar="EVENT_ID", nargs="?", help="this one alone")
    parser.add_argument(
        "--deadline",
        metavar="SECONDS",
        help="ask Stripe no more after so long; without it, or with 0, there is none",
    )


def _execute(call: Call[ReconcileSettings]) -> int:
    with imports():
        from reconcile.deliveries.replay import replay_by_hand

    seconds = call.settings.deadline_seconds if call.arguments.deadline is not None else 0
    deadline = call.began + seconds if seconds else None
    return replay_by_hand(call.settings, call.stop, call.arguments.event_id or None, deadline)


command = Command(
    name="reconcile replay",
    summary="Try failed events again, all or one: Stripe is asked what its object is now.",
    settings=ReconcileSettings,
    add_arguments=_add_arguments,
    execute=_execute,
    flags={"DEADLINE_SECONDS": "--deadline"},
    exit_status="0 none is failed any more; 1 one still is, or error; 2 wrong usage or settings",
    job="replay",
    heeds_stop=True,
)
