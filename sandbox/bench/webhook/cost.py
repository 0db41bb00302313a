"""`webhook` under signed events: CPU, rate, waiting, memory, several processes, bare SQL."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

from msgspec import Struct

from sandbox.bench.figures import Part
from sandbox.bench.stage import Stage, stage
from sandbox.bench.webhook import replay
from sandbox.bench.webhook.mail import Mail
from sandbox.bench.webhook.sender import Plan, Sent, send
from sandbox.measure import cpu_of, memory_of
from sandbox.product import Webhook
from sandbox.stripe_double import StripeDouble
from sandbox.telling import show

BUDGET_MS = 0.9
BUDGET_BURST_MS = 0.7
BUDGET_RATE = 1_000.0
BUDGET_P99 = 10.0
BUDGET_MIB = 64.0
STEADY = 200
REPLAYED = 2_000
OVERTAKEN = 5


class Cost(Struct, frozen=True, kw_only=True):
    """What events cost: milliseconds of CPU an event here and in the database."""

    sent: Sent
    own: float
    database: float


def play(part: Part, options: argparse.Namespace) -> None:
    events = options.events
    with StripeDouble.start(clock=None, ticking=True) as double, stage() as made:
        mail = Mail(double.control.realm(livemode=True), options.table)
        with made.webhook() as one:
            prepare(made, mail, one, options.table)
            show(f"... a burst of {events:,} events, {options.table:,} subscriptions")
            burst = post(made, [one], mail, events)
            show(f"... {STEADY} events a second")
            steady = post(made, [one], mail, max(events * 2 // 5, 1), rate=STEADY)
            memory = max(map(memory_of, one.workers())) / 2**20
        replayed = replay.play(made, mail, min(REPLAYED, events))
        _figures(part, burst, steady, replayed)
        _memory(part, made, mail, options, memory)
        _scale_out(part, made, mail, options, burst, replayed)


def prepare(made: Stage, mail: Mail, webhook: Webhook, rows: int) -> None:
    """Let one real event make the row that the others are copies of, and warm everything up."""
    expect(send(Plan(urls=[webhook.url], secret=made.secret), [mail.first]))
    mail.grow(made, rows, 10 * rows)
    expect(send(Plan(urls=[webhook.url], secret=made.secret), mail.take(100)))


def post(
    made: Stage,
    webhooks: Sequence[Webhook],
    mail: Mail,
    events: int,
    *,
    rate: float | None = None,
    connections: int = 8,
) -> Cost:
    """Send so many events and see what they cost. Raises RuntimeError unless all are applied."""
    bodies = list(mail.take(events))
    plan = Plan(
        urls=[webhook.url for webhook in webhooks],
        secret=made.secret,
        rate=rate,
        connections=connections,
        timeout=60.0,
    )
    own, database = sum(cpu_of(webhook.root) for webhook in webhooks), made.database_cpu()
    sent = send(plan, bodies)
    own = sum(cpu_of(webhook.root) for webhook in webhooks) - own
    expect(sent)
    return Cost(
        sent=sent,
        own=1_000 * own / events,
        database=1_000 * (made.database_cpu() - database) / events,
    )


def expect(sent: Sent) -> None:
    """A figure of anything but applied events would say nothing.

    Two events of one object may overtake each other on their connections: one of them is stale.
    """
    outcomes: Counter[str] = Counter()
    for answer, number in sent.answers.items():
        outcomes[json.loads(answer).get("outcome", "none")] += number
    overtaken = outcomes.pop("stale", 0)
    if set(sent.statuses) != {"200"} or set(outcomes) != {"applied"} or overtaken > OVERTAKEN:
        raise RuntimeError(f"not all were applied: {sent.statuses} {sent.answers}")


def _figures(part: Part, burst: Cost, steady: Cost, replayed: replay.Replayed) -> None:
    part.add(
        "CPU an event, in a burst",
        burst.own,
        "ms",
        budget=BUDGET_BURST_MS,
        told=f"all processes of the webhook; the database's own {burst.database:.2f} ms, "
        f"the sender's {1000 * burst.sent.cpu / burst.sent.events:.2f} ms",
    )
    part.add(
        f"CPU an event, at {STEADY} a second",
        steady.own,
        "ms",
        budget=BUDGET_MS,
        told=f"the database's own {steady.database:.2f} ms",
    )
    part.add(
        f"p99 at {STEADY} events a second",
        steady.sent.waited.p99,
        "ms",
        budget=BUDGET_P99,
        told=f"p50 {steady.sent.waited.p50:.1f}, at most {steady.sent.waited.most:.0f} ms, from the"
        " moment at which an event was due",
    )
    part.add(
        f"p99 of a burst of {burst.sent.events:,}",
        burst.sent.waited.p99,
        "ms",
        told=f"p50 {burst.sent.waited.p50:.0f} ms, all due at once; each request by itself: p50"
        f" {burst.sent.answered.p50:.1f}, p99 {burst.sent.answered.p99:.1f} ms over 8 connections",
    )
    part.add(
        "database CPU an event",
        burst.database,
        "ms",
        yardstick=replayed.database,
        against=f"ms: {replayed.how}",
    )


def _memory(
    part: Part, made: Stage, mail: Mail, options: argparse.Namespace, after_less: float
) -> None:
    with made.webhook("webhook-memory") as one:
        show(f"... {2 * options.events:,} events to one worker")
        before = max(map(memory_of, one.workers())) / 2**20
        post(made, [one], mail, 2 * options.events)
        memory = sum(map(memory_of, [one.root, *one.workers()])) / 2**20
        worker = max(map(memory_of, one.workers())) / 2**20
    part.add(
        f"memory after {2 * options.events:,} events",
        memory,
        "MiB",
        budget=BUDGET_MIB,
        told=f"both processes; the worker alone {worker:.0f}, after its start {before:.0f},"
        f" in another life after {options.events * 7 // 5:,} events {after_less:.0f}",
    )


def _scale_out(
    part: Part,
    made: Stage,
    mail: Mail,
    options: argparse.Namespace,
    burst: Cost,
    replayed: replay.Replayed,
) -> None:
    rates: dict[int, Cost] = {}
    for count in options.processes:
        show(f"... {count} webhook process(es) against one database")
        with ExitStack() as stack:
            webhooks = [stack.enter_context(made.webhook(f"out-{count}-{n}")) for n in range(count)]
            post(made, webhooks, mail, 50 * count)
            rates[count] = post(made, webhooks, mail, options.events)
    for count, cost in rates.items():
        part.add(
            f"events a second, {count} process(es)",
            cost.sent.rate,
            "/s",
            at_least=True,
            yardstick=replayed.rate,
            against=f"/s: {replayed.how}",
            told=f"{cost.own:.2f} ms of CPU an event, and the database's own {cost.database:.2f}",
        )
        part.points.append(
            {"processes": count, "rate": cost.sent.rate, "own": cost.own, "database": cost.database}
        )
    best = max([burst.sent.rate, *(cost.sent.rate for cost in rates.values())])
    part.add(
        "events a second, the best of these",
        best,
        "/s",
        budget=BUDGET_RATE,
        at_least=True,
        told="webhook, PostgreSQL and sender on the same cores",
    )
