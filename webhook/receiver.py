"""An event's way in: what its signature says, then the mirror, while the database answers."""

import time
from typing import Final

from shared.circuit_breaker import HANGING_SECONDS, CircuitBreaker
from shared.errors import BadSignature, DatabaseUnavailable, StripeError
from shared.mirror import Mirror, Receipt
from shared.settings import WebhookSettings
from shared.stripe.event import Event, decode_event
from webhook.readiness import Readiness
from webhook.signature import verify

Fields = dict[str, object]
"""What a request leaves for its line in the log."""

_OTHERS: Final = "it does not answer others either; one of them tries"


class Receiver:
    """Reads and applies events; threads share it."""

    def __init__(self, settings: WebhookSettings, mirror: Mirror, readiness: Readiness) -> None:
        self._secrets = settings.stripe_webhook_secret
        self._tolerance = settings.signature_tolerance
        self._mirror = mirror
        self._readiness = readiness
        self._breaker = CircuitBreaker.for_threads(settings.web_threads)

    def read(self, body: bytes, signature: str | None, fields: Fields) -> Event:
        """Return the event that a body holds. Raises BadSignature or NotAnEvent, asking nobody."""
        try:
            verify(body, signature, self._secrets, self._tolerance, time.time)
        except BadSignature as error:
            if error.seconds is not None:
                self._readiness.note_time(error.seconds)
                fields["clock"] = self._readiness.clock()
            raise
        self._readiness.note_time(None)
        event = decode_event(body)
        fields.update(event_id=event.id, event_type=event.type)
        return event

    def apply(self, event: Event, body: bytes, deadline: float, fields: Fields) -> str:
        """Apply an event until `deadline` (on time.monotonic()) and return its outcome.

        Raises what `Mirror.apply_event` does, and SchemaMismatch; DatabaseUnavailable at once while
        the database does not answer others.
        """
        # What is not mirrored touches no table, and says nothing of the database.
        if event.mirrored is None:
            receipt = self._apply(event, body, deadline)
        else:
            receipt = self._apply_in_turn(event, body, deadline)
        fields.update(
            object_id=receipt.object_id,
            outcome=receipt.outcome,
            asked=receipt.asked,
            retries=receipt.retries,
        )
        if receipt.error is not None:
            fields["error"] = receipt.error
        return receipt.outcome

    def _apply_in_turn(self, event: Event, body: bytes, deadline: float) -> Receipt:
        if not self._breaker.enter():
            raise DatabaseUnavailable(_OTHERS)
        began = time.monotonic()
        answered: bool | None = None
        try:
            receipt = self._apply(event, body, deadline)
            answered = True
        except StripeError:
            answered = True
            raise
        except DatabaseUnavailable as error:
            if error.hung and time.monotonic() - began > HANGING_SECONDS:
                answered = False
            raise
        finally:
            self._breaker.leave(answered=answered)
        return receipt

    def _apply(self, event: Event, body: bytes, deadline: float) -> Receipt:
        self._readiness.require(deadline)
        return self._mirror.apply_event(event, body, deadline)
