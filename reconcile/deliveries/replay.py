"""Failed events tried again by hand: of each, Stripe is asked what its object is now."""

# ruff: noqa: T201 - a command speaks to a person

from __future__ import annotations

import logging
import threading
import time

from reconcile.account_check import require_same_account
from reconcile.connections import BY_HAND, RetryingDatabase, connected
from reconcile.deadline import Deadline
from shared import log
from shared.command import FAILED, OK
from shared.database.migrations import require_current
from shared.errors import (
    DatabaseUnavailable,
    Interrupted,
    NotAnEvent,
    StripeError,
    WrongAccount,
)
from shared.mirror import Mirror, Outcome, Receipt
from shared.repository import ledger
from shared.repository.ledger import Kept
from shared.settings import ReconcileSettings
from shared.stripe.event import decode_event
from shared.wording import error_text

_log = logging.getLogger(__name__)

_EVENT_SECONDS = 60.0


def replay_by_hand(
    settings: ReconcileSettings, stop: threading.Event, event_id: str | None, deadline: float | None
) -> int:
    """Try failed events again, say what became of each, and return the exit status.

    Raises WrongAccount, as a run does, with nothing tried.
    """
    with connected(settings, stop, deadline) as (database, stripe):
        retrying = RetryingDatabase(database, Deadline(stop, deadline), patience=BY_HAND)
        retrying.read(require_current)
        require_same_account(retrying, stripe, claim=False)
        mirror = Mirror(database, stripe, source="reconcile")
        receipts = replay(retrying, mirror, stop, event_id)
        total, left = retrying.read(lambda connection: ledger.failed(connection, 1))
        found = retrying.read(lambda connection: ledger.find(connection, event_id or ""))
    for receipt in receipts:
        reason = f": {receipt.error}" if receipt.error else ""
        print(f"{receipt.event_id}  {receipt.event_type}  {receipt.outcome}{reason}")
    if event_id is not None and not receipts:
        if found is None:
            print(f"{event_id} is not in the ledger: it never arrived")
        elif found == Outcome.FAILED:
            print(f"{event_id} could not be tried now, it is failed as before; the log says why")
        else:
            print(f"{event_id} is {found} already: nothing to replay")
        return OK if found is not None and found != Outcome.FAILED else FAILED
    print(f"{len(receipts)} replayed, {total} still failed")
    failed = any(receipt.outcome is Outcome.FAILED for receipt in receipts)
    return FAILED if failed or (event_id is None and left) else OK


def replay(
    database: RetryingDatabase, mirror: Mirror, stop: threading.Event, event_id: str | None
) -> list[Receipt]:
    """Try failed events again, oldest first, or the one that is named, however often they failed.

    What fails again stays failed and holds up none; what cannot be tried now is logged. Raises
    Interrupted once `stop` is set.
    """
    ids = database.read(
        lambda connection: ledger.replayable(connection, most_attempts=None, event_id=event_id)
    )
    receipts = []
    for failed_id in ids:
        if stop.is_set():
            raise Interrupted("stopped by a signal; what was replayed is done")
        for kept in database.read(lambda connection, ids=[failed_id]: ledger.read(connection, ids)):  # type: ignore[misc]
            receipt = _try(database, mirror, kept)
            if receipt is not None:
                receipts.append(receipt)
    return receipts


def _try(database: RetryingDatabase, mirror: Mirror, kept: Kept) -> Receipt | None:
    """Try one again; None where it cannot be tried now."""
    try:
        deadline = time.monotonic() + _EVENT_SECONDS
        receipt = mirror.apply_event(decode_event(kept.body), kept.body, deadline)
    except (StripeError, DatabaseUnavailable) as error:
        _tell(kept, None, error_text(error))
        return None
    except (NotAnEvent, WrongAccount) as error:
        reason = error_text(error)
        database.read(lambda connection: ledger.fail_again(connection, kept.id, reason))
        receipt = Receipt(
            outcome=Outcome.FAILED, event_id=kept.id, event_type=kept.type, error=error_text(error)
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
