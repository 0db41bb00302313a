"""The product's commands, as processes of their own, against a test's database and Stripe."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import product
from sandbox.stripe_double import StripeDouble

SECRET = "whsec_e2e"


@pytest.fixture
def environ(database_url: str, stripe_double: StripeDouble) -> dict[str, str]:
    """Every setting that a command needs; a second of grace at most is spent on waiting."""
    return product.environment(
        DATABASE_URL=database_url,
        STRIPE_API_BASE=stripe_double.url,
        STRIPE_SECRET_KEY="sk_test_double",
        STRIPE_WEBHOOK_SECRET=SECRET,
        GRACE_SECONDS="0",
    )


@pytest.fixture
def webhook(environ: dict[str, str], tmp_path: Path) -> Iterator[product.Webhook]:
    """The running webhook, stopped afterwards."""
    with product.Webhook(environ, tmp_path / "webhook.log") as running:
        yield running


@pytest.fixture(scope="module")
def doorway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[product.Webhook]:
    """One webhook for all who never get past the door; it needs no database for that."""
    settings = product.environment(
        DATABASE_URL="postgresql:///nowhere?host=/nowhere",
        STRIPE_API_BASE="http://127.0.0.1:9",
        STRIPE_SECRET_KEY="sk_test_double",
        STRIPE_WEBHOOK_SECRET=SECRET,
    )
    with product.Webhook(settings, tmp_path_factory.mktemp("doorway") / "webhook.log") as running:
        yield running
