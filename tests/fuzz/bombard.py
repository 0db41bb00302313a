"""100,000 mutated bodies against the running webhook: `python -m tests.fuzz.bombard`.

A third is not validly signed. The others are, and carry objects that no mutation makes readable:
so no row of any object may come of them, only kept failures, and no answer but 200, 400, 413,
and 503 where Stripe knows neither the event nor its object.
"""

# ruff: noqa: T201 - a command speaks to a person

import argparse
import http.client
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from sandbox import product
from sandbox.postgres import EmbeddedPostgres
from sandbox.stripe_double import StripeDouble, sign
from shared.objects.catalogue import MIRRORED
from tests.fuzz import seeds

SECRET = "whsec_bombard"
SENDERS = 4
POISON: tuple[object, ...] = (5, None, [], {}, "", "a b", "x" * 256, "\x00", "\ud800", True, 1e999)
NOT_KNOWN = (503, '{"error": "wrong_key"}')
"""To an event that Stripe has not, about an object that it has not: another key may have them."""

# None that one mutation more could make an id that can be read.
NO_ID: tuple[object, ...] = (
    5,
    None,
    [],
    {},
    "a\x01\x02b",
    "x" * 400,
    "\x00\x00",
    "\ud800\ud800",
    True,
    1e999,
)
KEYS = tuple(word.strip('"') for word in seeds.WORDS if word.startswith('"'))
OBJECTS = (*(each.table for each in MIRRORED), "subscription_items", "changes", "runs", "drifts")


class Bodies:
    """An endless supply of bodies, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._events = [json.loads(body) for body in seeds.bodies()]

    def next(self) -> tuple[bytes, str]:
        """A body, and the header it is sent under."""
        chance = self._random
        whole = json.loads(json.dumps(chance.choice(self._events)))
        if chance.random() < 0.3:
            whole["id"] = f"evt_{chance.getrandbits(64):x}"
            whole.pop("snapshot_event", None)
        if "data" in whole:
            whole["data"]["object"]["id"] = chance.choice(NO_ID)
        else:
            whole["related_object"]["id"] = f"cus_{chance.getrandbits(40):x}"
        if chance.random() < 0.5:
            self._replace(whole)
        body = json.dumps(whole).encode()
        if chance.random() < 0.5:
            body = self._mangle(body)
        return body, self._header(body)

    def _replace(self, whole: dict[str, object]) -> None:
        """Put junk for one value, but for the object's id."""
        chance, inner = self._random, whole
        for _ in range(chance.randrange(1, 4)):
            key = chance.choice([*inner, chance.choice(KEYS)])
            below = inner.get(key)
            if isinstance(below, dict) and below and key != "related_object":
                inner = below
            elif key not in {"id", "related_object", "object", "data"}:
                inner[key] = chance.choice(POISON)
                return

    def _mangle(self, body: bytes) -> bytes:
        """Change bytes as a broken wire would."""
        chance = self._random
        at = chance.randrange(len(body))
        match chance.randrange(5):
            case 0:
                return body[:at]
            case 1:
                return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
            case 2:
                return body[:at] + body[at : at + 40] * 2 + body[at + 40 :]
            case 3:
                return body[:at] + chance.choice(seeds.WORDS).encode() + body[at:]
            case _:
                return b"[" * chance.randrange(20_000) + body

    def _header(self, body: bytes) -> str:
        chance, now = self._random, int(time.time())
        good = sign(body, SECRET, now)
        return chance.choice(
            (
                *[good] * 12,
                sign(body, "whsec_guessed", now),
                sign(body, SECRET, now - 400),
                sign(body, SECRET, now + 400),
                sign(body + b" ", SECRET, now),
                good.replace("v1=", "v0="),
                good[: chance.randrange(len(good))],
            )
        )


def bombard(port: int, count: int, seed: int = 1) -> Counter[tuple[int, str]]:
    """Send so many and return how often each status and body came back."""

    def send(share: int) -> Counter[tuple[int, str]]:
        bodies, answers = Bodies(seed * 1_000 + share), Counter[tuple[int, str]]()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for _ in range(count // SENDERS):
            body, header = bodies.next()
            connection.request("POST", "/webhook", body, {"Stripe-Signature": header})
            answer = connection.getresponse()
            answers[answer.status, answer.read().decode()] += 1
        connection.close()
        return answers

    with ThreadPoolExecutor(SENDERS) as pool:
        return sum(pool.map(send, range(SENDERS)), Counter())


def resident(webhook: product.Webhook) -> int:
    """Bytes of memory that the workers hold."""
    return sum(worker.memory_info().rss for worker in webhook.workers())


def rows(url: str) -> dict[str, int]:
    """How many rows there are of each object, and of events by outcome."""
    with psycopg.connect(url) as connection:
        found: dict[str, int] = {}
        for table in OBJECTS:
            query = f"SELECT count(*) FROM stripe.{table}"  # noqa: S608
            row = connection.execute(query.encode()).fetchone()
            found[table] = int(row[0]) if row else 0
        query = "SELECT outcome, count(*) FROM stripe.events GROUP BY outcome"
        found.update({f"events {name}": int(n) for name, n in connection.execute(query)})
        return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.bombard", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres.start() as server,
        StripeDouble.start() as double,
    ):
        environ = product.environment(
            DATABASE_URL=server.url(),
            STRIPE_API_BASE=double.url,
            STRIPE_SECRET_KEY="sk_test_double",
            STRIPE_WEBHOOK_SECRET=SECRET,
        )
        product.run("migrate", environ=environ)
        with product.Webhook(environ, Path(folder) / "webhook.log") as webhook:
            return report(webhook, server.url, arguments.count, arguments.seed)


def report(webhook: product.Webhook, url: Callable[[], str], count: int, seed: int) -> int:
    """Send them in tenths; memory after each."""
    answers, began = Counter[tuple[int, str]](), time.monotonic()
    memory = [resident(webhook)]
    for tenth in range(10):
        answers += bombard(webhook.port, count // 10, seed * 100 + tenth)
        memory.append(resident(webhook))
        print(f"{(tenth + 1) * count // 10:>8,} bodies  {memory[-1] / 2**20:6.1f} MiB")
    print(f"{answers.total():,} bodies in {time.monotonic() - began:.0f} s, seed {seed}")
    for (status, body), number in sorted(answers.items()):
        print(f"{number:>8,}  {status} {body}")
    found = rows(url())
    print(", ".join(f"{name}: {number}" for name, number in found.items()))
    bad = [sent for sent in answers if sent[0] not in {200, 400, 413} and sent != NOT_KNOWN]
    written = [name for name in found if found[name] and name != "events failed"]
    grown = memory[-1] - memory[1]
    print(
        f"grown since the first tenth: {grown / 2**20:.1f} MiB (before any: {memory[0] >> 20} MiB)"
    )
    return 1 if bad or written or grown > 8 * 2**20 else 0


if __name__ == "__main__":
    sys.exit(main())
