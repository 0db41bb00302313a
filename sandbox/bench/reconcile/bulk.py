"""`reconcile` over many subscriptions: in sync, first, with drift, at Stripe's pace, in the box."""

import argparse
from collections.abc import Sequence
from typing import Any

from sandbox.bench.box import BUDGET_MIB
from sandbox.bench.figures import Part
from sandbox.bench.reconcile import cases
from sandbox.bench.reconcile.runs import MILLION, Run, run_nightly, run_well, run_whole
from sandbox.bench.stage import Stage, stage

BUDGET_CPU = 30.0
BUDGET_FIRST = 2.0
BUDGET_FIRST_MIB = 80.0
FEW = 1_000
"""Subscriptions a customer where customers are to cost nothing."""


def play(part: Part, options: argparse.Namespace) -> None:
    sizes = sorted({*options.sizes, options.rows})
    for rows in sizes:
        few = max(1, rows // FEW)
        with stage(subscriptions=rows, customers=few) as made:
            first = run_well(made, rows + few, f"{rows:,} subscriptions, first run")
            made.settle()
            whole = run_whole(made, rows + few, f"{rows:,} subscriptions, in sync")
            in_sync = run_nightly(made, rows + few, f"{rows:,} subscriptions, in sync")
            part.points.append(_point(rows, first, whole, in_sync))
            if rows == options.rows:
                _main_figures(part, rows, first, whole, in_sync)
                if not options.fast:
                    cases.beside_yardsticks(part, made, rows, in_sync)
                    cases.in_the_box(part, made, rows)
                cases.with_drift(part, made, rows)
                if not options.fast:
                    cases.at_stripes_pace(part, made, rows)
    _flatness(part)
    if options.fast:
        return
    with stage(subscriptions=options.rows, customers=options.rows) as made:
        _with_customers(part, made, options.rows)
        cases.at_stripes_pace(part, made, options.rows, customers=True)


def _main_figures(part: Part, rows: int, first: Run, whole: Run, in_sync: Run) -> None:
    cpu = in_sync.usage.cpu
    part.add(
        f"in sync, {rows:,} subscriptions, few customers",
        cpu,
        "CPU-s",
        told=f"the database's own processes: {in_sync.database_cpu:.2f} CPU-s; "
        f"{sum(in_sync.asked.values()):,} requests; {in_sync.usage.wall:.1f} s of wall time",
    )
    if rows >= MILLION:
        a_million = cpu * MILLION / rows
        told = "measured, start to exit"
    else:
        a_million, told = _project(part.points)
    part.add("in sync, one million of them", a_million, "CPU-s", budget=BUDGET_CPU, told=told)
    part.add("peak memory, in sync", in_sync.usage.peak, "MiB", budget=BUDGET_MIB)
    part.add(
        "the same with every field compared",
        whole.usage.cpu,
        "CPU-s",
        told=f"as in the night after the first run, and after each upgrade; peak"
        f" {whole.usage.peak:.0f} MiB; {whole.usage.wall:.1f} s of wall time; the database's own"
        f" {whole.database_cpu:.2f} CPU-s",
    )
    part.add(
        "first run into an empty database, over every field compared",
        first.usage.cpu / whole.usage.cpu,
        "x",
        budget=BUDGET_FIRST,
        told=f"{first.usage.cpu:.2f} CPU-s, {first.usage.wall:.1f} s of wall time;"
        f" {first.usage.cpu / cpu:.1f} x a night in sync; the database's own"
        f" {first.database_cpu:.2f}",
    )
    part.add("peak memory, first run", first.usage.peak, "MiB", budget=BUDGET_MIB)


def _project(points: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """A million by the slope between the two largest sizes that were measured."""
    if len(points) < 2:
        last = points[-1]
        scaled = last["in_sync_cpu"] * MILLION / last["rows"]
        return scaled, f"{last['rows']:,} measured, scaled by size, start included"
    less, more = points[-2:]
    slope = (more["in_sync_cpu"] - less["in_sync_cpu"]) / (more["rows"] - less["rows"])
    told = (
        f"projected: {more['rows']:,} measured, and {1e6 * slope:.1f} us for each further one"
        f" (the slope from {less['rows']:,} on); ROWS=1000000 measures it"
    )
    return more["in_sync_cpu"] + slope * (MILLION - more["rows"]), told


def _with_customers(part: Part, made: Stage, rows: int) -> None:
    first = run_well(made, 2 * rows, f"{rows:,} subscriptions and customers, first run")
    made.settle()
    what = f"{rows:,} subscriptions and customers, in sync"
    whole = run_whole(made, 2 * rows, what)
    in_sync = run_nightly(made, 2 * rows, what)
    name = f"in sync, {rows:,} subscriptions, as many customers"
    part.add(
        name,
        in_sync.usage.cpu,
        "CPU-s",
        told=f"{1e6 * in_sync.usage.cpu / rows:.1f} us a subscription with its customer; every"
        f" field {whole.usage.cpu:.2f} CPU-s, peak {whole.usage.peak:.0f} MiB; first run"
        f" {first.usage.cpu:.2f} CPU-s",
    )
    part.add(
        "peak memory, first run, as many customers",
        first.usage.peak,
        "MiB",
        budget=BUDGET_FIRST_MIB,
    )
    part.add("peak memory, as many customers", in_sync.usage.peak, "MiB", budget=BUDGET_MIB)


def _flatness(part: Part) -> None:
    shown = ", ".join(
        f"{point['in_sync_peak']:.0f}/{point['first_peak']:.0f} MiB at {point['rows']:,}"
        for point in part.points
    )
    least, most = part.points[0]["in_sync_peak"], part.points[-1]["in_sync_peak"]
    part.add(
        "memory of the largest over the smallest", most / least, "x", told=f"in sync/first: {shown}"
    )


def _point(rows: int, first: Run, whole: Run, in_sync: Run) -> dict[str, Any]:
    return {
        "rows": rows,
        "first_cpu": first.usage.cpu,
        "first_peak": first.usage.peak,
        "first_wall": first.usage.wall,
        "whole_cpu": whole.usage.cpu,
        "whole_peak": whole.usage.peak,
        "in_sync_cpu": in_sync.usage.cpu,
        "in_sync_peak": in_sync.usage.peak,
        "in_sync_wall": in_sync.usage.wall,
        "database_cpu": in_sync.database_cpu,
    }
