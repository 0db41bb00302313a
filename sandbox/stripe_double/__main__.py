"""The double as a process: prints one JSON line when it is ready, ends by SIGTERM or SIGINT."""

import argparse
import os
import signal
from types import FrameType

import msgspec

from sandbox.stripe_double.double import StripeDouble


def main() -> None:
    options = _parser().parse_args()
    double = StripeDouble.start(
        port=options.port,
        clock=options.clock,
        ticking=options.ticking == "on",
        seed=options.seed,
        rate_limits=options.rate_limits == "on",
        latency=options.latency / 1e3,
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        double.request_stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with double:
        if options.seed_subscriptions:
            now = int(double.control.now())
            double.control.realm(livemode=options.livemode).seed(
                options.seed_subscriptions,
                customers=options.seed_customers,
                start=now - int(options.seed_days * 86_400),
                end=now - 3_600,
                items=options.items,
                seed=options.seed,
                inline_prices=options.inline_prices,
            )
        ready = {"url": double.url, "pid": os.getpid()}
        print(msgspec.json.encode(ready).decode(), flush=True)
        double.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.stripe_double", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="decides the seeded subscriptions")
    parser.add_argument("--seed-subscriptions", type=int, default=0, metavar="N")
    parser.add_argument("--seed-customers", type=int, metavar="N", help="default: as many")
    parser.add_argument("--seed-days", type=float, default=730, help="over so many past days")
    parser.add_argument("--items", type=int, default=1, help="items of a seeded subscription")
    parser.add_argument("--inline-prices", action="store_true", help="each has its own, unlisted")
    parser.add_argument("--livemode", action="store_true", help="seed live mode, not test mode")
    parser.add_argument("--rate-limits", choices=("on", "off"), default="off")
    parser.add_argument("--latency", type=float, default=0, metavar="MS")
    parser.add_argument("--clock", type=float, default=None, help="epoch seconds; the host's time")
    parser.add_argument("--ticking", choices=("on", "off"), default="on")
    return parser


if __name__ == "__main__":
    main()
