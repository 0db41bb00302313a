"""The monitor: what it is told, where, and that nothing it does fails a run or holds one up."""

import json
import logging
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from reconcile.heartbeat import Heartbeat, address, body_of
from shared.log import JsonFormatter
from tests.integration.monitor import Monitor
from tests.integration.peers import certificate

SECRET = "0c7f9c52-of-the-monitor"
NEVER = threading.Event()


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines of the log that tell of the heartbeat, as they are written."""
    records = [record for record in caplog.records if record.name == "reconcile.heartbeat"]
    assert {(record.message, record.levelno) for record in records} <= {
        ("heartbeat.failed", logging.WARNING)
    }
    return [JsonFormatter().format(record) for record in records]


@pytest.mark.parametrize(
    "path, start, end",
    [
        ("/uuid", "/uuid/start", "/uuid/1"),
        ("/uuid/", "/uuid/start", "/uuid/1"),
        ("/uuid//", "/uuid/start", "/uuid/1"),
        ("", "/start", "/1"),
        ("/", "/start", "/1"),
        ("/key/nightly?create=1", "/key/nightly/start?create=1", "/key/nightly/1?create=1"),
        ("/key/nightly/?create=1", "/key/nightly/start?create=1", "/key/nightly/1?create=1"),
        (
            "/key/n?create=1&rid=a%2Fb",
            "/key/n/start?create=1&rid=a%2Fb",
            "/key/n/1?create=1&rid=a%2Fb",
        ),
        ("?token=x/y", "/start?token=x/y", "/1?token=x/y"),
        ("/uuid?", "/uuid/start", "/uuid/1"),
        ("/uuid#top", "/uuid/start", "/uuid/1"),
        ("/uuid?a=1#top", "/uuid/start?a=1", "/uuid/1?a=1"),
        ("/a%20b/%C3%A9", "/a%20b/%C3%A9/start", "/a%20b/%C3%A9/1"),
        ("/a;b/c=d", "/a;b/c=d/start", "/a;b/c=d/1"),
        ("/ping/http://x/y", "/ping/http://x/y/start", "/ping/http://x/y/1"),
    ],
)
def test_path_of_the_address_grows_and_all_else_of_it_stays(
    path: str, start: str, end: str
) -> None:
    """Asked of a real server, for a client may well change an address too."""
    with Monitor() as monitor:
        heartbeat = Heartbeat(monitor.url(path))
        heartbeat.start()
        heartbeat.finish(1)
    assert monitor.targets == [start, end]
    assert [ping.method for ping in monitor.pings] == ["POST", "POST"]


@pytest.mark.parametrize(
    "given, sent",
    [
        ("https://[::1]:8443/u", "https://[::1]:8443/u/0"),
        ("https://monitor.example:8443?x=1", "https://monitor.example:8443/0?x=1"),
        ("https://user:pass@monitor.example/u", "https://monitor.example/u/0"),
    ],
)
def test_host_and_port_of_the_address_stay(given: str, sent: str) -> None:
    assert "".join(address(given, "0")[:2]) == sent


@pytest.mark.parametrize(
    "credentials, sent",
    [("user:pass", "dXNlcjpwYXNz"), ("a%40b:p%3Aq%25", "YUBiOnA6cSU="), ("user", "dXNlcg==")],
)
def test_user_and_password_of_the_address_are_sent_as_such(credentials: str, sent: str) -> None:
    with Monitor() as monitor:
        Heartbeat(f"http://{credentials}@127.0.0.1:{monitor.port}/u").finish(0)
    assert [(ping.target, ping.authorization) for ping in monitor.pings] == [
        ("/u/0", f"Basic {sent}")
    ]


def test_body_is_the_summary_a_field_a_line() -> None:
    with Monitor() as monitor:
        Heartbeat(monitor.url()).finish(
            3, {"verdict": "REPAIRED: 1 of 1 difference", "reason": None, "drift": 1}
        )
    (ping,) = monitor.pings
    assert ping.body == "verdict: REPAIRED: 1 of 1 difference\ndrift: 1\nexit_status: 3\n"


def test_body_holds_no_secret_and_no_address_and_no_line_of_its_own() -> None:
    body = body_of(
        {
            "reason": "key sk_live_51abc of jo@example.com\nexit_status: 0",
            "url": "postgresql://u:hunter2@db/x",
        }
    ).decode()
    for secret in ("sk_live_51abc", "jo@example.com", "hunter2"):
        assert secret not in body
    assert len(body.splitlines()) == 2


@pytest.mark.parametrize("text", ["x" * 30_000, "\u20ac" * 30_000, "\ud800" * 9_000, "\x00\udcff"])
def test_body_is_whole_text_of_at_most_ten_kilobytes(text: str) -> None:
    body = body_of({"reason": text})
    assert len(body) <= 10_000
    body.decode()


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 409, 410, 429, 500, 503])
def test_monitor_that_answers_no_success_is_logged_by_its_host_alone(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A redirect too: where it leads may be a page that says 200 to anybody."""
    with Monitor(status, location=f"/{SECRET}/elsewhere") as monitor:
        heartbeat = Heartbeat(f"http://user:{SECRET}@127.0.0.1:{monitor.port}/{SECRET}")
        heartbeat.start()
        heartbeat.finish(0)
    lines = failures(caplog)
    assert len(lines) == 2
    for line in lines:
        assert f"answered {status}" in line
        assert json.loads(line)["host"] == "127.0.0.1"
        assert SECRET not in line
    assert monitor.targets == [f"/{SECRET}/start", f"/{SECRET}/0"]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_monitor_that_answers_success_is_not_logged(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Monitor(status) as monitor:
        Heartbeat(monitor.url()).start()
    assert failures(caplog) == []


@pytest.mark.parametrize("status", [405, 501])
def test_monitor_that_takes_no_post_is_told_without_the_summary(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def only_get(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200 if handler.command == "GET" else status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with Monitor(answer=only_get) as monitor:
        Heartbeat(monitor.url()).finish(1, {"drift": 1})
    assert [(ping.method, ping.target, ping.body) for ping in monitor.pings][1:] == [
        ("GET", "/ping/abc/1", "")
    ]
    assert failures(caplog) == []


def hang(handler: BaseHTTPRequestHandler) -> None:
    handler.rfile.read(1)  # until the client goes away


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b".")
            NEVER.wait(0.1)
    except OSError:
        return


@pytest.mark.parametrize("answer", [hang, drip], ids=["hangs", "drips"])
def test_monitor_that_never_ends_its_answer_holds_a_run_up_for_seconds_only(
    answer: Callable[[BaseHTTPRequestHandler], None], caplog: pytest.LogCaptureFixture
) -> None:
    with Monitor(answer=answer) as monitor:
        began = time.monotonic()
        Heartbeat(monitor.url(f"/{SECRET}")).finish(0)
        assert time.monotonic() - began < 8
    (line,) = failures(caplog)
    assert SECRET not in line


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x",
        "http://no-such-host.invalid/x",
        "http://a..b/x",
        f"http://{'a' * 70}.example/x",
        "http://[fe80::1%25nowhere]/x",
        "http://127.0.0.1:1/\udcff",
    ],
)
def test_address_where_nobody_is_fails_no_run(url: str, caplog: pytest.LogCaptureFixture) -> None:
    Heartbeat(url).finish(0)
    assert len(failures(caplog)) == 1


def test_monitor_whose_certificate_nobody_vouches_for_is_told_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = certificate(tmp_path, "IP:127.0.0.1")
    with Monitor(certificate=str(both)) as monitor:
        Heartbeat(f"https://127.0.0.1:{monitor.port}/{SECRET}").finish(0)
    assert monitor.pings == []
    (line,) = failures(caplog)
    assert "certificate is not to be trusted" in line
    assert SECRET not in line
