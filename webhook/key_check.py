"""Whether Stripe takes the key, and whose it is; asked now and then, never waited for long."""

from __future__ import annotations

import threading
import time
from typing import Final

from shared.errors import StripeError, StripeRefused
from shared.objects.catalogue import MIRRORED
from shared.repository.account import Account
from shared.stripe.account import require_same_id, require_same_mode
from shared.stripe.api import StripeApi

KNOWN_SECONDS: Final = 60.0
"""How long an answer is believed: a revoked key is noticed that much later."""

REFUSED_SECONDS: Final = 5.0
UNKNOWN_SECONDS: Final = 15.0


class KeyCheck:
    """Asks for one object of each kind and for the account; threads share it.

    Nothing but a refusal of Stripe's own counts against the key. Where Stripe is out of reach, or
    answers what its API does not promise, the last word on the key stands, and before there was one
    it is taken for right: most events need no question.
    """

    def __init__(self, stripe: StripeApi) -> None:
        self._stripe = stripe
        self._asking = threading.Lock()
        self._until = 0.0
        self._refusal: StripeRefused | None = None
        self._account_id: str | None = None
        self.unknown: str | None = "it was not asked yet"
        """Why it is not known whether Stripe takes the key, None where it is."""

    def require(self, ours: Account, deadline: float) -> None:
        """Raise StripeRefused or WrongAccount where the key cannot serve this database.

        `ours`: whose the database is. Waits until `deadline` (on time.monotonic()) at most.
        """
        require_same_mode(ours, self._stripe.livemode)
        # While one asks, the others go by what was known; the first time they wait.
        first = self.unknown is not None and self._refusal is None
        patience = max(deadline - time.monotonic(), 0.0) if first else 0.0
        if self._asking.acquire(timeout=patience):
            try:
                if time.monotonic() >= self._until:
                    self._ask(deadline)
            finally:
                self._asking.release()
        if self._refusal is not None:
            raise self._refusal
        require_same_id(ours, self._account_id)

    def _ask(self, deadline: float) -> None:
        try:
            for mirrored in MIRRORED:
                self._stripe.try_to_read(mirrored, deadline)
            self._account_id = (
                self._stripe.account_id(deadline - time.monotonic()) or self._account_id
            )
        except StripeRefused as error:
            self._refusal, self.unknown = error, None
            self._until = time.monotonic() + REFUSED_SECONDS
        except StripeError as error:
            self.unknown = str(error)
            self._until = time.monotonic() + UNKNOWN_SECONDS
        else:
            self._refusal, self.unknown = None, None
            self._until = time.monotonic() + KNOWN_SECONDS
