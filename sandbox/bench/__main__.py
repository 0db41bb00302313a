"""What the product costs, beside its budgets and beside the plain way of doing the same.

    python -m sandbox.bench [start] [webhook] [siege] [growth] [bulk]
    python -m sandbox.bench --plots

Exit status 1 when a budget is missed. Figures also go to bench.json; a part that is measured anew
replaces that part there.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from sandbox.bench import figures, start
from sandbox.bench.drawing import plots
from sandbox.bench.figures import Part
from sandbox.bench.reconcile import bulk
from sandbox.bench.webhook import cost, growth, siege
from sandbox.telling import show

PARTS: dict[str, tuple[str, Callable[[Part, argparse.Namespace], None]]] = {
    "start": ("start, the cheapest of five", start.play),
    "webhook": ("webhook: one event after the other", cost.play),
    "siege": ("webhook: what hangs, and slow senders", siege.play),
    "growth": ("webhook: growing tables", growth.play),
    "bulk": ("reconcile: the nightly run", bulk.play),
}


def main() -> int:
    options = _options()
    if options.plots:
        return _plot(options.json)
    measured: dict[str, Part] = {}
    for name in options.parts or PARTS:
        title, play = PARTS[name]
        part = measured[name] = Part(machine=figures.machine())
        try:
            play(part, options)
        finally:
            # What was measured before something broke is worth seeing, and hard to get again.
            figures.show_part(title, part)
        figures.write(options.json, measured)
    late = figures.missed(measured)
    show(f"\n{len(late)} budgets missed" if late else "\nevery budget is met")
    for figure in late:
        show(f"  {figure.name}")
    return 1 if late else 0


def _plot(results: Path) -> int:
    try:
        for path in plots.write(figures.read(results)):
            show(str(path))
    except plots.NotMeasured as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help="all, unless named")
    add("--rows", type=int, default=100_000, metavar="N", help="subscriptions to reconcile")
    add(
        "--sizes",
        type=_numbers,
        metavar="N,N",
        help="and these numbers of them, for the plots (a tenth and a hundredth)",
    )
    add("--events", type=int, default=5_000, metavar="N", help="sent at once to the webhook")
    add("--table", type=int, default=10_000, metavar="N", help="subscriptions while they are sent")
    add("--processes", type=_numbers, default=[1, 2, 4], metavar="N,N", help="webhooks at once")
    add("--tables", type=_numbers, metavar="N,N", help="subscriptions in growing tables")
    add(
        "--fast",
        action="store_true",
        help="leave out the slow ones: the yardstick, the box, Stripe's pace, as many customers",
    )
    add("--plots", action="store_true", help="measure nothing; draw docs/bench-*.svg from FILE")
    add("--json", type=Path, default=figures.RESULTS, metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if options.sizes is None:
        options.sizes = [options.rows // 100, options.rows // 10]
    if options.tables is None:
        options.tables = [max(1, options.rows // 100), max(1, options.rows // 10), options.rows]
    options.sizes = [size for size in options.sizes if 0 < size <= options.rows]
    return options


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


if __name__ == "__main__":
    sys.exit(main())
