"""gunicorn's logger as the house's: one JSON line a request, and its own messages as JSON."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from shared import log
from webhook.app import FIELDS
from webhook.receiver import Fields

_log = logging.getLogger("webhook.request")

OURS: Final = frozenset({500, 503})
"""Statuses of which the cause lies here; all other refusals, 501 and 505 too, are the caller's."""


class RequestLog(Logger):  # type: ignore[misc]
    """Writes one line a request: method, path, status, duration, and the fields the route left."""

    def setup(self, cfg: Any) -> None:
        """Leave every handler to the root logger, which redacts."""
        self.cfg = cfg
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True

    def access(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> None:
        """Log one request; gunicorn calls this after the answer is sent."""
        self.request(
            environ.get("REQUEST_METHOD"),
            environ.get("PATH_INFO") or getattr(req, "path", None),
            int(str(resp.status or "500")[:3]),
            request_time.total_seconds(),
            environ.get(FIELDS, {}),
        )

    def request(
        self, method: str | None, path: str | None, status: int, seconds: float, fields: Fields
    ) -> None:
        """Log one request with the fields that its route left."""
        outcome = fields.get("outcome")
        log.event(
            _log,
            event_name(path, status, outcome),
            level=level(status, outcome),
            method=method,
            path=path,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            **fields,  # type: ignore[arg-type]
        )


def event_name(path: str | None, status: int, outcome: object) -> str:
    """Name the line: `event.<outcome>`, `event.refused`, `event.postponed` (500, 503)."""
    if path != "/webhook":
        return "request.done"
    if outcome is not None:
        return f"event.{outcome}"
    return "event.postponed" if status in OURS else "event.refused"


def level(status: int, outcome: object) -> int:
    """Error for what an operator must look at, warning for what a caller did wrong."""
    if outcome == "failed" or status in OURS:
        return logging.ERROR
    return logging.WARNING if status >= 400 else logging.INFO  # noqa: PLR2004
