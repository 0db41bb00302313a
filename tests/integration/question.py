"""A question to Stripe that takes long."""

import threading
from typing import Any

from sandbox.stripe_double import Control
from shared.mirror import Mirror, Receipt
from tests import builders


class Question:
    """An event whose question to Stripe, if it has one, is held open."""

    def __init__(
        self, control: Control, mirror: Mirror, event: str, when: Any, endpoint: str
    ) -> None:
        self._hold = control.hold(when, endpoint=endpoint)
        self._receipt: Receipt | None = None
        self._body = control.event_body(event)
        self._mirror = mirror
        self._thread = threading.Thread(target=self._apply)
        self._thread.start()
        builders.until(lambda: self._hold.reached or not self._thread.is_alive(), "a question")

    def _apply(self) -> None:
        self._receipt = builders.apply(self._mirror, self._body, seconds=30.0)

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> Receipt:
        self._hold.release()
        self._thread.join(30.0)
        assert self._receipt is not None
        return self._receipt
