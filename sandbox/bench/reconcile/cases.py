"""`reconcile` beside yardsticks, in the box, with drift, and at Stripe's own pace."""

import math
import sys
from pathlib import Path

from sandbox import product
from sandbox.bench.box import BUDGET_MIB, CPU, MIB, NoBox, box
from sandbox.bench.figures import Part
from sandbox.bench.reconcile import alone
from sandbox.bench.reconcile.runs import MILLION, Run, forget, run, run_well
from sandbox.bench.stage import KEY, LATENCY_MS, STRIPE_RATE, UNLIMITED, Stage
from sandbox.measure import measured
from sandbox.telling import show

BUDGET_PACE = 1.1
BUDGET_BOX = 300.0
YARDSTICK_ROWS = 2_000

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


def beside_yardsticks(part: Part, made: Stage, rows: int, in_sync: Run) -> None:
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


def in_the_box(part: Part, made: Stage, rows: int) -> None:
    name = f"in sync, in a box of {CPU} CPU and {MIB} MiB"
    try:
        with box() as limits:
            show(f"... {name}")
            forget(made)
            found = run(made, environ={**made.environ, **UNLIMITED}, groups=limits.groups)
            peak, throttled, spun = limits.peak(), limits.throttled(), limits.spun
    except NoBox as error:
        part.add(name, None, "s", told=f"not measured: {error}")
        return
    a_million = found.usage.wall * MILLION / rows
    part.add(
        name,
        found.usage.wall,
        "s",
        budget=BUDGET_BOX if rows >= MILLION else None,
        told=f"enforced by control groups (a spinner got {spun:.2f} of a CPU): {rows:,}"
        f" subscriptions, {found.usage.cpu:.2f} CPU-s, throttled in {throttled} periods;"
        f" by size {a_million:,.0f} s for a million",
    )
    part.add("its exit status", found.usage.status, budget=0)
    part.add("peak memory charged to the box", peak, "MiB", budget=BUDGET_MIB)


def with_drift(part: Part, made: Stage, rows: int) -> None:
    made.double.call("advance", 3_600)
    touched = sum(made.execute(statement) for statement in _DRIFT)
    made.execute(_ORPHANS)
    missing = made.execute(_MISSING)
    found = run_well(made, rows, f"{touched + missing:,} rows drifted", repairs=touched + missing)
    part.add(
        "run that repairs 5 % of drift",
        found.usage.cpu,
        "CPU-s",
        told=f"{found.counts['repaired']:,} repairs of {touched:,} rows changed, {missing:,}"
        f" deleted by SQL; {found.usage.wall:.1f} s of wall time, the database's own"
        f" {found.database_cpu:.2f} CPU-s, {sum(found.asked.values()):,} requests",
    )
    part.add("peak memory, repairing", found.usage.peak, "MiB", budget=BUDGET_MIB)


def at_stripes_pace(part: Part, made: Stage, rows: int, *, customers: bool = False) -> None:
    """As many customers have an endpoint, and so a floor, of their own beside."""
    floor = math.ceil(rows / 100) / STRIPE_RATE
    forget(made)
    show(f"... at Stripe's pace, which takes {floor:.0f} s at least")
    made.double.call("switch", latency=LATENCY_MS / 1_000, rate_limits=True)
    found = run(made, environ=made.environ, deadline=math.ceil(3 * floor + 20))
    made.double.call("switch", latency=0.0, rate_limits=False)
    lines = made.double.call("requests")
    refused = sum(line["status"] == 429 for line in lines)
    listed = sum(line["endpoint"] == "subscriptions.list" for line in lines) - refused
    share = 1.0 if found.usage.status == 0 else max(listed * 100 / rows, 1e-9)
    part.add(
        f"wall time over Stripe's floor, {LATENCY_MS} ms a page"
        + (", as many customers" if customers else ""),
        found.usage.wall / (floor * share),
        "x",
        budget=None if customers else BUDGET_PACE,
        told=f"{found.usage.wall:.1f} s for {listed:,} pages of subscriptions, the floor for"
        f" {math.ceil(rows / 100):,} is {floor:.1f} s; {refused} requests refused (429); peak"
        f" {found.usage.peak:.0f} MiB; exit {found.usage.status}"
        + ("" if share == 1 else ": it did not get through"),
    )
