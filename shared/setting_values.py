"""How the text of a setting becomes a value: one function a kind, raising ValueError with the cure.

No message quotes the text itself, which may be secret or stand where a secret should.
"""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Secret:
    """Text that prints as `***`, in every form, until it is revealed."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself: hand it on at once, keep it nowhere."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a secret is not to be pickled")


def whole_number(text: str, *, least: int, most: int) -> int:
    """Return a number between `least` and `most`, both included."""
    if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
        raise ValueError(f"must be a whole number from {least} to {most}")
    return int(text)


def share(text: str) -> str:
    """Return a share of rows, "12.5%", or a number of them, "50", as it stands."""
    percent = re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?\s*%", text)
    if not (percent and float(text[:-1]) <= 100) and not re.fullmatch(r"[0-9]{1,12}", text):  # noqa: PLR2004
        raise ValueError("must be a percentage from 0% to 100%, such as 10%, or a number of rows")
    return text


def log_level(text: str) -> str:
    """Return the name of a level of the logging module, in capitals."""
    if text.upper() not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
    return text.upper()


def schema_name(text: str) -> str:
    """Return a schema's name, one that needs no quotes in psql; PostgreSQL keeps pg_ for itself."""
    if not re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", text) or text == "information_schema":
        raise ValueError(
            "must be a schema's name: small letters, digits and underscores, 63 at most, no digit"
            " first, and not one of PostgreSQL's own (pg_..., information_schema)"
        )
    return text


def words(text: str) -> frozenset[str]:
    """Return a comma-separated list of Stripe's words, which are open sets: no word is refused."""
    listed = frozenset(word.strip() for word in text.split(",") if word.strip())
    if not listed or not all(re.fullmatch(r"[a-z][a-z_]*", word) for word in listed):
        raise ValueError("must be a comma-separated list of statuses, such as active,trialing")
    return listed


def stripe_key(text: str) -> Secret:
    """Return a secret or restricted key; its prefix tells the mode."""
    if not re.fullmatch(r"[sr]k_(test|live)_\w+", text, re.ASCII):
        raise ValueError(
            "must be a Stripe key: sk_test_..., sk_live_..., rk_test_... or rk_live_..."
        )
    return Secret(text)


def webhook_secrets(text: str) -> tuple[Secret, ...]:
    """Return the endpoint's signing secrets: several while one is being rolled."""
    parts = [part.strip() for part in text.split(",")]
    # Nothing else that Stripe hands out begins so; without this a pasted API key would refuse every
    # event, and an empty part between two commas would be a secret that everybody knows.
    if not all(re.fullmatch(r"whsec_[\w+/=-]+", part, re.ASCII) for part in parts):
        raise ValueError("must be one or more signing secrets, whsec_..., separated by commas")
    return tuple(Secret(part) for part in parts)


def api_base(text: str) -> str:
    """Return scheme, host and port of Stripe's API; without TLS only on this machine."""
    scheme, host, _, bare = _url_parts(text)
    if not bare:
        raise ValueError("must be scheme, host and port alone, such as https://api.stripe.com")
    if scheme == "http" and not _is_local(host):
        raise ValueError("must be https, for the key travels with each question")
    return text.rstrip("/")


def web_address(text: str) -> Secret:
    """Return an http(s) URL; who knows it can use it, so it does not print."""
    _url_parts(text)
    return Secret(text)


def database_url(text: str) -> Secret:
    """Return a libpq connection string that asks for TLS unless every host is on this machine.

    Raises ValueError without libpq's own message, which can quote the password.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.pq import Conninfo

    try:
        given = conninfo_to_dict(text)
    except (psycopg.Error, UnicodeError):
        raise ValueError(
            "must be a PostgreSQL URL: postgresql://user:password@host:5432/database"
        ) from None
    # libpq fills in from PGHOST and its like what the text leaves open.
    defaults = {option.keyword: option.val for option in Conninfo.get_defaults()}
    filled = {
        name: str(given.get(name) or (defaults.get(name.encode()) or b"").decode())
        for name in ("hostaddr", "host", "service", "sslmode")
    }
    hosts = (filled["hostaddr"] or filled["host"]).split(",")
    if not filled["service"] and all(_is_local(host) for host in hosts):
        return Secret(text)
    mode = filled["sslmode"]
    if mode == "disable":
        raise ValueError("must not have sslmode=disable: the database is on another machine")
    if mode in {"prefer", "allow"}:
        return Secret(make_conninfo(text, sslmode="require"))
    if mode not in {"require", "verify-ca", "verify-full"}:
        raise ValueError("has an unknown sslmode: use require, verify-ca or verify-full")
    return Secret(text)


def _url_parts(text: str) -> tuple[str, str, str, bool]:
    """Return scheme, host, path and whether there is nothing else; raises ValueError."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # both parse, and raise, on reading
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or re.search(r"\s", text):
        raise ValueError("must be a URL: https://host")
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    return parts.scheme, host, parts.path, bare


def _is_local(host: str) -> bool:
    """True for a socket folder, an abstract socket, no host at all, localhost and loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
