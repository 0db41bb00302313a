"""The product under load: whether everything is right. What it costs is `sandbox.bench`'s matter.

    python -m sandbox.load [webhook] [reconcile]

Exit status 1 when a row, the ledger or an answer is wrong.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from sandbox.load import reconcile, webhook
from sandbox.postgres import EmbeddedPostgres
from sandbox.stripe_double import Control, StripeDouble
from sandbox.world import World

PARTS: dict[str, Callable[[World, Control, argparse.Namespace], list[str]]] = {
    "webhook": webhook.play,
    "reconcile": reconcile.play,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all, unless named")
    parser.add_argument("--events", type=int, default=1_000, metavar="N")
    parser.add_argument("--subscriptions", type=int, default=200, metavar="N", help="with events")
    parser.add_argument("--senders", type=int, default=16, metavar="N")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="WEB_CONCURRENCY")
    parser.add_argument("--rows", type=int, default=20_000, metavar="N", help="to be reconciled")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    wrong: list[str] = []
    for part in options.parts or PARTS:
        with (
            tempfile.TemporaryDirectory(prefix="load-") as folder,
            EmbeddedPostgres.start() as server,
            StripeDouble.start() as double,
        ):
            world = World(server, double.url, Path(folder))
            world.migrate()
            wrong += PARTS[part](world, double.control, options)
    for sentence in wrong[:20]:
        print(f"WRONG  {sentence}")
    print(f"\n{len(wrong)} wrong" if wrong else "\neverything is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
