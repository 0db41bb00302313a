"""`make chaos`: exit status 0 when every promise was kept, 1 when one was broken."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from sandbox.chaos import storm, tables
from sandbox.chaos.plan import Plan, small


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int)
    parser.add_argument("--subscriptions", type=int)
    parser.add_argument("--seconds", type=float, help="when life at Stripe ends in any case")
    parser.add_argument("--small", action="store_true", help="half a minute of it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="a copy of the tables")
    given = parser.parse_args()
    plan = small(given.seed) if given.small else Plan(seed=given.seed)
    wishes = {name: getattr(given, name) for name in ("events", "subscriptions", "seconds")}
    plan = msgspec.structs.replace(plan, **{k: v for k, v in wishes.items() if v is not None})
    # Else nobody would end what was started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    began = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {words}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    result = storm.run(plan, folder, say)
    tables.show(result)
    if given.json:
        given.json.write_text(json.dumps(tables.as_json(result), indent=2), encoding="utf-8")
    if tables.is_clean(result):
        shutil.rmtree(folder)
        return 0
    print(f"the logs of all processes are in {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
