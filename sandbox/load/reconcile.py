"""`reconcile` over many rows: the first run, and runs in sync, with and without Stripe's limits."""

import argparse
import json
import subprocess

import psycopg

from sandbox.mirrored import differences
from sandbox.stripe_double import Control
from sandbox.telling import show, table
from sandbox.world import World

ARGUMENTS = ("--format", "json", "--grace", "0", "--deadline", "0")


def play(world: World, control: Control, options: argparse.Namespace) -> list[str]:
    """Run it three times, print what was asked, and return what is wrong."""
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
        done = world.run("reconcile", *ARGUMENTS, timeout=3_600)
        refused = sum(line.status == 429 for line in control.requests())
        rows.append((what, done.returncode, len(control.requests()), refused))
        wrong += _wrong(what, done, first=what.startswith("into"))
    with psycopg.connect(world.server.url()) as connection:
        wrong += differences(connection, control)
    show(f"\nreconcile: {options.rows:,} subscriptions and as many customers")
    table(("run", "exit", "requests", "429"), rows)
    return wrong


def _wrong(what: str, done: subprocess.CompletedProcess[str], *, first: bool) -> list[str]:
    if done.returncode != 0:
        return [f"{what}: exit status {done.returncode}: {done.stderr[-500:]}"]
    counts = json.loads(done.stdout)["counts"]
    if not first and counts["drift"]:
        return [f"{what}: {counts['drift']} differences"]
    return []
