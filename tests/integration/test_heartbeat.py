"""What a monitor answers is heeded, and never fails a run."""

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reconcile.heartbeat import Heartbeat
from shared.log import JsonFormatter

SECRET = "0c7f9c52-of-the-monitor"


@pytest.fixture
def monitor(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a monitor that answers everything with the status that is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.send_header("Content-Length", "0")
            self.send_header("Location", f"/{SECRET}/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://user:{SECRET}@127.0.0.1:{server.server_address[1]}/{SECRET}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("monitor", [301, 404, 410, 500], indirect=True)
def test_monitor_that_answers_no_success_is_logged_by_its_host_alone(
    monitor: str, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    heartbeat = Heartbeat(monitor)
    heartbeat.start()
    heartbeat.finish(0)
    lines = [record for record in caplog.records if record.name == "reconcile.heartbeat"]
    assert [(line.message, line.levelno) for line in lines] == [
        ("heartbeat.failed", logging.WARNING)
    ] * 2
    status = request.node.callspec.params["monitor"]
    for line in lines:
        told = JsonFormatter().format(line)
        assert f"answered {status}" in told
        assert "127.0.0.1" in told
        assert SECRET not in told


@pytest.mark.parametrize("monitor", [200, 204], indirect=True)
def test_monitor_that_answers_success_is_not_logged(
    monitor: str, caplog: pytest.LogCaptureFixture
) -> None:
    Heartbeat(monitor).start()
    assert [record for record in caplog.records if record.name == "reconcile.heartbeat"] == []
