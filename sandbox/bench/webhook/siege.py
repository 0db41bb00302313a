"""`webhook` while its database or Stripe hangs, and while senders send nothing or half a head."""

import argparse
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import psycopg

from sandbox.bench.figures import Part
from sandbox.postgres import EmbeddedPostgres
from sandbox.product import Webhook, wait_until
from sandbox.siege import (
    HALF_A_HEAD,
    Answered,
    Crowd,
    Watch,
    allow_files,
    post,
    post_all,
    questionable,
    statuses,
    worst,
)
from sandbox.stripe_double import Control, StripeDouble
from sandbox.telling import show
from sandbox.world import World

BUDGET_ANSWER = 5.0
BUDGET_HEALTH = 0.5
SLOW = (4, 16, 40, 200)
IDLE = 1_200
FEW_FILES = 256
EVENTS = 40
QUESTIONS = 32
HONEST = 12
PAUSE = 0.5


class _Ground:
    """One webhook, its database and its Stripe."""

    def __init__(self, world: World, double: StripeDouble, webhook: Webhook) -> None:
        self.world = world
        self.control: Control = double.control
        self.port = webhook.port

    def events(self, number: int) -> list[bytes]:
        """So many events of different objects, each simply new."""
        known = len(self.control.events())
        for _ in range(number):
            self.control.create_customer(name="Ada")
        return [self.control.event_body(made["id"]) for made in self.control.events()[known:]]

    def honest(self) -> list[Answered]:
        """Events one after the other, each on a connection of its own."""
        answers = []
        for body in self.events(HONEST):
            answers.append(post(self.port, body, self.world.secret))
            threading.Event().wait(PAUSE)
        return answers


def play(part: Part, _: argparse.Namespace) -> None:
    allow_files(4 * IDLE)
    _case(part, "database hangs", _hanging_database)
    _case(part, "Stripe hangs", _hanging_stripe)
    for number in SLOW:
        _case(part, f"{number} half heads", partial(_crowd, number=number, beginning=HALF_A_HEAD))
    _case(part, f"{IDLE:,} idle", partial(_crowd, number=IDLE))
    few = f"400 idle, {FEW_FILES} files"
    _case(part, few, partial(_crowd, number=400), open_files=FEW_FILES)


def _case(
    part: Part,
    name: str,
    besiege: Callable[[_Ground], list[Answered]],
    *,
    open_files: int | None = None,
) -> None:
    show(f"... {name}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="siege-")))
        server = stack.enter_context(EmbeddedPostgres.start())
        double = stack.enter_context(StripeDouble.start())
        world = World(server, double.url, folder)
        world.migrate()
        webhook = stack.enter_context(world.webhook(open_files=open_files))
        ground = _Ground(world, double, webhook)
        wait_until(lambda: webhook.get("/readyz")[0] == 200, "a ready webhook")
        with Watch(webhook.port) as watch:
            answers = besiege(ground)
        restarts = sum("Booting worker" in str(line) for line in webhook.log()) - 1
    told = f"answers by status (0: cut) {statuses(answers)}, /healthz {statuses(watch.answers)}"
    if restarts:
        told += f"; the worker ended and was replaced {restarts} times"
    part.add(f"{name}: slowest answer", _counted(answers), "s", budget=BUDGET_ANSWER, told=told)
    part.add(f"{name}: slowest /healthz", _counted(watch.answers), "s", budget=BUDGET_HEALTH)


def _counted(answers: list[Answered]) -> float | None:
    """The slowest; an answer that never came is as slow as the patience of its sender."""
    return max((worst([one]) if one.status else 30.0 for one in answers), default=None)


def _hanging_database(ground: _Ground) -> list[Answered]:
    bodies = ground.events(EVENTS)
    with psycopg.connect(ground.world.server.url()) as holder:
        holder.execute("LOCK TABLE stripe.events IN ACCESS EXCLUSIVE MODE")
        answers = post_all(ground.port, bodies, ground.world.secret, within=1.0)
        holder.rollback()
    return answers


def _hanging_stripe(ground: _Ground) -> list[Answered]:
    before, asked = questionable(ground.control, QUESTIONS)
    for body in before:
        post(ground.port, body, ground.world.secret)
    ground.control.fault("hang", seconds=15.0, count=None)
    answers = post_all(ground.port, asked, ground.world.secret, within=1.0)
    ground.control.clear_interventions()
    return answers


def _crowd(ground: _Ground, *, number: int, beginning: bytes = b"") -> list[Answered]:
    with closing(Crowd(ground.port, number, beginning)):
        return ground.honest()
