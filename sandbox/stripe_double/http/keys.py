"""API keys: which account and mode a key opens, and what it may read."""

import base64
import binascii

from msgspec import Struct

from sandbox.stripe_double.objects.catalogue import KINDS
from sandbox.stripe_double.protocol.request import Request

MAIN_ACCOUNT = "acct_1Double000000"
OTHER_ACCOUNT = "acct_1Other0000000"

PERMISSIONS = frozenset({kind.collection for kind in KINDS} | {"events", "account"})
_RESTRICTED = PERMISSIONS - {"account"}


class Key(Struct, frozen=True, kw_only=True):
    secret: str
    account: str
    livemode: bool
    permissions: frozenset[str]

    @property
    def shown(self) -> str:
        """The key as Stripe's messages leak it: both ends of it."""
        return f"{self.secret[:8]}{'*' * 8}{self.secret[-4:]}"


def first_keys() -> dict[str, Key]:
    """Both modes of the main account, whole and restricted, and of the other account."""
    keys = [
        Key(
            secret=f"{kind}_{mode}_{name}",
            account=account,
            livemode=mode == "live",
            permissions=PERMISSIONS if kind == "sk" else _RESTRICTED,
        )
        for name, account in (("double", MAIN_ACCOUNT), ("other", OTHER_ACCOUNT))
        for mode in ("test", "live")
        for kind in ("sk", "rk")
    ]
    return {key.secret: key for key in keys}


def secret_of(request: Request) -> str | None:
    """The key that a request carries, as Bearer token or as the user name of Basic."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return None
