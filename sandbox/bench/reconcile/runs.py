"""One run of reconcile and what it cost."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from sandbox import product
from sandbox.bench.stage import UNLIMITED, Stage
from sandbox.measure import Usage, measured
from sandbox.telling import show

MILLION = 1_000_000


class Run(Struct, frozen=True, kw_only=True):
    """One run of reconcile: what it cost, what it counted, what it asked, the database's CPU."""

    usage: Usage
    counts: dict[str, int]
    asked: dict[str, int]
    database_cpu: float


_FORGET = """
    DELETE FROM stripe.fingerprints WHERE abs(hashtext(object_id) % 100) < 5
"""


def run_nightly(made: Stage, objects: int, what: str) -> Run:
    """A run in sync as on any night: of a hundred objects the webhook has changed five since.

    The cheaper of two, but one alone where it takes long.
    """
    runs: list[Run] = []
    for _ in range(_times(objects)):
        forget(made)
        runs.append(run_well(made, objects, f"{what}, as on any night", repairs=0))
    return min(runs, key=lambda one: one.usage.cpu)


def forget(made: Stage) -> None:
    """Let five of a hundred objects be ones that are not recognised.

    Whether both sides have changed since the last run, or its fingerprint is gone, is one.
    """
    made.execute(_FORGET)


def run_whole(made: Stage, objects: int, what: str) -> Run:
    """A run in sync that compares every field, as the one after the first run has to."""
    what = f"{what}, every field"
    flags = ("--every-field",)
    runs = [run_well(made, objects, what, repairs=0, flags=flags) for _ in range(_times(objects))]
    return min(runs, key=lambda one: one.usage.cpu)


def _times(objects: int) -> int:
    return 2 if 10_000 < objects < MILLION else 1


def run_well(
    made: Stage,
    objects: int,
    what: str,
    *,
    repairs: int | None = None,
    flags: Sequence[str] = (),
) -> Run:
    """A run that must end well: a figure of anything else would say nothing."""
    show(f"... {what}")
    found = run(made, environ={**made.environ, **UNLIMITED}, flags=flags)
    if found.usage.status != 0:
        raise RuntimeError(
            f"{what}: exit status {found.usage.status}\n{found.usage.stderr[-2000:]}"
        )
    if found.counts["stripe"] < objects:
        raise RuntimeError(f"{what}: {found.counts['stripe']} of {objects} objects were looked at")
    if repairs is not None and found.counts["repaired"] != repairs:
        raise RuntimeError(f"{what}: {found.counts['repaired']} of {repairs} were repaired")
    return found


def run(
    made: Stage,
    *,
    environ: Mapping[str, str],
    deadline: int = 0,
    groups: Sequence[Path] = (),
    flags: Sequence[str] = (),
) -> Run:
    """A run however it ends, inside control groups where they are given."""
    made.double.call("clear_requests")
    before = made.database_cpu()
    usage = measured(
        product.command(
            *("reconcile", "--format", "json", "--grace", "0", "--deadline", str(deadline), *flags)
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
