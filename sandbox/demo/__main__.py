"""The whole story on one machine: events, drift, report, repair, report.

    python -m sandbox.demo

starts a private PostgreSQL, a double of Stripe and the real webhook, and cleans up after itself.
With DATABASE_URL and STRIPE_SECRET_KEY set it runs the same commands against the real ones, once
DEMO_REAL=yes allows it to write. Exit status 0 only if the last report shows no drift.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from sandbox.demo import real
from sandbox.demo.scene import DemoFailed, Scene
from sandbox.demo.story import tell
from sandbox.postgres import EmbeddedPostgres
from sandbox.postgres_programs import PostgresUnavailable
from sandbox.stripe_double import StripeDouble
from sandbox.telling import say

INTERRUPTED = 130


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m sandbox.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        if real.is_wanted(os.environ):
            return real.run(os.environ)
        return play()
    except KeyboardInterrupt:
        print("\ninterrupted; everything that was started is stopped", file=sys.stderr)
        return INTERRUPTED
    except (DemoFailed, PostgresUnavailable) as failure:
        print(f"\nthe demo failed: {failure}", file=sys.stderr)
        return 1


def play() -> int:
    """The story in a private world of its own, gone at the end."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="demo-") as folder,
        EmbeddedPostgres.start() as server,
        # Stripe's clock stands still unless the story moves it, so that "in one second" is exact.
        StripeDouble.start(clock=float(int(time.time()) - 4 * 3_600)) as double,
    ):
        status = tell(Scene(server, double, Path(folder)))
    say(f"PostgreSQL, the double and their files are gone. It took {_seconds(began)} s.")
    return status


def _seconds(began: float) -> int:
    return round(time.monotonic() - began)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
