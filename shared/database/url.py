"""DATABASE_URL: read as libpq reads it, refused where libpq would take a password apart.

A password with a raw `@` or `/` makes libpq take its rest for the host, which then stands in error
messages, look-ups of names and logs. So nothing is handed to libpq that can be read in two ways.
No message here quotes any of it but the name of a parameter, where that cannot be a password's.
"""

import re
from typing import Final

from shared.setting_readers import Secret, is_local

_SCHEME = re.compile(r"postgres(?:ql)?://")
_FORM: Final = "must be a PostgreSQL URL: postgresql://user:password@host:5432/database"
_ENCODE: Final = (
    f"{_FORM}; this one cannot be read as one: a character of the password or the user must be"
    " percent-encoded (@ is %40, / is %2F, % is %25, : is %3A, ? is %3F, # is %23, [ is %5B, a"
    " space is %20)"
)
_PORT: Final = "must have a port from 1 to 65535"
_LARGEST_PORT: Final = 65_535

_VALUES: Final = {
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    "channel_binding": {"disable", "prefer", "require"},
    "gssencmode": {"disable", "prefer", "require"},
    "sslnegotiation": {"postgres", "direct"},
    "sslcertmode": {"disable", "allow", "require"},
    "load_balance_hosts": {"disable", "random"},
    "target_session_attrs": {
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby"
    },
}  # fmt: skip
"""Parameters that take one of a few words (postgresql.org/docs/current/libpq-connect.html)."""

_NUMBERS: Final = frozenset(
    {
        "connect_timeout",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "sslcompression",
        "sslsni",
    }
)


def database_url(text: str) -> Secret:
    """Return a libpq connection string that asks for TLS unless every host is on this machine.

    Raises ValueError without libpq's own message, which can quote the password.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.pq import Conninfo

    if re.match(r"[srp]k_|whsec_", text):
        raise ValueError(f"{_FORM}; this is a value of Stripe's")
    # libpq fills in from PGHOST and its like what the text leaves open.
    defaults = {option.keyword.decode(): option.val for option in Conninfo.get_defaults()}
    is_url = _SCHEME.match(text) is not None
    names = _of_url(text) if is_url else _of_words(text)
    _require_known(names, frozenset(defaults), may_be_secret="password" in names or not is_url)
    try:
        given = conninfo_to_dict(text)
    except (psycopg.Error, UnicodeError):
        raise ValueError(_ENCODE if is_url else _FORM) from None
    _require_values({name: str(value) for name, value in given.items()})
    filled = {
        name: str(given.get(name) or (defaults.get(name) or b"").decode())
        for name in ("hostaddr", "host", "service", "sslmode")
    }
    hosts = (filled["hostaddr"] or filled["host"]).split(",")
    if not filled["service"] and all(is_local(host) for host in hosts):
        return Secret(text)
    mode = filled["sslmode"]
    if mode == "disable":
        raise ValueError("must not have sslmode=disable: the database is on another machine")
    if mode in {"prefer", "allow"}:
        return Secret(make_conninfo(text, sslmode="require"))
    return Secret(text)


def _of_url(text: str) -> list[str]:
    """Return the names of a URL's parameters. Raises ValueError where its parts are in doubt.

    libpq takes what stands before the first `@`, if no `/` comes first, for user and password.
    """
    rest = _SCHEME.sub("", text, count=1)
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00|\s", rest):
        raise ValueError(_ENCODE)
    before, at, after = rest.partition("@")
    has_user = bool(at) and "/" not in before
    if has_user:
        rest = after
    elif at and not rest.startswith("/"):
        raise ValueError(_ENCODE)
    if has_user and "@" in rest:
        raise ValueError(_ENCODE)
    place, _, query = rest.partition("?")
    for host in place.partition("/")[0].split(","):
        port = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+(?:%25\w+)?\]|[^\[\]:]*)(?::([0-9]*))?", host)
        if port is None:
            raise ValueError(f"{_PORT}, and an address in brackets if it has colons")
        _require_port(port[1] or "")
    return [pair.partition("=")[0] for pair in query.split("&")] if query else []


def _of_words(text: str) -> list[str]:
    """Return the names in a string of words, `host=... password='...'`."""
    if "=" not in text or "://" in text.partition("=")[0]:
        raise ValueError(_FORM)
    words = re.findall(r"([^\s=]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)", text)
    if re.sub(r"[^\s=]+\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)", "", text).strip():
        raise ValueError(f"{_FORM}; in words, a value with a space stands in single quotes")
    return [name for name, _ in words]


def _require_known(names: list[str], known: frozenset[str], *, may_be_secret: bool) -> None:
    """Refuse a parameter that libpq does not know, or that stands twice, by its name.

    Not by its name where it could be a piece of a password that stands among the parameters.
    """
    for name in names:
        if name in known:
            if names.count(name) > 1:
                raise ValueError(f'has the parameter "{name}" twice: keep one')
            continue
        if not may_be_secret and re.fullmatch(r"[A-Za-z][\w.-]{0,39}", name, re.ASCII):
            raise ValueError(
                f'has the parameter "{name}", which is none of PostgreSQL\'s own: take it out'
            )
        raise ValueError(
            "has a parameter that is none of PostgreSQL's own, or a character of the password that"
            " must be percent-encoded in a URL (& is %26, = is %3D) or quoted in words"
        )


def _require_values(given: dict[str, str]) -> None:
    for port in given.get("port", "").split(","):
        _require_port(port)
    for name, allowed in _VALUES.items():
        if given.get(name, "") not in {"", *allowed}:
            raise ValueError(f"has an unknown {name}: use {', '.join(sorted(allowed))}")
    for name in _NUMBERS & given.keys():
        if not re.fullmatch(r"-?[0-9]{1,9}", given[name], re.ASCII):
            raise ValueError(f"must have a whole number as {name}")


def _require_port(port: str) -> None:
    if port and not (
        re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and 1 <= int(port) <= _LARGEST_PORT
    ):
        raise ValueError(_PORT)
