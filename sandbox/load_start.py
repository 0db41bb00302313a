"""What it costs to start, with a warm bytecode cache."""

import argparse

from sandbox.measure import measured
from sandbox.product import Webhook, run
from sandbox.telling import show, table
from sandbox.world import World

TIMES = 3


def play(world: World, _: argparse.Namespace) -> list[str]:
    """Start each command a few times and print the cheapest."""
    run("migrate", environ=world.environ)
    rows: list[tuple[object, ...]] = []
    wrong: list[str] = []
    for name in ("reconcile", "migrate", "webhook"):
        usages = [measured(name, "--help", environ=world.environ) for _ in range(TIMES)]
        rows.append(
            (f"{name} --help", f"{min(one.cpu for one in usages):.2f}", f"{usages[0].peak:.0f}")
        )
        wrong += [f"{name} --help ended with {one.status}" for one in usages if one.status != 0]
    started: list[tuple[float, float]] = []
    for number in range(TIMES):
        with Webhook(world.environ, world.folder / f"webhook-{number}.log") as webhook:
            memory = sum(worker.memory_info().rss for worker in webhook.workers()) / 2**20
            started.append((webhook.cpu_seconds(), memory))
    cpu, memory = min(started)
    rows.append(("webhook, until its first answer", f"{cpu:.2f}", f"{memory:.0f}"))
    show("\nstart, the cheapest of three")
    table(("command", "CPU s", "MiB"), rows)
    return wrong
