"""Whether the database is there and its schema is this version's."""

import logging
from typing import Final

from shared import log
from shared.database import Database
from shared.errors import DatabaseUnavailable, SchemaMismatch
from shared.migrate import require_current

READY_SECONDS: Final = 2.0
"""How long the database may take to say so."""

_log = logging.getLogger(__name__)


class Readiness:
    """Asks the database; remembers only that the schema was right once in this process.

    A schema that is migrated under a running process is made to suit it (migrations add before they
    take away), so one look before the first event is enough, and no event pays for a second.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._was_current = False

    def check(self, deadline: float) -> None:
        """Ask now. Raises DatabaseUnavailable or SchemaMismatch, which says what to run."""
        self._database.read(require_current, deadline)
        self._was_current = True

    def require(self, deadline: float) -> None:
        """Ask unless it is known. Raises DatabaseUnavailable or SchemaMismatch."""
        if not self._was_current:
            self.check(deadline)

    def announce(self, deadline: float) -> None:
        """Ask and log what is wrong, raising nothing: for the start of a worker."""
        try:
            self.check(deadline)
        except SchemaMismatch as error:
            log.event(_log, "schema.mismatch", level=logging.ERROR, error=str(error))
        except DatabaseUnavailable as error:
            log.event(_log, "database.unavailable", level=logging.WARNING, error=str(error))
