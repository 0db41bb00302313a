"""Hostile delivery at full speed against the real webhook."""

import argparse
import json
import random
from collections import Counter

import psycopg

from sandbox.mirrored import differences
from sandbox.stripe_double import Control, DeliveryPlan
from sandbox.telling import show
from sandbox.world import World

COPIES = (1, 3)


def play(world: World, control: Control, options: argparse.Namespace) -> list[str]:
    """Send it all, print what was answered, and return what is wrong."""
    live(control, options.events, options.subscriptions)
    names = control.outbox()
    control.clear_requests()
    plan = DeliveryPlan(copies=COPIES, order="shuffled", senders=options.senders)
    with world.webhook(WEB_CONCURRENCY=str(options.workers)) as webhook:
        deliveries = control.deliver(webhook.url, [world.secret], plan)
    replies = [reply for delivery in deliveries for reply in delivery.answers]
    with psycopg.connect(world.server.url()) as connection:
        wrong = differences(connection, control)
        entered = connection.execute("SELECT id FROM stripe.events ORDER BY id").fetchall()
    if [row[0] for row in entered] != sorted(names):
        wrong.append(f"the ledger has {len(entered)} rows for {len(names)} events")
    statuses = Counter(reply.status for reply in replies)
    wrong += [
        f"{count} answers were {status}" for status, count in statuses.items() if status != 200
    ]
    outcomes = Counter(json.loads(reply.body).get("outcome") for reply in replies if reply.body)
    questions = sum(
        count for name, count in control.request_counts().items() if name.endswith(".retrieve")
    )
    show(
        f"\nwebhook: {len(names)} events over {options.subscriptions} subscriptions, sent"
        f" {len(replies)} times in random order by {options.senders} senders,"
        f" {options.workers} worker(s)"
    )
    show(", ".join(f"{count} {name}" for name, count in outcomes.most_common()))
    show(f"{questions} questions to Stripe ({100 * questions / len(names):.1f} % of events)")
    return wrong


def live(control: Control, events: int, subscriptions: int) -> None:
    """So many subscriptions that lead so eventful a life, often several times in one second."""
    chance = random.Random(0)
    # Before the first event they were there already, and events are all that a webhook knows.
    for product in control.products.values():
        control.update_product(product, metadata={"told": "by an event"})
    for price in control.prices.values():
        control.update_price(price, metadata={"told": "by an event"})
    names = [control.create_subscription(status="incomplete") for _ in range(subscriptions)]
    while len(control.outbox()) < events:
        control.churn(1, seed=chance.getrandbits(32), seconds=0.5, create=0.0)
        name = chance.choice(names)
        for _ in range(chance.choice((0, 1, 2, 3))):
            control.update_subscription(name, metadata={"note": str(chance.getrandbits(32))})
