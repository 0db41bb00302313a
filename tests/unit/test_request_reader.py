"""Bytes become the same requests however they are cut, and never wait for more than they say."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http import RequestParser  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from webhook.service import LIMITS
from webhook.worker.request_reader import MAX_HEAD, Refused, Request, RequestReader

MOST = 1_000
HOST = b"Host: x\r\n"
POST = b"POST /webhook HTTP/1.1\r\n" + HOST

WHOLE = [
    POST + b"Content-Length: 2\r\nStripe-Signature: t=1,v1=a\r\n\r\n{}",
    POST + b"Content-Length: 0\r\n\r\n",
    POST + b"\r\n",
    POST + b"X_Y: 1\r\nContent-Length: 2\r\n\r\n{}",
    POST + b"X-A: " + b"b" * 300 + b"\r\nContent-Length: 3\r\n\r\n\r\n{",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\n{\r\n0001 ;a\r\n}\r\n00\r\nX: y\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nA\r\n\r\n0\r\n\r\n0\r\n\r\n0\r\n\r\n",
    POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /readyz?a=b HTTP/1.1\r\n" + HOST + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    b"PUT http://a/%77ebhook HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx",
    b"HEAD /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"\r\nGET /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
]
ODD = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\n" + WHOLE[0],
    b"\r\r\n" + WHOLE[0],
    b"get / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\n\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"GET / HTTP/2.0\r\n\r\n",
    b"GET / HTTP/1\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\n\r\n",
    b"GET /" + b"a" * 2_000,
    POST + b"Content-Length: 1001\r\n\r\n",
    POST + b"Content-Length: 999999999999999999999999\r\n\r\n",
    POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    POST + b"Transfer-Encoding: gzip\r\n\r\n",
    POST + b"Expect: the best\r\n\r\n",
    POST + b"X-A: b\r\n" * 65 + b"\r\n",
    POST + b"X-A: " + b"b" * 9_000 + b"\r\n\r\n",
    POST + b"X-A: b" * (MAX_HEAD // 5),
    POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1;" + b"a" * 9_000,
    POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" * 1_001,
    POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 9_000,
]


def limits() -> Config:
    config = Config()
    for name, value in LIMITS.items():
        config.set(name, value)
    return config


LIMITED = limits()


def requests(parts: Sequence[bytes]) -> list[Request]:
    """What comes out, all that is whole taken out after each part. Raises Refused."""
    reader = RequestReader(LIMITED, MOST)
    found: list[Request] = []
    for part in parts:
        reader.feed(part)
        while (request := reader.whole()) is not None:
            found.append(request)
    return found


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


@given(
    sent=st.lists(st.sampled_from(WHOLE), min_size=1, max_size=4),
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_requests_are_those_that_gunicorn_reads_however_they_are_cut(
    sent: list[bytes], places: list[int]
) -> None:
    theirs = [
        (one.method, one.body.read(), one.should_close())
        for data in sent
        for one in [next(RequestParser(LIMITED, iter([data]), ("127.0.0.1", 1)))]
    ]
    ours = [(one.method, one.body, one.is_last) for one in requests(cut(b"".join(sent), places))]
    assert ours == theirs


@pytest.mark.parametrize("data", WHOLE, ids=range(len(WHOLE)))
def test_request_is_whole_with_its_last_byte_and_not_before(data: bytes) -> None:
    assert len(requests([data])) == 1
    for end in range(len(data)):
        assert requests(cut(data[:end], range(0, end, 7))) == [], data[:end]
    assert requests([data[n : n + 1] for n in range(len(data))]) == requests([data])


@pytest.mark.parametrize("data", ODD, ids=range(len(ODD)))
def test_what_can_become_no_request_is_refused_without_waiting_for_more(data: bytes) -> None:
    for parts in ([data], [data[n : n + 1] for n in range(len(data))], cut(data, [20, 50, 60])):
        with pytest.raises(Refused) as refused:
            requests(parts)
        assert refused.value.status in {400, 413, 414, 417, 431, 501, 505}


@given(
    before=st.sampled_from(WHOLE),
    middle=st.binary(max_size=40),
    after=st.sampled_from(WHOLE),
    at=st.integers(0, 10_000),
)
def test_any_bytes_are_read_or_refused(before: bytes, middle: bytes, after: bytes, at: int) -> None:
    where = at % len(before)
    with suppress(Refused):
        requests([before[:where] + middle + before[where:] + after])


def test_sender_that_waits_for_a_word_is_known_as_soon_as_its_head_is() -> None:
    reader = RequestReader(LIMITED, MOST)
    reader.feed(POST + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert reader.whole() is None
    assert reader.awaits_word
    reader.feed(b"{}")
    assert reader.whole() is not None
    assert not reader.awaits_word


@pytest.mark.parametrize(
    "path", ["/webhook", "//webhook", "/webhook/", "/./webhook", "//webhook//"]
)
def test_slashes_too_many_lead_nowhere_else(path: str) -> None:
    (request,) = requests([f"POST {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode()])
    assert request.path == ("/./webhook" if "." in path else "/webhook")


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LARGEST = 2_097_152


def chunks(size: int, number: int, extension: bytes = b"") -> bytes:
    return (b"%x%b\r\n" % (size, extension) + b"x" * size + b"\r\n") * number


@pytest.mark.parametrize(
    "beginning",
    [
        chunks(1, 5_000),
        chunks(2, 500_000),
        chunks(4, 5_000, b";a=" + b"b" * 40),
        chunks(1_000, 10, b";a=" + b"b" * 8_000),
    ],
    ids=["one byte each", "two bytes each", "long extensions", "longest extensions"],
)
def test_chunks_that_are_more_framing_than_body_are_refused(beginning: bytes) -> None:
    reader = RequestReader(LIMITED, LARGEST)
    reader.feed(CHUNKED + beginning)
    with pytest.raises(Refused) as refused:
        reader.whole()
    assert (refused.value.status, refused.value.reason) == (413, "the chunks are too many")


@pytest.mark.parametrize("size, number", [(1, 4_000), (8, 100_000), (8_192, 256), (LARGEST, 1)])
def test_body_in_chunks_is_read_piece_by_piece(size: int, number: int) -> None:
    """Handed over whole, what is left of it would be copied at each chunk: minutes for 2 MB."""
    reader = RequestReader(LIMITED, LARGEST)
    reader.feed(CHUNKED + chunks(size, number) + b"0\r\n\r\n" + WHOLE[0])
    request = reader.whole()
    assert request is not None
    assert request.body == b"x" * (size * number)
    assert reader.whole() is not None
    assert len(reader) == 0
