"""Whether the webhook stays as quick while its tables grow."""

import argparse

from sandbox.bench.figures import Part
from sandbox.bench.stage import stage
from sandbox.bench.webhook.cost import Cost, post, prepare
from sandbox.bench.webhook.mail import Mail
from sandbox.stripe_double import StripeDouble
from sandbox.telling import show

LEDGER = 10
"""Ledger rows, and change rows, for each subscription."""


def play(part: Part, options: argparse.Namespace) -> None:
    """Measure at each size, smallest first, in one database."""
    found: dict[int, Cost] = {}
    for rows in sorted(options.tables):
        show(f"... tables of {rows:,} subscriptions, {LEDGER * rows:,} ledger rows")
        with StripeDouble.start(clock=None, ticking=True) as double, stage() as made:
            mail = Mail(double.control.realm(livemode=True), rows)
            with made.webhook() as one:
                prepare(made, mail, one, rows)
                # Each of them once before: their pages are in memory then, in every size.
                post(made, [one], mail, options.events)
                found[rows] = post(made, [one], mail, options.events)
            size = made.value("SELECT pg_database_size('postgres')")
        cost = found[rows]
        part.points.append(
            {
                "subscriptions": rows,
                "ledger": LEDGER * rows,
                "rate": cost.sent.rate,
                "own": cost.own,
                "database": cost.database,
            }
        )
        part.add(
            f"CPU an event, {rows:,} subscriptions",
            cost.own + cost.database,
            "ms",
            told=f"webhook {cost.own:.2f}, database {cost.database:.2f}; {cost.sent.rate:.0f}"
            f" events a second; {LEDGER * rows:,} rows each in ledger and changes,"
            f" {size / 1e9:.2f} GB",
        )
    costs = list(found.values())
    first, last = (cost.own + cost.database for cost in (costs[0], costs[-1]))
    # CPU is counted in hundredths of a second: a small table's events may take none.
    if first > 0:
        part.add("CPU an event, largest over smallest table", last / first, "x")
