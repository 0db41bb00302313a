"""Stripe's webhook signature."""

import hashlib
import hmac


def sign(body: bytes, secret: str, t: int) -> str:
    """The header `Stripe-Signature` for a body: HMAC-SHA256 over `t.body` under `v1`."""
    return f"t={t},v1={digest(body, secret, t)}"


def digest(body: bytes, secret: str, t: int) -> str:
    return hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()
