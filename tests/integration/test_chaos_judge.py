"""The judge of the chaos run finds what is broken on purpose, and nothing else."""

import time
from dataclasses import asdict
from typing import Any

import msgspec
import psycopg
import pytest

from sandbox.chaos.database import WatchedDatabase
from sandbox.chaos.judge import Judge
from sandbox.chaos.postman import Facts
from sandbox.stripe_double import StripeDouble
from tests.builders import apply, apply_all, mirror

NEVER = "UPDATE stripe.subscriptions SET status = 'unheard of', revision = revision + 1"
BACK = """
    WITH items AS (UPDATE stripe.subscription_items SET quantity = 1)
    UPDATE stripe.subscriptions SET revision = revision + 1, as_of = as_of
"""
TWICE = """
    INSERT INTO stripe.changes (object, object_id, revision, event_id, fields)
    SELECT object, object_id, revision, event_id, fields FROM stripe.changes LIMIT 1
"""
LATE = "UPDATE stripe.events SET received_at = now() + interval '1 hour'"


@pytest.mark.parametrize(
    "sabotage, expected",
    [
        ("SELECT 1", set()),
        ("DELETE FROM stripe.events", {"lost", "never_entered"}),
        (LATE, {"lost"}),
        (TWICE, {"applied_twice", "unfolded"}),
        (BACK, {"went_back", "unfolded", "differing"}),
        (NEVER, {"never_true", "unfolded", "differing"}),
        ("DELETE FROM stripe.customers", {"differing"}),
    ],
)
def test_judge_finds_each_broken_promise(
    database_url: str,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    sabotage: str,
    expected: set[str],
) -> None:
    control = stripe_double.control

    def ask(method: str, *values: Any) -> Any:
        return msgspec.to_builtins(getattr(control, method)(*values))

    database = WatchedDatabase(database_url)
    database.prepare()
    name = control.create_subscription(quantity=1, trial_days=7)
    for quantity in (2, 3):
        control.advance(60)
        item = ask("truth", name)["items"]["data"][0]["id"]
        control.change_item(name, item, quantity=quantity)
    with mirror(database_url, stripe_double) as to:
        receipts = apply_all(to, control)
    facts = Facts(accepted={receipt.event_id: time.time() for receipt in receipts})
    connection.execute(sabotage.encode())

    judge = Judge(database, ask)
    judge.load()
    found = {
        what
        for what, ids in asdict(judge.judge(facts)).items()
        if isinstance(ids, list) and ids and what != "evidence"
    }
    assert found | ({"differing"} if judge.differing() else set()) == expected


@pytest.mark.parametrize("is_proved", [True, False])
def test_judge_knows_what_a_comparison_has_proved(
    database_url: str,
    stripe_double: StripeDouble,
    *,
    is_proved: bool,
) -> None:
    """A -> B -> A: the row was A all the time, and was found to be the second one."""
    control = stripe_double.control

    def ask(method: str, *values: Any) -> Any:
        return msgspec.to_builtins(getattr(control, method)(*values))

    database = WatchedDatabase(database_url)
    database.prepare()
    judge = Judge(database, ask)
    name = control.create_subscription(status="active")
    with mirror(database_url, stripe_double) as to:
        apply_all(to, control)
        for status in ("past_due", "active"):
            control.advance(60)
            control.update_subscription(name, status=status)
        since = control.now() if is_proved else control.now() - 61
        proofs = [judge.proof(since)]
        events = [made["id"] for made in control.events()]
        apply(to, control.event_body(events[-2]))
    judge.load()
    assert judge.judge(Facts(), proofs).went_back == ([name] if is_proved else [])
