"""Whether an event could be applied now."""

import logging
import threading
import time
from typing import Final

from shared import log
from shared.database.connection import Connection
from shared.database.migrations import require_current
from shared.database.pool import Database
from shared.errors import (
    ClockWrong,
    DatabaseUnavailable,
    SchemaMismatch,
    StripeError,
    StripeRefused,
    WrongAccount,
)
from shared.rehearsal import rehearse
from shared.repository.account import Account
from shared.stripe.api import StripeApi
from webhook.key_check import KeyCheck

READY_SECONDS: Final = 2.0
"""How long it may take to say so."""

REHEARSALS: Final = 20.0
"""How many rehearsals may follow one another at once; after that it is one a second.

Anybody may ask, and a rehearsal writes.
"""

REASONS: Final[dict[type[Exception], str]] = {
    DatabaseUnavailable: "database",
    SchemaMismatch: "schema",
    WrongAccount: "account",
    StripeRefused: "stripe_key",
    ClockWrong: "clock",
}
"""The word for each kind of obstacle; its cure is in the log and in what `webhook --check` says."""

_SAME_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


class Readiness:
    """Asks database and Stripe; remembers only that the schema was right once in this process.

    A schema that is migrated under a running process is made to suit it (migrations add before they
    take away), so one look before the first event is enough, and no event pays for a second.
    """

    def __init__(self, database: Database, stripe: StripeApi) -> None:
        self.key = KeyCheck(stripe)
        self._database = database
        self._stripe = stripe
        self._was_current = False
        self._counting = threading.Lock()
        self._allowed, self._counted = REHEARSALS, time.monotonic()
        self._account: Account | None = None
        self._obstacle: Exception | None = None
        self._too_old: float | None = None

    def check(self, deadline: float) -> None:
        """Rehearse an event and ask Stripe whether it takes the key, the latter now and then.

        Raises one of REASONS, whose message says what to do. Stripe being out of reach is none.
        """
        self.key.require(self._apply_nothing(deadline), deadline)
        ahead = self._stripe.clock_ahead or 0.0
        # A signature is as old as it seems, or our clock is wrong: Stripe's own says which.
        if self._too_old is not None and self._too_old * ahead > 0 and abs(ahead) > _SAME_SECONDS:
            raise ClockWrong(
                f"this machine's clock is {self.clock()}; the last event that Stripe signed was"
                " refused for its time"
            )

    def note_time(self, too_old: float | None) -> None:
        """Remember by how many seconds an event of Stripe's was too old, None for one in time.

        Negative where it seemed to come from the future.
        """
        self._too_old = too_old

    def require(self, deadline: float) -> None:
        """Look at the schema unless it is known. Raises DatabaseUnavailable or SchemaMismatch."""
        if not self._was_current:
            self._database.read(require_current, deadline)
            self._was_current = True

    def announce(self, deadline: float) -> None:
        """Ask and log what is wrong, raising nothing: for the start of a worker."""
        try:
            self.check(deadline)
        except SchemaMismatch as error:
            log.event(_log, "schema.mismatch", level=logging.ERROR, error=str(error))
        except DatabaseUnavailable as error:
            log.event(_log, "database.unavailable", level=logging.WARNING, error=str(error))
        except (WrongAccount, StripeError) as error:
            log.event(_log, "key.refused", level=logging.ERROR, error=str(error))
        if self.key.lacking is not None:
            log.event(_log, "key.lacks", level=logging.WARNING, error=self.key.lacking)

    def clock(self) -> str:
        """Say how this machine's clock stands to Stripe's, as far as that is known."""
        ahead = self._stripe.clock_ahead
        if ahead is None:
            return "how it stands to Stripe's clock is not known: Stripe has not answered yet"
        if abs(ahead) < _SAME_SECONDS:
            return "as Stripe's, so it is the request that is old, or somebody else's"
        where = "ahead of" if ahead > 0 else "behind"
        return f"{abs(ahead):.0f} s {where} Stripe's: set this machine's clock (NTP)"

    def _apply_nothing(self, deadline: float) -> Account:
        """Rehearse an event, or say again what the last rehearsal said; return whose all is."""
        if not self._may_rehearse():
            if self._obstacle is not None:
                raise self._obstacle
            if self._account is not None:
                self._database.read(require_current, deadline)
                return self._account
        try:
            self._account = self._database.read(self._rehearse, deadline)
        except (DatabaseUnavailable, SchemaMismatch) as error:
            self._obstacle = error
            raise
        self._obstacle, self._was_current = None, True
        return self._account

    def _rehearse(self, connection: Connection) -> Account:
        require_current(connection)
        return rehearse(connection, livemode=self._stripe.livemode)

    def _may_rehearse(self) -> bool:
        with self._counting:
            now = time.monotonic()
            self._allowed = min(REHEARSALS, self._allowed + now - self._counted)
            self._counted = now
            if self._allowed < 1:
                return False
            self._allowed -= 1
            return True


def reason_of(error: Exception) -> str:
    """Return the word for an obstacle."""
    return next(REASONS[kind] for kind in type(error).__mro__ if kind in REASONS)
