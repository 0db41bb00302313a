"""`reconcile` over many rows: the first run, and runs in sync, with and without Stripe's limits."""

import argparse
import json

import psycopg

from sandbox.comparison import differences
from sandbox.measure import Usage, measured
from sandbox.product import run
from sandbox.telling import show, table
from sandbox.world import World

ARGUMENTS = ("--format", "json", "--grace", "0", "--deadline", "0")


def play(world: World, options: argparse.Namespace) -> list[str]:
    """Run it three times, print the figures, and return what is wrong."""
    run("migrate", environ=world.environ)
    control = world.double.control
    control.seed(options.rows)
    control.advance(3_600)
    rows: list[tuple[object, ...]] = []
    wrong: list[str] = []
    for what, limits in (
        ("into an empty database", False),
        ("in sync", False),
        ("in sync, with Stripe's limits", True),
    ):
        control.clear_requests()
        control.switch(rate_limits=limits)
        usage = measured("reconcile", *ARGUMENTS, environ=world.environ)
        refused = sum(line.status == 429 for line in control.requests())
        rows.append(_row(what, usage, options.rows, len(control.requests()), refused))
        wrong += _wrong(what, usage, first=what.startswith("into"))
    with psycopg.connect(world.server.url()) as connection:
        wrong += differences(connection, control)
    show(f"\nreconcile: {options.rows:,} subscriptions and as many customers")
    table(
        ("run", "exit", "CPU s", "us a subscription", "wall s", "peak MiB", "requests", "429"),
        rows,
    )
    return wrong


def _row(what: str, usage: Usage, count: int, requests: int, refused: int) -> tuple[object, ...]:
    return (
        what,
        usage.status,
        f"{usage.cpu:.2f}",
        f"{1e6 * usage.cpu / count:.0f}",
        f"{usage.wall:.1f}",
        f"{usage.peak:.0f}",
        requests,
        refused,
    )


def _wrong(what: str, usage: Usage, *, first: bool) -> list[str]:
    if usage.status != 0:
        return [f"{what}: exit status {usage.status}: {usage.stderr[-500:]}"]
    counts = json.loads(usage.stdout)["counts"]
    if not first and counts["drift"]:
        return [f"{what}: {counts['drift']} differences"]
    return []
