"""Tell a monitor that a run began and how it ended, by the protocol of healthchecks.io.

`<address>/start` and `<address>/<exit status>`; a query such as `?create=1` stays behind them, and
the body of a POST is kept with the ping: docs at healthchecks.io/docs/http_api/ and
/docs/attaching_logs/. Older servers keep the first 10 kB of it.
"""

from __future__ import annotations

import logging
import string
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import quote, urlsplit

from shared import log
from shared.stripe.connection import Connections, NoAnswer
from shared.stripe.proxy import Proxy, basic

_log = logging.getLogger(__name__)

_HEARD = range(200, 300)
_NO_POST = frozenset([405, 501])
"""What a monitor answers that takes no summary; it is told all the same."""

_LONGEST_BODY = 10_000
_SECONDS = 5.0
"""How long a run waits for its monitor, whatever hangs: the name's look-up, too, and an answer that
comes byte by byte."""


class Heartbeat:
    """Pings `url`; a monitor that is down, or knows no such check, never fails a run.

    No redirect is followed: what answers there may be a page that says 200 to anybody.
    """

    def __init__(self, url: str, proxy: Proxy | None = None) -> None:
        self._url = url
        self._proxy = proxy

    def start(self) -> None:
        """Say that a run begins."""
        self._ping("start", b"")

    def finish(self, status: int, summary: Mapping[str, object] | None = None) -> None:
        """Say with which exit status it ended, and what it came to."""
        self._ping(str(status), body_of({**(summary or {}), "exit_status": status}))

    def _ping(self, what: str, body: bytes) -> None:
        errors = ["no answer in time"]
        # The look-up of a name cannot be ended.
        sending = threading.Thread(
            target=lambda: errors.append(_send(self._url, self._proxy, what, body)), daemon=True
        )
        sending.start()
        sending.join(_SECONDS)
        if errors[-1]:
            # The path is a secret: whoever has it can report in our name.
            log.event(
                _log,
                "heartbeat.failed",
                level=logging.WARNING,
                host=urlsplit(self._url).hostname,
                ping=what,
                error=errors[-1],
            )


def address(url: str, what: str) -> tuple[str, str, dict[str, str]]:
    """Return the host to ping, as a URL, what to ask it for, and the headers for it.

    The path grows, all else stays. A user and password in the address are sent as such, a fragment
    never is.
    """
    parts = urlsplit(url)
    credentials, at, host = parts.netloc.rpartition("@")
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if at:
        headers["Authorization"] = basic(credentials)
    target = f"{parts.path.rstrip('/')}/{what}" + (f"?{parts.query}" if parts.query else "")
    return f"{parts.scheme}://{host}", quote(target, safe=string.punctuation), headers


def body_of(summary: Mapping[str, object]) -> bytes:
    """Return a summary as text, one field a line, without secrets, within what a monitor keeps."""
    lines = [
        f"{name}: {' '.join(log.redact(str(value)).split())}"
        for name, value in summary.items()
        if value is not None
    ]
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    return text[:_LONGEST_BODY].decode("utf-8", "ignore").encode()


def _send(url: str, proxy: Proxy | None, what: str, body: bytes) -> str:
    """Send one ping; return what went wrong, nothing where it was heard."""
    until = time.monotonic() + _SECONDS
    try:
        base, target, headers = address(url, what)
        with closing(Connections(base, headers, proxy)) as monitor:
            status = monitor.post(target, body, _SECONDS).status
            if status in _NO_POST:
                status = monitor.get(target, until - time.monotonic()).status
    except NoAnswer as error:
        return str(error)
    except Exception as fault:  # noqa: BLE001 (it must never fail a run; its text may hold the path)
        return type(fault).__name__
    if status in _HEARD:
        return ""
    return f"answered {status}; see that HEARTBEAT_URL is the check's own address"
