"""`reconcile` over many subscriptions: in sync, first, with drift, at Stripe's pace, in the box."""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from sandbox import product
from sandbox.bench import alone
from sandbox.bench.box import CPU, MIB, NoBox, box
from sandbox.bench.figures import Part
from sandbox.bench.stage import KEY, LATENCY_MS, STRIPE_RATE, UNLIMITED, Stage, stage
from sandbox.measure import Usage, measured
from sandbox.telling import show

MILLION = 1_000_000
BUDGET_CPU = 30.0
BUDGET_PACE = 1.1
BUDGET_FIRST = 3.0
YARDSTICK_ROWS = 2_000
FEW = 1_000
"""Subscriptions a customer where customers are to cost nothing."""


class Run(Struct, frozen=True, kw_only=True):
    """One run of reconcile: what it cost, what it counted, what it asked, the database's CPU."""

    usage: Usage
    counts: dict[str, int]
    asked: dict[str, int]
    database_cpu: float


def play(options: argparse.Namespace) -> Part:
    part = Part()
    sizes = sorted({*options.sizes, options.rows})
    for rows in sizes:
        few = max(1, rows // FEW)
        with stage(subscriptions=rows, customers=few) as made:
            first = _reconcile(made, rows + few, f"{rows:,} subscriptions, first run")
            made.settle()
            in_sync = _in_sync(made, rows + few, f"{rows:,} subscriptions, in sync")
            part.points.append(_point(rows, first, in_sync))
            if rows == options.rows:
                _main_figures(part, rows, first, in_sync)
                if not options.fast:
                    _beside_yardsticks(part, made, rows, in_sync)
                    _in_the_box(part, made, rows)
                _with_drift(part, made, rows)
                if not options.fast:
                    _at_stripes_pace(part, made, rows)
    _flatness(part)
    if options.fast:
        return part
    with stage(subscriptions=options.rows, customers=options.rows) as made:
        _with_customers(part, made, options.rows)
    return part


def _main_figures(part: Part, rows: int, first: Run, in_sync: Run) -> None:
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
    part.add("peak memory, in sync", in_sync.usage.peak, "MiB", budget=MIB)
    part.add(
        "first run into an empty database, over in sync",
        first.usage.cpu / cpu,
        "x",
        budget=BUDGET_FIRST,
        told=f"{first.usage.cpu:.2f} CPU-s; the database's own {first.database_cpu:.2f}",
    )
    part.add("peak memory, first run", first.usage.peak, "MiB", budget=MIB)


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


def _beside_yardsticks(part: Part, made: Stage, rows: int, in_sync: Run) -> None:
    own = 1e6 * in_sync.usage.cpu / rows
    plain = _plain(made, min(rows, YARDSTICK_ROWS))
    against = "us: Stripe library, an upsert a row"
    part.add("CPU a subscription, in sync", own, "us", yardstick=plain, against=against)
    served = alone.serve(made.double, rows)
    part.add(
        "the same against decoding alone",
        own,
        "us",
        yardstick=served.json_loads,
        against="us: json.loads of the same pages, nothing else",
    )
    part.add(
        "the double alone",
        served.pages_a_second,
        "pages/s",
        told=f"{served.pages_a_cpu_second:.0f} pages a CPU-second of its own, "
        f"{made.double.memory():.0f} MiB with {rows:,} subscriptions; "
        f"a page is {served.page_bytes / 1000:.0f} KB, {served.packed_bytes / 1000:.0f} gzipped",
    )


def _plain(made: Stage, rows: int) -> float:
    """CPU-microseconds a subscription, the way one would write it first."""
    script = Path(__file__).with_name("plain.py")
    usage = measured(
        [
            sys.executable,
            str(script),
            made.double.url,
            KEY,
            made.server.url("template1"),
            str(rows),
        ],
        environ=product.environment(),
    )
    if usage.status != 0:
        raise RuntimeError(f"the yardstick ended with {usage.status}:\n{usage.stderr[-2000:]}")
    return 1e6 * float(usage.stdout) / rows


def _in_the_box(part: Part, made: Stage, rows: int) -> None:
    name = f"in sync, in a box of {CPU} CPU and {MIB} MiB"
    try:
        with box() as limits:
            show(f"... {name}")
            run = _run(made, environ={**made.environ, **UNLIMITED}, groups=limits.groups)
            peak, throttled, spun = limits.peak(), limits.throttled(), limits.spun
    except NoBox as error:
        part.add(name, None, "s", told=f"not measured: {error}")
        return
    done = run.usage.status == 0
    share = run.counts.get("stripe", 0) / max(rows, 1)
    part.add(
        name,
        run.usage.wall,
        "s",
        budget=300.0,
        told=f"enforced by control groups (a spinner got {spun:.2f} of a CPU): exit "
        f"{run.usage.status}, {'all' if done else f'{100 * min(share, 1):.0f} %'} of {rows:,}, "
        f"{run.usage.cpu:.2f} CPU-s, peak {peak:.0f} MiB charged, throttled in {throttled} periods",
    )
    part.add("peak memory charged to the box", peak, "MiB", budget=MIB)


def _with_drift(part: Part, made: Stage, rows: int) -> None:
    made.double.call("advance", 3_600)
    touched = sum(made.execute(statement) for statement in _DRIFT)
    made.execute(_ORPHANS)
    missing = made.execute(_MISSING)
    run = _reconcile(made, rows, f"{touched + missing:,} rows drifted", repairs=touched + missing)
    part.add(
        "run that repairs 5 % of drift",
        run.usage.cpu,
        "CPU-s",
        told=f"{run.counts['repaired']:,} repairs of {touched:,} rows changed and {missing:,} rows"
        f" deleted by SQL; {run.usage.wall:.1f} s of wall time, the database's own"
        f" {run.database_cpu:.2f} CPU-s, {sum(run.asked.values()):,} requests",
    )
    part.add("peak memory, repairing", run.usage.peak, "MiB", budget=MIB)


def _at_stripes_pace(part: Part, made: Stage, rows: int) -> None:
    floor = math.ceil(rows / 100) / STRIPE_RATE
    show(f"... at Stripe's pace, which takes {floor:.0f} s at least")
    made.double.call("switch", latency=LATENCY_MS / 1_000, rate_limits=True)
    run = _run(made, environ=made.environ, deadline=math.ceil(2 * floor + 20))
    made.double.call("switch", latency=0.0, rate_limits=False)
    lines = made.double.call("requests")
    refused = sum(line["status"] == 429 for line in lines)
    listed = sum(line["endpoint"] == "subscriptions.list" for line in lines) - refused
    share = 1.0 if run.usage.status == 0 else max(listed * 100 / rows, 1e-9)
    part.add(
        f"wall time over Stripe's floor, {LATENCY_MS} ms a page",
        run.usage.wall / (floor * share),
        "x",
        budget=BUDGET_PACE,
        told=f"{run.usage.wall:.1f} s for {listed:,} pages of subscriptions, the floor for"
        f" {math.ceil(rows / 100):,} is {floor:.1f} s; {refused} requests refused (429); exit"
        f" {run.usage.status}" + ("" if share == 1 else ": it did not get through"),
    )


def _with_customers(part: Part, made: Stage, rows: int) -> None:
    first = _reconcile(made, 2 * rows, f"{rows:,} subscriptions and customers, first run")
    made.settle()
    in_sync = _in_sync(made, 2 * rows, f"{rows:,} subscriptions and customers, in sync")
    name = f"in sync, {rows:,} subscriptions, as many customers"
    part.add(
        name,
        in_sync.usage.cpu,
        "CPU-s",
        told=f"{1e6 * in_sync.usage.cpu / rows:.1f} us a subscription with its customer; first run"
        f" {first.usage.cpu:.2f} CPU-s, peak {first.usage.peak:.0f} MiB",
    )
    part.add("peak memory, as many customers", in_sync.usage.peak, "MiB", budget=MIB)


def _flatness(part: Part) -> None:
    shown = ", ".join(
        f"{point['in_sync_peak']:.0f}/{point['first_peak']:.0f} MiB at {point['rows']:,}"
        for point in part.points
    )
    least, most = part.points[0]["in_sync_peak"], part.points[-1]["in_sync_peak"]
    part.add(
        "memory of the largest over the smallest", most / least, "x", told=f"in sync/first: {shown}"
    )


def _point(rows: int, first: Run, in_sync: Run) -> dict[str, Any]:
    return {
        "rows": rows,
        "first_cpu": first.usage.cpu,
        "first_peak": first.usage.peak,
        "first_wall": first.usage.wall,
        "in_sync_cpu": in_sync.usage.cpu,
        "in_sync_peak": in_sync.usage.peak,
        "in_sync_wall": in_sync.usage.wall,
        "database_cpu": in_sync.database_cpu,
    }


def _in_sync(made: Stage, objects: int, what: str) -> Run:
    """The cheaper of two runs, but one alone where it takes long."""
    runs = [_reconcile(made, objects, what, repairs=0) for _ in range(_times(objects))]
    return min(runs, key=lambda run: run.usage.cpu)


def _times(objects: int) -> int:
    return 2 if 10_000 < objects < MILLION else 1


def _reconcile(made: Stage, objects: int, what: str, *, repairs: int | None = None) -> Run:
    """A run that must end well: a figure of anything else would say nothing."""
    show(f"... {what}")
    run = _run(made, environ={**made.environ, **UNLIMITED})
    if run.usage.status != 0:
        raise RuntimeError(f"{what}: exit status {run.usage.status}\n{run.usage.stderr[-2000:]}")
    if run.counts["stripe"] < objects:
        raise RuntimeError(f"{what}: {run.counts['stripe']} of {objects} objects were looked at")
    if repairs is not None and run.counts["repaired"] != repairs:
        raise RuntimeError(f"{what}: {run.counts['repaired']} of {repairs} were repaired")
    return run


def _run(
    made: Stage,
    *,
    environ: Mapping[str, str],
    deadline: int = 0,
    groups: Sequence[Path] = (),
) -> Run:
    made.double.call("clear_requests")
    before = made.database_cpu()
    usage = measured(
        product.command(
            *("reconcile", "--format", "json", "--grace", "0", "--deadline", str(deadline))
        ),
        environ=environ,
        groups=groups,
    )
    report = json.loads(usage.stdout) if usage.stdout else {"counts": {}}
    return Run(
        usage=usage,
        counts=report["counts"],
        asked=made.double.call("request_counts"),
        database_cpu=made.database_cpu() - before,
    )


# What somebody did who had a database client: 5 of 100 subscriptions.
_DRIFT = (
    """
    UPDATE stripe.subscriptions SET status = 'past_due'
    WHERE abs(hashtext(id) % 100) IN (0, 1) AND status <> 'past_due'
    """,
    """
    UPDATE stripe.subscription_items SET price_id = 'price_other', unit_amount = 1
    WHERE abs(hashtext(subscription_id) % 100) = 2
    """,
    """
    UPDATE stripe.subscriptions SET metadata = '{"user_id": "somebody else"}'
    WHERE abs(hashtext(id) % 100) = 3
    """,
)
_ORPHANS = """
    DELETE FROM stripe.subscription_items WHERE abs(hashtext(subscription_id) % 100) = 4
"""
_MISSING = "DELETE FROM stripe.subscriptions WHERE abs(hashtext(id) % 100) = 4"
