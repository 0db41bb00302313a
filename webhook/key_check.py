"""Whether Stripe takes the key, and whose it is; asked now and then, never waited for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from shared.circuit_breaker import HANGING_SECONDS
from shared.errors import NotPermitted, StripeError, StripeRefused
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.repository.account import Account
from shared.stripe.account import require_same_id, require_same_mode
from shared.stripe.api import StripeApi

KNOWN_SECONDS: Final = 60.0
"""How long an answer is believed: a revoked key is noticed that much later."""

REFUSED_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 15.0
"""How long Stripe is left in peace after it did not answer in time."""


class KeyCheck:
    """Asks for one object of each kind and for the account; threads share it.

    Nothing but a refusal of Stripe's own counts against the key. Where Stripe is out of reach, or
    answers what its API does not promise, the last word on the key stands, and before there was one
    it is taken for right: most events need no question. Each answer stands by itself: where there
    is no time for all questions the next caller goes on, and what decides access is asked first.
    """

    def __init__(self, stripe: StripeApi) -> None:
        self._stripe = stripe
        self._asking = threading.Lock()
        self._account_id: str | None = None
        self._questions = [
            *(_Question(_read(stripe, one)) for one in MIRRORED if one.access),
            _Question(self._ask_account),
            *(_Question(_read(stripe, one), optional=True) for one in MIRRORED if not one.access),
        ]
        self._silent_until = 0.0
        self._silence = "it was not asked yet"

    @property
    def unknown(self) -> str | None:
        """Why it is not known whether the key may all that it is needed for; None where it is."""
        is_known = all(question.is_answered for question in self._questions)
        return None if is_known else self._silence

    def require(self, ours: Account, deadline: float) -> None:
        """Raise StripeRefused or WrongAccount where the key cannot serve this database.

        `ours`: whose the database is. Waits until `deadline` (on time.monotonic()) at most.
        """
        require_same_mode(ours, self._stripe.livemode)
        # While one asks, the others go by what was known; the first time they wait.
        is_first = not any(question.is_answered for question in self._questions)
        patience = max(deadline - time.monotonic(), 0.0) if is_first else 0.0
        if self._asking.acquire(timeout=patience):
            try:
                self._ask(deadline)
            finally:
                self._asking.release()
        for question in self._questions:
            if question.refusal is not None and not question.may_be_done_without:
                raise question.refusal
        require_same_id(ours, self._account_id)

    @property
    def lacking(self) -> str | None:
        """What the key may not read, and can be done without: few events need a question."""
        refusals = [question.refusal for question in self._questions]
        return "; ".join(str(refusal) for refusal in refusals if refusal is not None) or None

    def _ask(self, deadline: float) -> None:
        """Ask what is due, until Stripe does not answer or there is no time left."""
        for question in filter(_Question.is_due, self._questions):
            began = time.monotonic()
            if not self._silent_until <= began < deadline:
                break
            try:
                question.ask(deadline)
            except StripeError as error:
                self._silence = str(error)
                if deadline - began > HANGING_SECONDS:
                    self._silent_until = time.monotonic() + SILENT_SECONDS
                break
            if question.refusal is not None and not question.may_be_done_without:
                break

    def _ask_account(self, deadline: float) -> None:
        seconds = deadline - time.monotonic()
        self._account_id = self._stripe.account_id(seconds) or self._account_id


class _Question:
    """One thing that Stripe is asked, and its last answer."""

    def __init__(self, ask: Callable[[float], None], *, optional: bool = False) -> None:
        """`ask` asks until a deadline; raises StripeError. `optional`: it decides no access."""
        self._ask = ask
        self._optional = optional
        self._until = 0.0
        self.is_answered = False
        self.refusal: StripeRefused | None = None

    @property
    def may_be_done_without(self) -> bool:
        """Whether a missing permission is no reason to serve nothing at all."""
        return self._optional and isinstance(self.refusal, NotPermitted)

    def is_due(self) -> bool:
        """Whether there is no answer that can still be believed."""
        return time.monotonic() >= self._until

    def ask(self, deadline: float) -> None:
        """Ask; raises StripeError where there is no answer, and what was known still stands."""
        self.refusal, seconds = self._answer(deadline)
        self.is_answered, self._until = True, time.monotonic() + seconds

    def _answer(self, deadline: float) -> tuple[StripeRefused | None, float]:
        try:
            self._ask(deadline)
        except StripeRefused as error:
            return error, REFUSED_SECONDS
        return None, KNOWN_SECONDS


def _read(stripe: StripeApi, mirrored: MirroredObject) -> Callable[[float], None]:
    return lambda deadline: stripe.try_to_read(mirrored, deadline)
