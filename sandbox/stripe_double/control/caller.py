"""The control of a double in another process."""

import http.client
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import msgspec


class RemoteControl:
    """Calls the methods of `Control` over HTTP, each on a connection of its own."""

    def __init__(self, url: str, *, realm: Mapping[str, Any]) -> None:
        self._netloc = url.removeprefix("http://")
        self._realm = realm

    def call(self, method: str, *args: Any, **keywords: Any) -> Any:
        """What it returned, as JSON. Raises RuntimeError with what is said of a bad call."""
        body = {"method": method, "args": args, "keywords": keywords, "realm": self._realm}
        connection = http.client.HTTPConnection(self._netloc, timeout=600)
        with closing(connection):
            connection.request("POST", "/_control/call", msgspec.json.encode(body))
            answer = connection.getresponse()
            found = msgspec.json.decode(answer.read())
            if answer.status != 200:
                raise RuntimeError(f"{method}: {found}")
            return found["result"]
