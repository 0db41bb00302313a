"""The proxy between us and a host, as `HTTPS_PROXY` and `NO_PROXY` tell it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote_to_bytes, urlsplit

from shared.setting_readers import Secret


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """Where a way to the host is asked for (CONNECT), and the header that says who asks."""

    host: str
    port: int
    authorization: Secret | None

    @classmethod
    def to(cls, url: str, https_proxy: Secret | None, no_proxy: str | None) -> Self | None:
        """Return the proxy on the way to `url`, None where there is none.

        `https_proxy`: the proxy's URL. `no_proxy`: hosts and domains that are asked directly,
        comma-separated, by the rules of urllib.request. What needs no TLS needs no proxy either: it
        is on this machine, or it is a monitor's.
        """
        there = urlsplit(url)
        if https_proxy is None or there.scheme != "https":
            return None
        if no_proxy:
            # Late, for hardly anybody has one.
            import urllib.request

            host = f"{there.hostname}:{there.port or 443}"
            if urllib.request.proxy_bypass_environment(  # type: ignore[attr-defined]
                host, {"no": no_proxy}
            ):
                return None
        parts = urlsplit(https_proxy.reveal())
        credentials, at, _ = parts.netloc.rpartition("@")
        authorization = Secret(basic(credentials)) if at else None
        return cls(host=parts.hostname or "", port=parts.port or 80, authorization=authorization)


def basic(credentials: str) -> str:
    """Return the header for a URL's user and password, as they stand in it (RFC 7617)."""
    pair = b":".join(unquote_to_bytes(part) for part in credentials.split(":", 1))
    return f"Basic {base64.b64encode(pair).decode()}"
