"""How the text of a setting becomes a value: one function a kind, raising ValueError with the cure.

`require_clean` looks at the text first, for what a value brings along when it is copied from
somewhere: each cause by its name.

No message quotes the text itself, which may be secret or stand where a secret should.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

BLANK = " \t\r\n\f\v"
"""What may stand around a value, and is cut off. No more than that: what is invisible is named."""

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

STATUSES: Final = (
    "incomplete",
    "incomplete_expired",
    "trialing",
    "active",
    "past_due",
    "canceled",
    "unpaid",
    "paused",
)
"""Every status of a subscription (docs.stripe.com/api/subscriptions/object)."""


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


def given(environ: Mapping[str, str], name: str) -> str:
    """Return what a variable says, without blanks around it. One that is empty is not set."""
    return environ.get(name, "").strip(BLANK)


def between(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number, both bounds included."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


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
    """Return the name of a schema of our own; PostgreSQL keeps pg_ for itself.

    Not `public`: others keep their tables there, and the roles take rights from all but ours.
    """
    name = re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", text)
    if not name or text in {"information_schema", "public"}:
        raise ValueError(
            "must be a schema's name: small letters, digits and underscores, 63 at most, no digit"
            " first, and one of its own (not pg_..., information_schema or public)"
        )
    return text


def statuses(text: str) -> frozenset[str]:
    """Return a comma-separated list of statuses of Stripe's subscriptions, in any case.

    A word that is none would quietly let nobody in, and every customer who has it would count as
    locked out.
    """
    listed = [word.strip().lower() for word in text.split(",")]
    chosen = [word for word in listed if word]
    if not chosen or any(word not in STATUSES for word in chosen):
        places = [str(listed.index(word) + 1) for word in chosen if word not in STATUSES]
        which = f" (not so: number {', '.join(dict.fromkeys(places))})" if places else ""
        raise ValueError(
            f"must be a comma-separated list of Stripe's statuses{which}: {', '.join(STATUSES)}"
        )
    return frozenset(chosen)


def stripe_key(text: str) -> Secret:
    """Return a secret or restricted key; its prefix tells the mode."""
    if not re.fullmatch(r"[sr]k_(test|live)_\w+", text, re.ASCII):
        raise ValueError(
            "must be a Stripe key: sk_test_..., sk_live_..., rk_test_... or rk_live_..."
            + _likeness(text, _NO_KEYS)
        )
    return Secret(text)


def webhook_secrets(text: str) -> tuple[Secret, ...]:
    """Return the endpoint's signing secrets: several while one is being rolled."""
    parts = [part.strip(BLANK) for part in text.split(",")]
    # Nothing else that Stripe hands out begins so; without this a pasted API key would refuse every
    # event, and an empty part between two commas would be a secret that everybody knows.
    for part in parts:
        if not re.fullmatch(r"whsec_[\w+/=-]+", part, re.ASCII):
            raise ValueError(
                "must be one or more signing secrets, whsec_..., separated by commas"
                + _likeness(part, _NO_SECRETS)
            )
    return tuple(Secret(part) for part in dict.fromkeys(parts))


_NAMED: Final = (
    r"[A-Za-z_]\w*\s*[=:]\s*[\"']?([srp]k_|whsec_).*",
    "a name stands in front of this one: leave it out",
)
_CUT: Final = (
    r"([sr]k_|whsec_).*(\*|\.\.|\u2026|\u2022).*",
    "this one is shortened: copy the whole of it",
)
_NO_KEYS: Final = (
    (r"[srp]k_org_.*", "this is an organization's key: create one in the account itself"),
    (r"pk_.*", "this is a publishable key, which may read nothing"),
    (r"whsec_.*", "this is a signing secret, for STRIPE_WEBHOOK_SECRET"),
    (r"(ek|ephkey)_.*", "this is an ephemeral key, which ends within the hour"),
    (r"(acct|we|ca|org)_.*", "this is the id of something, not a key"),
    (r"postgres(ql)?:.*", "this is a database's URL, for DATABASE_URL"),
    _NAMED,
    _CUT,
    (r"[sr]k_(test|live)_.*\s.*", "this one has a space in it"),
    (r"[sr]k_(test|live)_.*", "this one has a character that no key has"),
)
_NO_SECRETS: Final = (
    (r"[sr]k_.*", "this is an API key, for STRIPE_SECRET_KEY"),
    (r"pk_.*", "this is a publishable key"),
    (r"we_.*", "this is the endpoint's id, not its secret"),
    _NAMED,
    _CUT,
    (r"whsec_.*\s.*", "this one has a space in it"),
    (r"whsec_.+", "this one has a character that no secret has"),
    (r"", "nothing stands between two commas, or at an end"),
)
"""What is often put in place of it, by its beginning, and what it is."""


def _likeness(text: str, kinds: Sequence[tuple[str, str]]) -> str:
    """Say what the text looks like, without a letter of it."""
    found = (what for pattern, what in kinds if re.fullmatch(pattern, text, re.DOTALL))
    what = next(found, None)
    return f"; {what}" if what else ""


def api_base(text: str) -> str:
    """Return scheme, host and port of Stripe's API; without TLS only on this machine."""
    scheme, host, bare = _url_parts(text)
    if not bare:
        raise ValueError("must be scheme, host and port alone, such as https://api.stripe.com")
    if scheme == "http" and not is_local(host):
        raise ValueError("must be https, for the key travels with each question")
    return text.rstrip("/")


def web_address(text: str) -> Secret:
    """Return an http(s) URL; who knows it can use it, so it does not print."""
    _url_parts(text)
    return Secret(text)


def proxy_address(text: str) -> Secret:
    """Return a proxy's URL with its scheme; a user and password in it are secret."""
    try:
        scheme, _, _ = _url_parts(text if "://" in text else f"http://{text}")
    except ValueError:
        scheme = ""
    if scheme != "http":
        raise ValueError(
            "must be http://host:port, with user:password@ before the host where it wants them"
            " (percent-encoded), for only a proxy that is asked over HTTP can be used"
        )
    return Secret(text if "://" in text else f"http://{text}")


def _url_parts(text: str) -> tuple[str, str, bool]:
    """Return scheme, host and whether there is nothing else but a port; raises ValueError."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # both parse, and raise, on reading
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or re.search(r"\s", text):
        raise ValueError("must be a URL: https://host")
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    return parts.scheme, host, bare


def is_local(host: str) -> bool:
    """True for a socket folder, an abstract socket, no host at all, localhost and loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_QUOTES = (("'", "'"), ('"', '"'), ("`", "`"), ("\u201c", "\u201d"), ("\u2018", "\u2019"))
_REFERENCE = re.compile(r"\$\w+|\$?\{\{?[^{}]*\}\}?|<[^<>]*>")
_BREAKS = {
    **dict.fromkeys("\r\n\v\f\x85\u2028\u2029", "a line break"),
    "\ufeff": "a byte order mark (BOM)",
    "\t": "a tab",
}
_KINDS = {
    "Zs": "a no-break space, or another space that is none of the keyboard's",
    "Cf": "an invisible (zero-width) character",
    "Cc": "a control character",
}
"""By Unicode's general category."""


def require_clean(name: str, text: str) -> None:
    """Raise ValueError for what no value of the setting `name` can hold, saying what it is.

    `text` as it came, but for blanks around it.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("is not text in UTF-8")
    for character in text:
        if fault := _invisible(character):
            raise ValueError(f"holds {fault}: type or copy the value anew")
    if re.match(rf"(export\s+|set\s+)?{re.escape(name)}(_FILE)?\s*[=:]", text, re.IGNORECASE):
        raise ValueError(f"holds its own name: leave out what stands up to and with `{name}=`")
    if re.match(r"(export|set)\s", text):
        raise ValueError("holds a whole line of a shell: give the value alone")
    if any(len(text) > 1 and text[0] == one and text[-1] == other for one, other in _QUOTES):
        raise ValueError("is in quotes: leave them out")
    if text[0] in "\"'`\u201c\u201d\u2018\u2019" or text[-1] in '"`\u201c\u201d\u2018\u2019':
        raise ValueError("has a quote at one end: leave it out")
    if re.match(r"(Authorization\s*:|Bearer\s|Basic\s)", text, re.IGNORECASE):
        raise ValueError("holds a header's words (Bearer): give what follows them")
    if _REFERENCE.fullmatch(text):
        raise ValueError("is a placeholder that nothing has replaced: give the value")


def _invisible(character: str) -> str | None:
    if " " <= character <= "~":
        return None
    if named := _BREAKS.get(character):
        return named
    return _KINDS.get(unicodedata.category(character))
