"""The bytes that come in on a connection, cut into whole requests without waiting for any.

The common request is read here (see `request_head`); the head of every other one by gunicorn, and
its chunks too, but only once all of it is in memory: so nothing ever waits for a sender.
"""

import re
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from gunicorn.http import Request as Parsed  # type: ignore[import-untyped]
from gunicorn.http import errors
from gunicorn.http.body import ChunkedReader  # type: ignore[import-untyped]
from gunicorn.http.unreader import IterUnreader  # type: ignore[import-untyped]
from gunicorn.util import unquote_to_wsgi_str  # type: ignore[import-untyped]

from webhook.app import plain
from webhook.worker.request_head import read_head

MAX_HEAD: Final = 65_536
"""Bytes of the longest head; the limits on its lines are gunicorn's."""

_HEAD_END = re.compile(rb"\n\r?\n")
_METHOD = re.compile(rb"[A-Z][A-Z0-9_-]{0,19}( |\Z)")
_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,16})[^\r\n]{0,8190}\r\n")
_MAX_LINE: Final = 8_192
_PIECE: Final = 8_192
"""Bytes that gunicorn reads at a time, as from a socket: it copies what is left at each chunk."""

_FRAMING: Final = 16_384
"""Bytes that a body's chunks may take beside as many as it holds: thousands of chunks of one byte,
and no more, for each of them takes time.
"""

_STATUSES: Final = (
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG),
    (errors.LimitRequestHeaders, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, HTTPStatus.NOT_IMPLEMENTED),
    (errors.ExpectationFailed, HTTPStatus.EXPECTATION_FAILED),
)


class Refused(Exception):
    """Answer with `status` and end the connection. `reason` is a fixed phrase for the log."""

    def __init__(
        self, status: int, reason: str, *, method: str | None = None, path: str | None = None
    ) -> None:
        self.status = int(status)
        self.reason = reason
        self.method = method
        self.path = path
        super().__init__(reason)


class Request(NamedTuple):
    """A whole request. `path` is decoded; `is_last`: no other follows on its connection."""

    method: str
    path: str
    query: str
    signature: str | None
    body: bytes
    is_last: bool


class _Head(NamedTuple):
    """A head that is read: `length` of its body in bytes, None for chunks."""

    method: str
    path: str
    query: str
    signature: str | None
    is_last: bool
    end: int
    length: int | None
    awaits_word: bool


class RequestReader:
    """What one sender has sent so far. Not to be shared between threads at one time."""

    __slots__ = ("_at", "_cfg", "_data", "_head", "_max_body", "_searched", "_size", "awaits_word")

    def __init__(self, cfg: Any, max_body: int) -> None:
        """`cfg`: gunicorn's limits; `max_body` in bytes."""
        self._cfg = cfg
        self._max_body = max_body
        self._data = bytearray()
        self._head: _Head | None = None
        self.awaits_word = False
        """Whether the sender holds its body back until it is told to go on."""
        self._forget()

    def __len__(self) -> int:
        """Count the bytes that are held."""
        return len(self._data)

    @property
    def method(self) -> str | None:
        """The method of the request that is coming in, as far as it is known."""
        return self._head.method if self._head else None

    @property
    def path(self) -> str | None:
        """The path of the request that is coming in, as far as it is known."""
        return self._head.path if self._head else None

    def feed(self, part: bytes) -> None:
        """Add what came."""
        self._data += part

    def whole(self) -> Request | None:
        """Take the next whole request out, None while it is not. Raises Refused."""
        if not self._data:
            return None
        if self._head is None:
            self._head = self._read_head()
            if self._head is None:
                return None
            self.awaits_word = self._head.awaits_word
        head = self._head
        if head.length is None:
            return self._chunked(head)
        if head.length > self._max_body:
            raise self._refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
        end = head.end + head.length
        if len(self._data) < end:
            return None
        return self._taken(head, bytes(self._data[head.end : end]), end)

    def _taken(self, head: _Head, body: bytes, end: int) -> Request:
        del self._data[:end]
        self._forget()
        self.awaits_word = False
        return Request(head.method, head.path, head.query, head.signature, body, head.is_last)

    def _forget(self) -> None:
        self._head = None
        self._searched = self._at = self._size = 0

    def _read_head(self) -> _Head | None:
        # An empty line before a request means nothing (RFC 9112, 2.2).
        while self._data.startswith(b"\r\n"):
            del self._data[:2]
        if not self._data or self._data == b"\r":
            return None
        found = _HEAD_END.search(self._data, max(self._searched - 3, 0))
        if found is None:
            self._refuse_early()
            self._searched = len(self._data)
            return None
        common = read_head(self._data)
        if common is None:
            return self._odd_head(found.end())
        return _Head(
            *("POST", "/webhook", "", common.signature, common.is_last),
            *(common.end, common.length, False),
        )

    def _refuse_early(self) -> None:
        """Refuse what no end of the head can put right: bytes that are no HTTP, or too many."""
        if not _METHOD.match(self._data[:21]):
            raise Refused(HTTPStatus.BAD_REQUEST, "not an HTTP request")
        line = self._data.find(b"\n", 0, self._cfg.limit_request_line + 2)
        if line < 0 and len(self._data) > self._cfg.limit_request_line + 2:
            raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "the request line is too long")
        if len(self._data) > MAX_HEAD:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long")

    def _odd_head(self, end: int) -> _Head:
        if end > MAX_HEAD:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long")
        parsed = self._parse(bytes(self._data[:end]))
        fields = dict(parsed.headers)
        reader = parsed.body.reader
        return _Head(
            parsed.method,
            plain(unquote_to_wsgi_str(parsed.path)),
            parsed.query,
            fields.get("STRIPE-SIGNATURE"),
            parsed.should_close(),
            end,
            None if isinstance(reader, ChunkedReader) else reader.length,
            parsed.version >= (1, 1) and "EXPECT" in fields,
        )

    def _parse(self, data: bytes) -> Any:
        """Let gunicorn read a head. Raises Refused with what it finds wrong."""
        pieces = (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
        try:
            return Parsed(self._cfg, IterUnreader(pieces), ("", 0))
        except Exception as error:  # noqa: BLE001 - whatever it trips over came from the sender
            raise Refused(_status(error), f"refused by its head: {type(error).__name__}") from None

    def _chunked(self, head: _Head) -> Request | None:
        """Find where the chunks end, then let gunicorn read them; it has the last word."""
        if not self._at:
            self._at = head.end
        while True:
            line = _SIZE_LINE.match(self._data, self._at)
            if line is None:
                rest = self._data[self._at : self._at + _MAX_LINE]
                is_odd = b"\n" in rest or len(rest) == _MAX_LINE
                return self._joined(head, len(self._data)) if is_odd else None
            size = int(line[1], 16)
            self._size += size
            if self._size > self._max_body:
                raise self._refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
            if size == 0:
                return self._ended(head, line.end())
            if len(self._data) < line.end() + size + 2:
                self._size -= size
                return None
            self._at = line.end() + size + 2
            if self._at - head.end > 2 * self._size + _FRAMING:
                raise self._refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the chunks are too many")

    def _ended(self, head: _Head, at: int) -> Request | None:
        """Read what follows the last chunk: an empty line, or fields and an empty line."""
        rest = self._data[at : at + _MAX_LINE]
        found = _HEAD_END.search(rest)
        if rest.startswith(b"\r\n"):
            return self._joined(head, at + 2)
        if found is not None:
            return self._joined(head, at + found.end())
        if len(rest) == _MAX_LINE:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise self._refused(status, "the trailer is too long")
        return None

    def _joined(self, head: _Head, end: int) -> Request:
        parsed = self._parse(bytes(self._data[:end]))
        try:
            body = parsed.body.read()
        except (OSError, errors.ParseException):
            raise self._refused(HTTPStatus.BAD_REQUEST, "the body is chunked badly") from None
        if parsed.unreader.take_buffered() or parsed.unreader.chunk():
            raise self._refused(HTTPStatus.BAD_REQUEST, "the body ends elsewhere than it says")
        return self._taken(head, body, end)

    def _refused(self, status: int, reason: str) -> Refused:
        return Refused(status, reason, method=self.method, path=self.path)


def _status(error: Exception) -> int:
    if isinstance(error, errors.InvalidHTTPVersion):
        # A version that is one, and none that we speak.
        return (
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
            if isinstance(error.version, tuple)
            else HTTPStatus.BAD_REQUEST
        )
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 400)
