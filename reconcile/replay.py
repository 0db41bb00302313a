"""Failed events tried again by hand: of each, Stripe is asked what its object is now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from reconcile.deliveries.past_event import words
from reconcile.patient import PatientDatabase
from shared import log
from shared.errors import (
    DatabaseUnavailable,
    NotAnEvent,
    StripeError,
    WrongAccount,
)
from shared.mirror import Mirror, Outcome, Receipt
from shared.repository import ledger
from shared.repository.ledger import Kept
from shared.stripe.event import decode_event

_log = logging.getLogger(__name__)

_EVENT_SECONDS = 60.0


def replay(
    database: PatientDatabase, mirror: Mirror, alive: Callable[[], None], event_id: str | None
) -> list[Receipt]:
    """Try failed events again, oldest first, or the one that is named, however often they failed.

    What fails again stays failed and holds up none; what cannot be tried now is logged. `alive` is
    called before each and may stop it.
    """
    ids = database.read(
        lambda connection: ledger.replayable(connection, most_attempts=None, event_id=event_id)
    )
    receipts = []
    for failed_id in ids:
        alive()
        for kept in database.read(lambda connection, ids=[failed_id]: ledger.read(connection, ids)):  # type: ignore[misc]
            receipt = _try(database, mirror, kept)
            if receipt is not None:
                receipts.append(receipt)
    return receipts


def _try(database: PatientDatabase, mirror: Mirror, kept: Kept) -> Receipt | None:
    """Try one again; None where it cannot be tried now."""
    try:
        deadline = time.monotonic() + _EVENT_SECONDS
        receipt = mirror.apply_event(decode_event(kept.body), kept.body, deadline)
    except (StripeError, DatabaseUnavailable) as error:
        _tell(kept, None, words(error))
        return None
    except (NotAnEvent, WrongAccount) as error:
        reason = words(error)
        database.read(lambda connection: ledger.fail_again(connection, kept.id, reason))
        receipt = Receipt(
            outcome=Outcome.FAILED, event_id=kept.id, event_type=kept.type, error=words(error)
        )
    _tell(kept, receipt.outcome, receipt.error)
    return receipt


def _tell(kept: Kept, outcome: Outcome | None, error: str | None) -> None:
    log.event(
        _log,
        "event.replayed",
        level=logging.INFO if error is None else logging.ERROR,
        event_id=kept.id,
        event_type=kept.type,
        outcome=outcome,
        error=error,
    )
