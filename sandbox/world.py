"""A private world: the commands with their environment, and a look into the database."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from sandbox import product
from sandbox.postgres import EmbeddedPostgres
from sandbox.stripe_double import Delivery, DeliveryPlan, StripeDouble
from sandbox.telling import shell, show

# Of a Stripe that lives for half a minute.
KEY = "sk_test_double"
SIGNING_SECRET = "whsec_demo"  # noqa: S105
GRANTING = ("active", "trialing", "past_due")


class DemoFailed(Exception):
    """Something ended otherwise than the story says."""


class World:
    """A server, a double and the product's commands pointed at them."""

    def __init__(self, server: EmbeddedPostgres, double: StripeDouble, folder: Path) -> None:
        self.server = server
        self.double = double
        self.folder = folder
        self.environ = product.environment(
            DATABASE_URL=server.url(),
            STRIPE_API_BASE=double.url,
            STRIPE_SECRET_KEY=KEY,
            STRIPE_WEBHOOK_SECRET=SIGNING_SECRET,
        )

    def command(
        self, name: str, *arguments: str, expected: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Type a command, show what it prints, and insist on its exit status."""
        shell(" ".join((name, *arguments)))
        done = product.run(name, *arguments, environ=self.environ)
        show(done.stdout)
        if done.returncode != expected:
            words = (done.stderr or done.stdout)[-2000:]
            raise DemoFailed(f"{name} ended with {done.returncode}, not {expected}:\n{words}")
        return done

    def start_webhook(self) -> product.Webhook:
        shell("webhook &")
        try:
            return product.Webhook(self.environ, self.folder / "webhook.log")
        except (RuntimeError, TimeoutError) as error:
            raise DemoFailed(str(error)) from None

    def send(
        self,
        webhook: product.Webhook,
        names: Sequence[str],
        plan: DeliveryPlan | None = None,
        secret: str = SIGNING_SECRET,
    ) -> list[Delivery]:
        return self.double.control.send(names, webhook.url, [secret], plan or DeliveryPlan())

    def query(self, text: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            return connection.execute(text, values).fetchall()

    def tamper(self, text: LiteralString, *values: object) -> None:
        """Change rows as a stranger with a database client would."""
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            touched = connection.execute(text, values).rowcount
        if touched < 1:
            raise DemoFailed("a row that the story needs is not there")

    def living(self, count: int) -> list[str]:
        """Active subscriptions of one item with a quantity, by Stripe."""
        found = [
            one["id"]
            for one in self.double.control.truths("subscription")
            if one["status"] == "active"
            and not one["cancel_at_period_end"]
            and [item["price"]["recurring"]["usage_type"] for item in one["items"]["data"]]
            == ["licensed"]
        ]
        if len(found) < count:
            raise DemoFailed(
                f"the story needs {count} active subscriptions, Stripe has {len(found)}"
            )
        return found[:count]

    def access(self) -> tuple[int, int]:
        """How many subscriptions let somebody in: by the database, by Stripe."""
        (count,) = self.query(
            "SELECT count(*) FROM stripe.subscriptions"
            " WHERE status = ANY(%s) AND missing_in_stripe_since IS NULL",
            list(GRANTING),
        )[0]
        truths = self.double.control.truths("subscription")
        return count, sum(truth["status"] in GRANTING for truth in truths)
