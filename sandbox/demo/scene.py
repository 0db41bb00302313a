"""The demo's world: commands as a person types them, and a stranger with a database client."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import LiteralString

from sandbox.postgres import EmbeddedPostgres
from sandbox.product import Webhook
from sandbox.stripe_double import Delivery, DeliveryPlan, StripeDouble
from sandbox.telling import shell, show
from sandbox.world import World

GRANTING = ("active", "trialing", "past_due")


class DemoFailed(Exception):
    """Something ended otherwise than the story says."""


class Scene(World):
    """A world whose Stripe is at hand."""

    def __init__(self, server: EmbeddedPostgres, double: StripeDouble, folder: Path) -> None:
        super().__init__(server, double.url, folder)
        self.double = double

    def command(
        self, name: str, *arguments: str, expected: int = 0
    ) -> "subprocess.CompletedProcess[str]":
        """Type a command, show what it prints, and insist on its exit status."""
        shell(" ".join((name, *arguments)))
        done = self.run(name, *arguments)
        show(done.stdout)
        if done.returncode != expected:
            words = (done.stderr or done.stdout)[-2000:]
            raise DemoFailed(f"{name} ended with {done.returncode}, not {expected}:\n{words}")
        return done

    def start_webhook(self) -> Webhook:
        shell("webhook &")
        try:
            return self.webhook()
        except (RuntimeError, TimeoutError) as error:
            raise DemoFailed(str(error)) from None

    def send(
        self,
        webhook: Webhook,
        names: Sequence[str],
        plan: DeliveryPlan | None = None,
        secret: str | None = None,
    ) -> list[Delivery]:
        control = self.double.control
        return control.send(names, webhook.url, [secret or self.secret], plan or DeliveryPlan())

    def tamper(self, text: LiteralString, *values: object) -> None:
        """Change rows as a stranger with a database client would."""
        if self.execute(text, values) < 1:
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
        ((count,),) = self.query(
            "SELECT count(*) FROM stripe.subscriptions"
            " WHERE status = ANY(%s) AND missing_in_stripe_since IS NULL",
            list(GRANTING),
        )
        truths = self.double.control.truths("subscription")
        return count, sum(truth["status"] in GRANTING for truth in truths)
