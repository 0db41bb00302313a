"""Sending events to an endpoint as Stripe does: signed, more than once, in any order, or never."""

import http.client
import random
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct, field, structs

from sandbox.stripe_double.delivery.signature import digest

_CLOSED = frozenset({"RemoteDisconnected", "BrokenPipeError", "ConnectionResetError"})


class DeliveryPlan(Struct, frozen=True, kw_only=True):
    """What goes wrong on the way. Shares are of all events, from 0 to 1; `seed` decides which.

    `copies`: least and most times that each is sent; `duplicates`: share sent once more.
    `order`: as they were created, or shuffled; `within`: shuffled, but by at most so many places.
    `loss`: share never sent at all; `late`: share kept for the next delivery.
    `api_versions`: rendered in one of these; none: in the account's version when it happened.
    `thin`: share whose thin twin is sent too. `t`: signing time, None for the host's time.
    """

    seed: int = 0
    copies: tuple[int, int] = (1, 1)
    duplicates: float = 0.0
    order: Literal["created", "shuffled"] = "created"
    within: int | None = None
    loss: float = 0.0
    late: float = 0.0
    senders: int = 1
    api_versions: tuple[str, ...] = ()
    v0: bool = False
    thin: float = 0.0
    t: int | None = None
    timeout: float = 10.0


class Reply(Struct, frozen=True, kw_only=True):
    """What an endpoint said; `status` is None when it did not answer, and `error` says why."""

    status: int | None
    body: bytes = b""
    error: str | None = None
    seconds: float = 0.0
    thin: bool = False


class Delivery(Struct, kw_only=True):
    """One event and every answer to it."""

    event_id: str
    type: str
    lost: bool = False
    late: bool = False
    answers: list[Reply] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """True when it was answered with 2xx at least once."""
        return any(reply.status is not None and 200 <= reply.status < 300 for reply in self.answers)


class Letter(Struct, frozen=True, kw_only=True):
    """One sending of one event."""

    delivery: Delivery
    version: str | None
    thin: bool = False


def plan_letters(
    events: Sequence[tuple[str, str]], plan: DeliveryPlan
) -> tuple[list[Delivery], list[Letter]]:
    """Decides the fate of events (id, type), the same for the same seed."""
    chance = random.Random(plan.seed)
    deliveries, letters = [], []
    for name, kind in events:
        delivery = Delivery(event_id=name, type=kind)
        deliveries.append(delivery)
        delivery.lost = chance.random() < plan.loss
        delivery.late = not delivery.lost and chance.random() < plan.late
        if delivery.lost or delivery.late:
            continue
        times = chance.randint(*plan.copies) + (chance.random() < plan.duplicates)
        version = chance.choice(plan.api_versions) if plan.api_versions else None
        letters += [Letter(delivery=delivery, version=version)] * times
        if chance.random() < plan.thin:
            letters.append(Letter(delivery=delivery, version=None, thin=True))
    if plan.within is not None:
        places = {place: place + chance.uniform(0, plan.within) for place in range(len(letters))}
        letters = [letters[place] for place in sorted(places, key=places.__getitem__)]
    elif plan.order == "shuffled":
        chance.shuffle(letters)
    return deliveries, letters


def post_letters(
    url: str,
    secrets: Sequence[str],
    plan: DeliveryPlan,
    letters: Sequence[Letter],
    body_of: Callable[[Letter], bytes],
) -> None:
    """Send all of them by `plan.senders` senders at once and write down the answers."""
    queue: SimpleQueue[Letter] = SimpleQueue()
    for letter in letters:
        queue.put(letter)

    def work() -> None:
        sender = Sender(url, secrets, plan)
        try:
            while True:
                letter = queue.get_nowait()
                reply = sender.send(body_of(letter), thin=letter.thin)
                letter.delivery.answers.append(reply)
        except Empty:
            return
        finally:
            sender.close()

    if plan.senders == 1:
        work()
        return
    threads = [threading.Thread(target=work, name="double-sender") for _ in range(plan.senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Sender:
    """One keep-alive connection to an endpoint."""

    def __init__(self, url: str, secrets: Sequence[str], plan: DeliveryPlan) -> None:
        parts = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.netloc, timeout=plan.timeout)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secrets = secrets
        self._plan = plan

    def close(self) -> None:
        self._connection.close()

    def send(self, body: bytes, *, thin: bool) -> Reply:
        began = time.monotonic()
        reused = self._connection.sock is not None
        reply = self._try(body, thin=thin)
        # A server closes idle connections as it likes; only then is a second try no duplicate.
        if reused and reply.error in _CLOSED:
            reply = self._try(body, thin=thin)
        return structs.replace(reply, seconds=time.monotonic() - began)

    def _try(self, body: bytes, *, thin: bool) -> Reply:
        try:
            self._connection.request("POST", self._target, body, self._headers(body))
            answer = self._connection.getresponse()
            return Reply(status=answer.status, body=answer.read(), thin=thin)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Reply(status=None, error=type(error).__name__, thin=thin)

    def _headers(self, body: bytes) -> dict[str, str]:
        t = int(time.time()) if self._plan.t is None else self._plan.t
        signatures = [f"v1={digest(body, secret, t)}" for secret in self._secrets]
        if self._plan.v0:
            signatures.append(f"v0={digest(body, 'whsec_old_scheme', t)}")
        return {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Accept": "*/*; q=0.5, application/xml",
            "Cache-Control": "no-cache",
            "Stripe-Signature": f"t={t},{','.join(signatures)}",
        }
