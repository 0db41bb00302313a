"""The real service under gunicorn, when too much comes at once."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import urllib3

from sandbox.stripe_double import StripeDouble, sign
from tests.builders import KEY, SECRET, until, world
from tests.integration.witness import count

MEBIBYTE = 1024 * 1024


@pytest.fixture
def service(
    database_url: str, stripe_double: StripeDouble, tmp_path: Path
) -> Iterator[tuple[int, psutil.Process, Path]]:
    """The real thing under gunicorn: port, process and log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    environment = {
        "ENV_FILE": os.devnull,
        "DATABASE_URL": database_url,
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": stripe_double.url,
        "PORT": str(port),
        "WEB_THREADS": "8",
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "webhook.server"], env=environment, stderr=stream
        )
    try:
        until(lambda: "webhook.started" in log.read_text(), "the service serves", 20.0)
        yield port, psutil.Process(process.pid), log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def memory(process: psutil.Process) -> int:
    """Resident bytes of the whole process tree."""
    return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))


@pytest.mark.parametrize("length", ["declared", "chunked"])
def test_100_megabytes_get_413_and_leave_no_trace_in_memory(
    service: tuple[int, psutil.Process, Path], connection: psycopg.Connection, length: str
) -> None:
    """The sender reads its answer though it has not sent everything; nobody else waits."""
    port, process, log = service
    with urllib3.PoolManager(retries=False) as http:
        url = f"http://127.0.0.1:{port}"
        assert http.request("GET", f"{url}/readyz").status == 200
        before, rows = memory(process), world(connection)
        chunk = b"canary-body " * (MEBIBYTE // 12)
        send = partial(upload, port, chunk, 100, chunked=length == "chunked")
        # At once, so that several threads have some.
        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(send) for _ in range(8)]
        assert {one.result()[0] for one in answers} == {413}
        assert all(one.result()[1] == {"error": "too_large"} for one in answers)
        assert memory(process) - before < 8 * MEBIBYTE
        assert http.request("GET", f"{url}/healthz").status == 200
    assert world(connection) == rows
    assert "canary" not in log.read_text()
    assert '"status":413' in log.read_text()


def upload(port: int, chunk: bytes, times: int, *, chunked: bool) -> tuple[int, Any]:
    """Send until it is all sent or nobody takes more, then read the answer."""
    head = b"POST /webhook HTTP/1.1\r\nHost: h\r\nStripe-Signature: t=1,v1=0\r\n"
    if chunked:
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        piece = b"%x\r\n" % len(chunk) + chunk + b"\r\n"
    else:
        head += b"Content-Length: %d\r\n\r\n" % (len(chunk) * times)
        piece = chunk
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sender:
        sender.sendall(head)
        try:
            for _ in range(times):
                sender.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        while part := sender.recv(65_536):
            answer += part
    found = re.match(rb"HTTP/1.1 (\d+) .*?\r\n\r\n(.*)$", answer, re.DOTALL)
    assert found is not None, answer[:200]
    return int(found[1]), json.loads(found[2])


def test_500_copies_over_http_at_once_get_200_and_are_one(
    service: tuple[int, psutil.Process, Path],
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    """Trap 12: on the real wire, by 50 senders."""
    port, _, log = service
    control = stripe_double.control
    control.create_subscription(customer=control.create_customer(events=0))
    body = control.event_body(control.events()[-1]["id"])

    def send(to: urllib3.PoolManager) -> str:
        answer = to.request(
            "POST",
            f"http://127.0.0.1:{port}/webhook",
            body=body,
            headers={"Stripe-Signature": sign(body, SECRET, int(time.time()))},
        )
        assert answer.status == 200
        return str(answer.json()["outcome"])

    with urllib3.PoolManager(maxsize=50, retries=False) as http, ThreadPoolExecutor(50) as pool:
        outcomes = sorted(pool.map(send, [http] * 500))
    assert outcomes == ["applied"] + ["duplicate"] * 499
    assert count(connection, "events") == 1
    assert count(connection, "changes") == 1
    assert '"level":"error"' not in log.read_text()
