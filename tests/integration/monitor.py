"""A monitor of the suite's own: it takes pings over HTTP or HTTPS and remembers them."""

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self


class Ping(NamedTuple):
    """One request as it came."""

    method: str
    target: str
    body: str
    authorization: str | None


class Monitor:
    """Answers every request with `status`, unless `answer` does it another way."""

    def __init__(
        self,
        status: int = 200,
        *,
        answer: Callable[[BaseHTTPRequestHandler], None] | None = None,
        location: str = "/elsewhere",
        certificate: str | None = None,
    ) -> None:
        self.pings: list[Ping] = []
        pings = self.pings

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                authorization = self.headers.get("Authorization")
                pings.append(Ping(self.command, self.path, body, authorization))
                if answer is not None:
                    answer(self)
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.send_header("Location", location)
                self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        # A thread that still answers somebody who went away is not waited for.
        self._server.block_on_close = False
        self._server.server_close()

    def url(self, path: str = "/ping/abc") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def targets(self) -> list[str]:
        """What was asked for, in order."""
        return [ping.target for ping in self.pings]
