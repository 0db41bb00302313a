"""A private world: a database server, a Stripe, and the product's commands pointed at them."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from sandbox import product
from sandbox.postgres import EmbeddedPostgres


class World:
    """`environ`: what the product's commands need to find both sides; `folder`: for their logs."""

    def __init__(
        self,
        server: EmbeddedPostgres,
        stripe_url: str,
        folder: Path,
        *,
        key: str = "sk_test_double",
        secret: str = "whsec_sandbox",  # noqa: S107 -- of a Stripe that lives for a minute
        **settings: str,
    ) -> None:
        self.server = server
        self.folder = folder
        self.secret = secret
        self.environ = product.environment(
            DATABASE_URL=server.url(),
            STRIPE_API_BASE=stripe_url,
            STRIPE_SECRET_KEY=key,
            STRIPE_WEBHOOK_SECRET=secret,
            **settings,
        )

    def run(
        self, name: str, *arguments: str, timeout: float = 120.0
    ) -> "subprocess.CompletedProcess[str]":
        """A command to its end, however it ends."""
        return product.run(name, *arguments, environ=self.environ, timeout=timeout)

    def migrate(self) -> None:
        """Make the tables. Raises RuntimeError."""
        done = self.run("migrate")
        if done.returncode != 0:
            raise RuntimeError(f"migrate ended with {done.returncode}:\n{done.stderr[-2000:]}")

    def webhook(
        self, name: str = "webhook", *, open_files: int | None = None, **settings: str
    ) -> product.Webhook:
        """Start it, with a log of this name."""
        log = self.folder / f"{name}.log"
        return product.Webhook({**self.environ, **settings}, log, open_files=open_files)

    def execute(
        self, text: LiteralString, parameters: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> int:
        """Run a statement of the sandbox's own; how many rows it touched."""
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            return connection.execute(text, parameters).rowcount

    def query(self, text: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            return connection.execute(text, values).fetchall()

    def value(self, text: LiteralString | sql.Composed, dbname: str = "postgres") -> Any:
        """The first value of the first row, None without one."""
        with psycopg.connect(self.server.url(dbname), autocommit=True) as connection:
            row = connection.execute(text).fetchone()
        return None if row is None else row[0]
