"""The head of the common request: an event as Stripe sends it, with nothing in doubt.

gunicorn's parser, which weighs every way of writing a request, takes longer over one than all that
is done with it. What is read here is a small part of what it reads, and in the same way (a test
compares the two). Anything else, refusals too, is left to gunicorn, as the bytes that came.
"""

import re
from typing import Final, NamedTuple

MAX_COMMON_HEAD: Final = 8_190

_HEAD = re.compile(rb"POST /webhook HTTP/1\.1\r\n((?:[A-Za-z0-9-]{1,64}:[\t -~]*\r\n){1,64})\r\n")
_FIELD = re.compile(rb"([A-Za-z0-9-]+):[\t ]*([!-~](?:[\t -~]*[!-~])?)?[\t ]*\r\n")
_LENGTH = re.compile(rb"[0-9]{1,9}")
_CONNECTION: Final = frozenset({b"keep-alive", b"close"})
_IN_DOUBT: Final = frozenset(
    {
        *(b"transfer-encoding", b"te", b"trailer", b"expect", b"upgrade", b"http2-settings"),
        # These may contradict X-Forwarded-Proto, which gunicorn then refuses.
        *(b"x-forwarded-protocol", b"x-forwarded-ssl"),
    }
)


class Head(NamedTuple):
    """Where the body begins, how long it is (bytes), its signature, whether no request follows."""

    end: int
    length: int
    signature: str | None
    is_last: bool


def read_head(data: bytes | bytearray) -> Head | None:
    """Read the head of a request from its first bytes; None for one that is not common."""
    found = _HEAD.match(data)
    if found is None or found.end() > MAX_COMMON_HEAD:
        return None
    listed = _FIELD.findall(found[1])
    fields = {name.lower(): value for name, value in listed}
    length = fields.get(b"content-length")
    # A name that comes twice means one thing to some, another to others.
    if len(fields) != len(listed) or b"host" not in fields or not length:
        return None
    connection = fields.get(b"connection", b"keep-alive").lower()
    if connection not in _CONNECTION or not _LENGTH.fullmatch(length):
        return None
    if not _IN_DOUBT.isdisjoint(fields):
        return None
    signature = fields.get(b"stripe-signature")
    return Head(
        end=found.end(),
        length=int(length),
        signature=None if signature is None else signature.decode("ascii"),
        is_last=connection == b"close",
    )
