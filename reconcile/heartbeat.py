"""Tell a monitor that a run began and how it ended, by the protocol of healthchecks.io.

`<address>/start` and `<address>/<exit status>`; a query such as `?create=1` stays behind them, and
the body of a POST is kept with the ping: docs at healthchecks.io/docs/http_api/ and
/docs/attaching_logs/. Older servers keep the first 10 kB of it.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

from shared import log

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

    def __init__(self, url: str | None) -> None:
        """`url` None: nobody is told."""
        self._url = url
        if url:
            # At DEBUG it names the path of every request.
            logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)

    def start(self) -> None:
        """Say that a run begins."""
        self._ping("start", b"")

    def finish(self, status: int, summary: Mapping[str, object] | None = None) -> None:
        """Say with which exit status it ended, and what it came to."""
        self._ping(str(status), body_of({**(summary or {}), "exit_status": status}))

    def _ping(self, what: str, body: bytes) -> None:
        if self._url is None:
            return
        errors = ["no answer in time"]
        sending = threading.Thread(
            target=lambda: errors.append(_send(self._url or "", what, body)), daemon=True
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


def address(url: str, what: str) -> tuple[str, dict[str, str]]:
    """Return where to ping, and the headers for it: the path grows, all else stays.

    A user and password in the address are sent as such, a fragment never is.
    """
    parts = urlsplit(url)
    credentials, at, host = parts.netloc.rpartition("@")
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if at:
        user = b":".join(unquote_to_bytes(part) for part in credentials.split(":", 1))
        headers["Authorization"] = f"Basic {base64.b64encode(user).decode()}"
    path = f"{parts.path.rstrip('/')}/{what}"
    return urlunsplit((parts.scheme, host, path, parts.query, "")), headers


def body_of(summary: Mapping[str, object]) -> bytes:
    """Return a summary as text, one field a line, without secrets, within what a monitor keeps."""
    lines = [
        f"{name}: {' '.join(log.redact(str(value)).split())}"
        for name, value in summary.items()
        if value is not None
    ]
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    return text[:_LONGEST_BODY].decode("utf-8", "ignore").encode()


def _send(url: str, what: str, body: bytes) -> str:
    """Send one ping; return what went wrong, nothing where it was heard."""
    # Late, for it is a fifteenth of the start, and most of those who run it by hand have none.
    import urllib3

    def asked(method: str, body: bytes | None) -> int:
        target, headers = address(url, what)
        answer = urllib3.request(
            method,
            target,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(total=_SECONDS),
            retries=False,
            redirect=False,
        )
        return answer.status

    try:
        status = asked("POST", body)
        if status in _NO_POST:
            status = asked("GET", None)
    except urllib3.exceptions.SSLError:
        return "its certificate is not to be trusted"
    except Exception as fault:  # noqa: BLE001 (it must never fail a run; its text may hold the path)
        return type(fault).__name__
    if status in _HEARD:
        return ""
    return f"answered {status}; see that HEARTBEAT_URL is the check's own address"
