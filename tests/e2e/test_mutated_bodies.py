"""Mutated bodies against the running webhook: `python -m tests.fuzz.bombard` in small."""

import json
from pathlib import Path

from sandbox.product import Webhook
from tests.fuzz import bombard


def test_2000_mutated_bodies_bring_no_5xx_no_row_and_no_growth(
    environ: dict[str, str], tmp_path: Path
) -> None:
    settings = {**environ, "STRIPE_WEBHOOK_SECRET": bombard.SECRET}
    with Webhook(settings, tmp_path / "webhook.log") as webhook:
        first = bombard.bombard(webhook.port, 400, seed=7)
        before = bombard.resident(webhook)
        answers = first + bombard.bombard(webhook.port, 1_600, seed=8)
        grown = bombard.resident(webhook) - before
        text = json.dumps(webhook.log())
    assert {status for status, _ in answers.keys() - {bombard.NOT_KNOWN}} == {200, 400}
    assert {body for status, body in answers if status == 200} <= {
        '{"outcome": "failed"}',
        '{"outcome": "ignored"}',
    }
    assert "canary" not in text
    assert '"error"' in text
    found = bombard.rows(environ["DATABASE_URL"])
    kept = found.pop("events failed")
    assert kept > 100
    assert set(found.values()) == {0}
    assert grown < 8 * 2**20
