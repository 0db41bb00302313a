"""Tell a monitor that a run began and how it ended (healthchecks.io's protocol)."""

from __future__ import annotations

import logging

import urllib3

from shared import log

_log = logging.getLogger(__name__)


class Heartbeat:
    """Pings `url`; a monitor that is down never fails a run."""

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
        try:
            timeout = urllib3.Timeout(total=5.0)
            urllib3.request("GET", f"{self._url}/{what}", timeout=timeout, retries=False)
        except urllib3.exceptions.HTTPError as error:
            # The address itself is a secret: whoever has it can report in our name.
            log.event(_log, "heartbeat.failed", level=logging.WARNING, error=type(error).__name__)
