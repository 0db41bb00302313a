"""Whether a body was signed by Stripe, for us and just now.

Scheme: https://docs.stripe.com/webhooks/signature (checked November 2026). The HMAC is computed and
compared, in constant time, by Stripe's own library. Around it stands what the library leaves open:
it takes one secret, accepts any future timestamp, and lets other errors than its own escape.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from stripe import SignatureVerificationError, WebhookSignature

from shared.errors import BadSignature
from shared.setting_values import Secret

MAX_HEADER: Final = 8_192
MAX_PARTS: Final = 50

_STAMP = re.compile(r"(?:^|,)\s*t=", re.ASCII)
_TIMESTAMP = re.compile(r"(?:^|,)t=([0-9]{1,12})(?=,|$)", re.ASCII)


def verify(
    body: bytes,
    header: str | None,
    secrets: Sequence[Secret],
    tolerance: int,
    now: Callable[[], float],
) -> None:
    """Return if some `v1` of `header` signs `body` with one of `secrets`, and did so just now.

    `tolerance` is in seconds to either side of `now()`, in epoch seconds. Raises BadSignature with
    the reason for the log: missing, malformed, without v1, over a body that is not UTF-8, forged,
    too old, in the future. Nothing else is raised, whatever arrives.
    """
    if not header:
        raise BadSignature("missing")
    timestamp = _timestamp(header)
    if not any(part.startswith("v1=") for part in header.split(",")):
        raise BadSignature("without v1")
    if not any(_is_signed(body, header, secret) for secret in secrets):
        raise BadSignature("forged")
    age = now() - timestamp
    if age > tolerance:
        raise BadSignature("too old")
    if age < -tolerance:
        raise BadSignature("in the future")


def _timestamp(header: str) -> int:
    # Before anything is computed: what is refused here costs next to nothing.
    if len(header) > MAX_HEADER or header.count(",") >= MAX_PARTS or not header.isascii():
        raise BadSignature("malformed")
    stamps = _TIMESTAMP.findall(header)
    # The library signs with the first `t`; with two of them it would be unclear which is meant.
    if len(stamps) != 1 or len(_STAMP.findall(header)) != 1:
        raise BadSignature("malformed")
    return int(stamps[0])


def _is_signed(body: bytes, header: str, secret: Secret) -> bool:
    try:
        # Without a tolerance: the library's clock is not ours to set.
        return bool(WebhookSignature.verify_header(body, header, secret.reveal()))
    except SignatureVerificationError:
        return False
    except UnicodeDecodeError:
        raise BadSignature("over a body that is not UTF-8") from None
