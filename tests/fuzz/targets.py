"""What must hold for any bytes at all. Each target takes bytes and raises where something breaks.

The targets need nothing but the bytes: a coverage-guided fuzzer drives them for as long as one
likes (`make fuzz`), hypothesis for a moment in the suite.
"""

import hashlib
import hmac
from collections.abc import Callable
from functools import partial

from shared.errors import BadSignature, NotAnEvent, UnreadableObject
from shared.objects.catalogue import EVENT_TYPES, MIRRORED
from shared.repository.write import Write, encode
from shared.setting_readers import Secret
from shared.stripe.event import decode_event
from shared.stripe.page import decode_page
from webhook.signature import verify

NOW = 1_790_000_000
SECRETS = (Secret("whsec_fuzz_new"), Secret("whsec_fuzz_old"))
TOLERANCE = 300
SIGNED = b"SIGNED"
"""In a header: stands for the true signature, which no fuzzer would ever find."""


def event(body: bytes) -> None:
    """Read a body as the webhook does, up to the rows that would be written."""
    try:
        found = decode_event(body)
    except NotAnEvent as error:
        _say(str(error), body)
        return
    assert found.id
    assert found.interval.lower < found.interval.upper
    assert found.mirrored is None or found.mirrored in MIRRORED
    if found.mirrored is None:
        return
    try:
        content = found.content(found.mirrored)
    except UnreadableObject as error:
        _say(str(error), body)
        return
    assert 1 <= len(content.id) <= 255
    if content.items is None:
        return
    rows = encode([Write(content, found.interval, None, {})], found.mirrored)
    assert rows.startswith("[{")


def content(body: bytes) -> None:
    """Read the same bytes as each mirrored object, a list page and a page of items."""
    for mirrored in MIRRORED:
        for read in (mirrored.decode, partial(decode_page, mirrored), mirrored.decode_items):
            try:
                read(body)
            except UnreadableObject as error:
                _say(str(error), body)
    for kind in sorted(EVENT_TYPES)[::4]:
        envelope = (
            b'{"id":"evt_1","type":"%s","created":1790000000,"livemode":false,"data":{"object":'
        )
        event(envelope % kind.encode() + body + b"}}")


def header(data: bytes) -> None:
    """Check a header and a body, divided by a NUL; `SIGNED` in the header is the true signature."""
    raw, _, body = data.partition(b"\0")
    stamp = raw.partition(b"t=")[2].partition(b",")[0]
    for secret in SECRETS:
        text = raw.replace(SIGNED, _sign(secret, stamp, body).encode()).decode("latin-1")
        try:
            verify(body, text, SECRETS, TOLERANCE, lambda: float(NOW))
        except BadSignature as error:
            _say(str(error), b"")
            continue
        # The library takes what stands between a part's first two equals signs.
        parts = [part.split("=") for part in text.split(",")]
        signatures = {part[1] for part in parts if part[0] == "v1" and len(part) > 1}
        assert any(_sign(one, stamp, body) in signatures for one in SECRETS), "a forgery"
        assert stamp.isdigit()
        assert abs(int(stamp) - NOW) <= TOLERANCE


TARGETS: dict[str, Callable[[bytes], None]] = {
    "event": event,
    "content": content,
    "header": header,
}


def _sign(secret: Secret, stamp: bytes, body: bytes) -> str:
    return hmac.new(secret.reveal().encode(), stamp + b"." + body, hashlib.sha256).hexdigest()


def _say(message: str, body: bytes) -> None:
    """An error may name a place, never a value: a canary in the body stays out of it."""
    assert len(message) < 2_000
    assert b"canary" not in body or "canary" not in message
