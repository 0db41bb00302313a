"""Asking the Stripe double as any client would, and an endpoint for it to deliver to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import urllib3

from sandbox.stripe_double import StripeDouble

RETRY_NEVER = urllib3.Retry(0, redirect=False)


class Client:
    """One keep-alive client with one key; every request is made once."""

    def __init__(self, double: StripeDouble, *, key: str = "sk_test_double") -> None:
        self._double = double
        self._key = key
        self._pool = urllib3.PoolManager(retries=RETRY_NEVER, timeout=10, maxsize=20)

    def get(
        self, path: str, *, version: str | None = None, **params: Any
    ) -> urllib3.BaseHTTPResponse:
        """Parameters of ranges are written `created_gte`, as Python has no brackets in names."""
        query = urlencode(
            [
                (_bracketed(name), one)
                for name, value in params.items()
                for one in (value if isinstance(value, list) else [value])
            ]
        )
        headers = {"Authorization": f"Bearer {self._key}", "Accept-Encoding": "gzip"}
        if version is not None:
            headers["Stripe-Version"] = version
        url = f"{self._double.url}{path}" + (f"?{query}" if query else "")
        return self._pool.request("GET", url, headers=headers)

    def read(self, path: str, *, version: str | None = None, **params: Any) -> dict[str, Any]:
        """The JSON of an answer that must be 200."""
        answer = self.get(path, version=version, **params)
        assert answer.status == 200, answer.data
        found: dict[str, Any] = answer.json()
        return found

    def ids(self, path: str, **params: Any) -> list[str]:
        return [one["id"] for one in self.read(path, **params)["data"]]

    def walk(self, path: str, **params: Any) -> list[str]:
        """All ids of a list by its cursor."""
        found: list[str] = []
        more = True
        while more:
            cursor: dict[str, Any] = {"starting_after": found[-1]} if found else {}
            page = self.read(path, **params, **cursor)
            found += [one["id"] for one in page["data"]]
            more = page["has_more"]
        return found

    def close(self) -> None:
        self._pool.clear()


def _bracketed(name: str) -> str:
    if name.startswith("created_"):
        return f"created[{name.removeprefix('created_')}]"
    return {"types": "types[]", "expand": "expand[]"}.get(name, name)


class Endpoint:
    """A webhook endpoint that keeps what comes and answers what it is told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.refuse_first = 0
        self.received: list[tuple[dict[str, str], bytes]] = []
        self._lock = threading.Lock()

    def take(self, headers: dict[str, str], body: bytes) -> int:
        with self._lock:
            self.received.append((headers, body))
            if self.refuse_first > 0:
                self.refuse_first -= 1
                return 503
            return self.status

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]

    def event_ids(self) -> list[str]:
        return [event["id"] for event in self.events()]


@contextmanager
def open_endpoint() -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body go out in two writes otherwise, and wait for each other.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = endpoint.take({k.lower(): v for k, v in self.headers.items()}, body)
            said = b'{"outcome": "seen"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- given name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_address[1]}/webhook")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
