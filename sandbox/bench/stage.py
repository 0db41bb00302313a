"""A database and a Stripe of a wanted size, each in processes of its own, and what they cost."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import LiteralString

import msgspec
import psutil
from psycopg import sql

from sandbox.measure import cpu_of
from sandbox.postgres import EmbeddedPostgres
from sandbox.product import wait_until
from sandbox.stripe_double.control.caller import RemoteControl
from sandbox.world import World

# Live mode, because Stripe limits a sandbox to 25 requests a second in all.
KEY = "sk_live_double"
LATENCY_MS = 500
STRIPE_RATE = 25.0

# Nothing is lost by a crash here, and a checkpoint in one run but not in another would be noise.
POSTGRES = {"max_wal_size": "2GB", "checkpoint_timeout": "1h"}
# The product's own limits, raised so high that only CPU counts.
UNLIMITED = {"STRIPE_RATE_LIMIT": "1000", "STRIPE_ENDPOINT_RATE_LIMIT": "1000"}


class DoubleProcess:
    """`python -m sandbox.stripe_double`, told what to do over HTTP."""

    def __init__(self, *, subscriptions: int, customers: int) -> None:
        seeded = ("--seed-subscriptions", str(subscriptions), "--seed-customers", str(customers))
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sandbox.stripe_double", "--livemode"),
                *(seeded if subscriptions else ()),
            ],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        self.url: str = msgspec.json.decode(self._process.stdout.readline())["url"]
        self.process = psutil.Process(self._process.pid)
        self.call = RemoteControl(self.url, realm={"livemode": True}).call

    def memory(self) -> float:
        """Resident MiB."""
        return float(self.process.memory_info().rss / 2**20)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


class Stage(World):
    """A world whose costs can be measured, with its Stripe in a process of its own."""

    def __init__(self, server: EmbeddedPostgres, double: DoubleProcess, folder: Path) -> None:
        super().__init__(server, double.url, folder, key=KEY, LOG_LEVEL="INFO")
        self.double = double

    def change_setting(self, text: LiteralString, name: str, value: str) -> None:
        """Change a setting of the running server and wait until its processes are told."""
        self.execute(text)
        self.execute("SELECT pg_reload_conf()")
        shown = sql.SQL("SHOW {}").format(sql.Identifier(name))
        wait_until(lambda: self.value(shown) == value, f"the server's {name}")

    def settle(self) -> None:
        """Let the server do now what autovacuum would do in the midst of a measurement."""
        self.execute("VACUUM ANALYZE")
        self.execute("CHECKPOINT")

    def database_cpu(self) -> float:
        """Processor seconds of all of the server's processes so far."""
        return cpu_of(psutil.Process(self.server.pid))


@contextmanager
def stage(*, subscriptions: int = 0, customers: int = 1) -> Iterator[Stage]:
    """A migrated, empty database, and a Stripe with so many objects."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        EmbeddedPostgres.start(POSTGRES) as server,
        closing(DoubleProcess(subscriptions=subscriptions, customers=customers)) as double,
    ):
        made = Stage(server, double, Path(folder))
        made.migrate()
        yield made
