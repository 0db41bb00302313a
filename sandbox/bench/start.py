"""What it costs to start, with a warm bytecode cache."""

import argparse

from sandbox import product
from sandbox.bench.figures import Part
from sandbox.bench.stage import stage
from sandbox.measure import cpu_of, measured, memory_of
from sandbox.telling import show

BUDGET_ANSWER = 0.6
BUDGET_HELP = 0.3
TIMES = 5


def play(part: Part, _: argparse.Namespace) -> None:
    """Start each command a few times; the cheapest counts."""
    show("... starting each command a few times")
    with stage() as made:
        for name in ("reconcile", "migrate", "webhook"):
            usages = [
                measured(product.command(name, "--help"), environ=made.environ)
                for _ in range(TIMES)
            ]
            part.add(
                f"{name} --help",
                min(usage.cpu for usage in usages),
                "CPU-s",
                budget=BUDGET_HELP if name == "reconcile" else None,
                told=f"{usages[0].peak:.0f} MiB" if name == "reconcile" else "",
            )
        started: list[tuple[float, float]] = []
        for number in range(TIMES):
            with made.webhook(f"webhook-{number}") as webhook:
                family = [webhook.root, *webhook.workers()]
                started.append((cpu_of(webhook.root), sum(map(memory_of, family)) / 2**20))
        cpu, memory = min(started)
        part.add(
            "webhook, start to first answer",
            cpu,
            "CPU-s",
            budget=BUDGET_ANSWER,
            told=f"{memory:.0f} MiB, all its processes",
        )
