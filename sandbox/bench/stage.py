"""A database and a Stripe of a wanted size, each in processes of its own, and what they cost."""

import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import psutil
import psycopg
from psycopg import sql

from sandbox import product
from sandbox.measure import cpu_of
from sandbox.postgres import EmbeddedPostgres

# Live mode, because Stripe limits a sandbox to 25 requests a second in all.
KEY = "sk_live_double"
SIGNING_SECRET = "whsec_bench"  # noqa: S105
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
        self._connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=600)

    def call(self, method: str, *args: Any, **keywords: Any) -> Any:
        """Call a method of its control."""
        body = {"method": method, "args": args, "keywords": keywords, "realm": {"livemode": True}}
        self._connection.request("POST", "/_control/call", json.dumps(body))
        answer = self._connection.getresponse()
        found = msgspec.json.decode(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{method}: {found}")
        return found["result"]

    def memory(self) -> float:
        """Resident MiB."""
        return float(self.process.memory_info().rss / 2**20)

    def close(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.communicate()


class Stage:
    """`environ`: what the product's commands need to find both sides."""

    def __init__(self, server: EmbeddedPostgres, double: DoubleProcess, folder: Path) -> None:
        self.server = server
        self.double = double
        self.folder = folder
        self.environ = product.environment(
            DATABASE_URL=server.url(),
            STRIPE_API_BASE=double.url,
            STRIPE_SECRET_KEY=KEY,
            STRIPE_WEBHOOK_SECRET=SIGNING_SECRET,
            LOG_LEVEL="INFO",
        )

    def execute(self, text: LiteralString, parameters: Mapping[str, Any] | None = None) -> int:
        """Run a statement of the bench's own; how many rows it touched."""
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            return connection.execute(text, parameters).rowcount

    def value(self, text: LiteralString | sql.Composed, dbname: str = "postgres") -> Any:
        with psycopg.connect(self.server.url(dbname), autocommit=True) as connection:
            row = connection.execute(text).fetchone()
        return None if row is None else row[0]

    def change_setting(self, text: LiteralString, name: str, value: str) -> None:
        """Change a setting of the running server and wait until its processes are told."""
        self.execute(text)
        self.execute("SELECT pg_reload_conf()")
        shown = sql.SQL("SHOW {}").format(sql.Identifier(name))
        product.wait_until(lambda: self.value(shown) == value, f"the server's {name}")

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
        done = product.run("migrate", environ=made.environ)
        if done.returncode != 0:
            raise RuntimeError(f"migrate ended with {done.returncode}:\n{done.stderr[-2000:]}")
        yield made
