"""The head of a request is read as gunicorn reads it, or left to gunicorn."""

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http import Request  # type: ignore[import-untyped]
from gunicorn.http.unreader import IterUnreader  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from webhook.service import LIMITS
from webhook.worker.request_head import MAX_COMMON_HEAD, read_head

START = b"POST /webhook HTTP/1.1\r\n"
COMMON = START + b"Host: x\r\nContent-Length: 2\r\nStripe-Signature: t=1,v1=Ab\r\n"

NAMES = [
    *("Host", "CONTENT-LENGTH", "content-length", "Stripe-Signature", "Connection", "X-A", "X_A"),
    *("Transfer-Encoding", "TE", "Trailer", "Expect", "Upgrade", "X-Forwarded-Proto"),
    *("X-Forwarded-Ssl", "X-Forwarded-Protocol", "Content-Type", "Accept", "X-A ", "", "X\x00A"),
]
VALUES = [
    *("x", "2", " 2 ", "+2", "2, 2", "0x2", "002", "", "\t", "close", "keep-alive", "Upgrade"),
    *("Keep-Alive, TE", "chunked", "100-continue", "https", "on", "t=1,v1=Ab", "\x0b2", "2\r", "é"),
    *("a\x00b", "b" * 8_190),
]
LINES = st.tuples(
    st.sampled_from(NAMES), st.sampled_from([":", ": ", ":\t", " :", ""]), st.sampled_from(VALUES)
)


@given(
    start=st.sampled_from([START, START, START, START.replace(b"1.1", b"1.0")]),
    more=st.lists(LINES, max_size=4),
    end=st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r\n "]),
)
def test_what_is_read_is_what_gunicorn_reads(
    start: bytes, more: list[tuple[str, str, str]], end: str
) -> None:
    lines = [("Host", ":", "x"), ("Content-Length", ": ", "2"), *more]
    fields = "".join("".join(line) + end for line in lines).encode("latin-1")
    data = start + fields + b"\r\n{}"
    head = read_head(data)
    if head is None:
        return
    config = Config()
    for name, value in LIMITS.items():
        config.set(name, value)
    theirs = Request(config, IterUnreader([data]), ("127.0.0.1", 1))
    headers = dict(theirs.headers)
    assert (theirs.method, theirs.path, theirs.query) == ("POST", "/webhook", "")
    assert len(headers) == len(theirs.headers)
    assert headers.get("STRIPE-SIGNATURE") == head.signature
    assert theirs.should_close() == head.is_last
    assert theirs.body.reader.length == head.length
    assert theirs.body.read(head.length) == data[head.end : head.end + head.length]


def test_common_head_is_read() -> None:
    head = read_head(COMMON + b"Connection: Close\r\n\r\n{}")
    assert head == (len(COMMON) + 21, 2, "t=1,v1=Ab", True)
    assert read_head(COMMON + b"\r\n") == (len(COMMON) + 2, 2, "t=1,v1=Ab", False)


@pytest.mark.parametrize(
    "data",
    [
        COMMON,
        COMMON.replace(b"POST", b"GET") + b"\r\n",
        COMMON.replace(b"/webhook", b"/healthz") + b"\r\n",
        COMMON.replace(b"Host: x\r\n", b"") + b"\r\n",
        COMMON.replace(b"Content-Length: 2\r\n", b"") + b"\r\n",
        COMMON.replace(b": 2", b": +2") + b"\r\n",
        COMMON + b"content-length: 2\r\n\r\n",
        COMMON + b"Transfer-Encoding: chunked\r\n\r\n",
        COMMON + b"Expect: 100-continue\r\n\r\n",
        COMMON + b"Connection: upgrade\r\n\r\n",
        COMMON + b" folded\r\n\r\n",
        COMMON + b"X_A: 1\r\n\r\n",
        COMMON + b"X-A: \x00\r\n\r\n",
        COMMON + b"X-A: \xe9\r\n\r\n",
        COMMON + b"".join(b"X-%d: 1\r\n" % number for number in range(62)) + b"\r\n",
        COMMON + b"X-A: " + b"b" * MAX_COMMON_HEAD + b"\r\n\r\n",
    ],
    ids=range(16),
)
def test_head_that_is_not_common_is_left_to_gunicorn(data: bytes) -> None:
    assert read_head(data) is None
