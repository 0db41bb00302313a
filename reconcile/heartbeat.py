"""Tell a monitor that a run began and how it ended (healthchecks.io's protocol)."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from shared import log

_log = logging.getLogger(__name__)

_HEARD = range(200, 300)


class Heartbeat:
    """Pings `url`; a monitor that is down, or knows no such check, never fails a run."""

    def __init__(self, url: str | None) -> None:
        """`url` None: nobody is told."""
        self._url = url.rstrip("/") if url else None
        if url:
            # At DEBUG it names the path of every request.
            logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)

    def start(self) -> None:
        """Say that a run begins."""
        self._ping("start")

    def finish(self, status: int) -> None:
        """Say with which exit status it ended."""
        self._ping(str(status))

    def _ping(self, what: str) -> None:
        if self._url is None:
            return
        # Late, for it is a fifteenth of the start, and most of those who run it by hand have none.
        import urllib3

        try:
            timeout = urllib3.Timeout(total=5.0)
            url = f"{self._url}/{what}"
            answer = urllib3.request("GET", url, timeout=timeout, retries=False)
            if answer.status in _HEARD:
                return
            error = f"answered {answer.status}; see that HEARTBEAT_URL is the check's own address"
        except urllib3.exceptions.HTTPError as fault:
            error = type(fault).__name__
        # The path is a secret: whoever has it can report in our name.
        log.event(
            _log,
            "heartbeat.failed",
            level=logging.WARNING,
            host=urlsplit(self._url).hostname,
            ping=what,
            error=error,
        )
